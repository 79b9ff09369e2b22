"""Precomputing everybody's windows, compared with inserting as many rows, and with a loop using zoneinfo and COPY.

It compares processor time of client and backend, which other processes do not disturb.
.venv/bin/python -m tests.bench.bench_windows
"""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as wall
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from challenges import jobs, windows
from challenges.language import DAYS
from chally.db import Tx
from chally.jobs import FIRST_ID
from chally.zones import ZoneInfo, tzdata_version
from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate
from tests.bench.side_by_side import ratio

PEOPLE = 100_000
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo"]
NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)  # Berlin's clocks go back that night
RULES = {
    "schedule": {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "01:30", "closes": "02:30",
        "scope": "participant_local",
    }
}  # fmt: skip


@contextlib.contextmanager
def connected() -> Iterator[psycopg.Connection]:
    """A migrated database with PEOPLE in challenges of a thousand each, without reminders, which would count too."""
    with tempfile.TemporaryDirectory(prefix="chally-bench-", ignore_cleanup_errors=True) as directory:
        settings = {"fsync": "off", "shared_buffers": "512MB"}
        server = Postgres(directory=Path(directory) / "pg", port=free_port(), password="bench", settings=settings)
        server.start()
        try:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                for role in ("chally_app", "chally_system"):
                    connection.execute(f"create role {role} login".encode())
            url = server.url().replace("postgresql://", "postgresql+psycopg://")
            with create_engine(url, poolclass=NullPool).connect() as alembic:
                migrate(alembic)
            with psycopg.connect(server.url(), autocommit=True) as connection:
                people(connection)
                yield connection
        finally:
            server.stop()


def people(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into identity.users (email, username, password_hash, timezone)"
        " select n || '@b.test', 'user_' || n, '', 'UTC' from generate_series(1, 1000) n"
    )
    connection.execute(
        """
        insert into challenges.challenges
            (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules, max_participants)
        select (select min(id::text)::uuid from identity.users), 't', 'active', n::text, 'UTC',
            %(now)s - interval '9 days', %(now)s + interval '90 days', %(rules)s, 1000
        from generate_series(1, %(challenges)s) n
        """,
        {"now": NOW, "rules": json.dumps(RULES), "challenges": PEOPLE // 1000},
    )
    connection.execute("alter table challenges.participants disable trigger user")
    connection.execute(
        """
        insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
        select c.id, u.id, (%(zones)s::text[])[1 + (row_number() over ()) %% %(count)s], %(joined)s, %(joined)s
        from challenges.challenges c cross join identity.users u
        """,
        {"zones": ZONES, "count": len(ZONES), "joined": NOW - timedelta(days=9)},
    )
    connection.execute("analyze")


READ = """
    select p.id, p.timezone, p.joined_at, c.timezone, c.starts_at, c.ends_at, c.rules
    from challenges.participants p join challenges.challenges c on c.id = p.challenge_id
"""
COLUMNS = "(participant_id, local_date, opens_at, closes_at, timezone, tzdata)"
Planned = tuple[UUID, date, datetime, datetime, str, str]


def loop(people: list[Any]) -> Iterator[Planned]:
    """The version without SQL: every participant and date by zoneinfo, with the same rules 1 to 5."""
    tzdata = tzdata_version()
    for participant, own, joined_at, theirs, starts_at, ends_at, rules in people:
        schedule = rules["schedule"]
        name = own if schedule["scope"] == "participant_local" else theirs
        zone = ZoneInfo(name)
        opens, closes = wall.fromisoformat(schedule["opens"]), wall.fromisoformat(schedule["closes"])
        over_midnight = timedelta(days=closes <= opens)
        today = NOW.astimezone(zone).date()
        earlier = None
        for days in range(-2, 3):
            day = today + timedelta(days=days)
            noon = datetime.combine(day, wall(12), zone)
            if DAYS[day.weekday()] not in schedule["days"] or noon.astimezone(UTC).astimezone(zone).date() != day:
                continue
            closing_wall = datetime.combine(day + over_midnight, closes, zone)
            opening = datetime.combine(day, opens, zone).astimezone(UTC)
            closing = closing_wall.replace(fold=1).astimezone(UTC)
            if closing.astimezone(zone).time() != closes:  # in a gap the close moves forward
                closing = closing_wall.astimezone(UTC)
            begins = opening if earlier is None else max(opening, earlier)
            earlier = closing
            if closing <= begins:
                length = closing_wall.replace(tzinfo=None) - datetime.combine(day, opens)
                closing = (begins.astimezone(zone) + length).astimezone(UTC)
            clipped = max(begins, starts_at), min(closing, ends_at)
            if days >= -1 and clipped[0] < clipped[1] and clipped[1] > joined_at:
                yield participant, day, *clipped, name, tzdata


def main() -> None:
    with connected() as connection:
        backend = psutil.Process(connection.info.backend_pid)
        ids = [participant for (participant,) in connection.execute("select id from challenges.participants")]
        empty = b"truncate challenges.windows"
        tx = Tx(connection, None)

        def processor() -> float:
            times = backend.cpu_times()
            return float(times.user + times.system) + time.process_time()

        def ours() -> None:
            connection.execute(empty)
            connection.execute("select challenges.precompute_windows(%s, %s, %s)", (ids, NOW, tzdata_version()))

        def constants() -> None:
            connection.execute(empty)
            connection.execute(
                f"insert into challenges.windows {COLUMNS}"
                " select p.id, %(day)s::date + n, %(now)s, %(now)s + interval '1 hour', p.timezone, '2026b'"
                " from challenges.participants p, generate_series(-1, 2) n where p.id = any (%(ids)s)"
                " order by 1, 2 on conflict do nothing",
                {"ids": ids, "day": NOW.date(), "now": NOW},
            )

        def looped() -> None:
            """COPY into a temporary table, since COPY cannot skip existing rows."""
            connection.execute(empty)
            connection.execute("create temp table planned (like challenges.windows)")
            people = connection.execute(READ).fetchall()
            with connection.cursor().copy(f"copy planned {COLUMNS} from stdin") as copy:
                for row in loop(people):
                    copy.write_row(row)
            connection.execute("insert into challenges.windows select * from planned on conflict do nothing")
            connection.execute("drop table planned")

        def batches() -> None:
            """Run the whole job: a thousand people per commit."""
            after: UUID | None = FIRST_ID
            while after is not None:
                with connection.transaction():
                    after = windows.precompute_batch(tx, after, jobs.BATCH, NOW)

        def first() -> None:
            connection.execute(empty)
            batches()

        ours()
        stored = set(connection.execute(f"select {COLUMNS[1:-1]} from challenges.windows").fetchall())
        assert stored == set(loop(connection.execute(READ).fetchall()))
        del stored
        print(f"{len(ids)} participants, four windows each; processor time of the first over that of the second")
        goals = {
            "the same insert of constants (goal: at most 1.10)": ("windows planned", ours, constants),
            "windows planned (goal: at least 5)": ("loop with zoneinfo, COPY", looped, ours),
            "the job when nothing is stored": ("the job again", batches, first),
        }
        for against, (what, mine, theirs) in goals.items():
            print(f"{what:<26} {against:<52} {ratio(mine, theirs, rounds=5, clock=processor)}", flush=True)
        began = time.perf_counter()
        batches()
        print(f"the job again: {len(ids) / (time.perf_counter() - began):.0f} participants a second")


if __name__ == "__main__":
    main()
