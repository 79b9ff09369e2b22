"""Precomputing everybody's windows, beside the bare insert of as many rows, and beside a loop with zoneinfo and COPY.

.venv/bin/python -m tests.bench.bench_windows
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from chally.zones import tzdata_version
from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate
from tests.bench.side_by_side import ratio

PEOPLE = 100_000
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo"]
NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)  # the clocks of Berlin go back the night after
RULES = {
    "schedule": {
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "01:30", "closes": "02:30",
        "scope": "participant_local",
    }
}  # fmt: skip


@contextlib.contextmanager
def connected() -> Iterator[psycopg.Connection]:
    """A migrated database with PEOPLE in challenges of a thousand each, without reminders: those would be counted."""
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


def loop(rows: list[tuple[UUID, str]]) -> io.StringIO:
    """As one would without SQL: every participant, every date, by zoneinfo; fold 0 opens and fold 1 closes."""
    out = io.StringIO()
    for participant, name in rows:
        zone = ZoneInfo(name)
        today = NOW.astimezone(zone).date()
        for days in range(-1, 3):
            day = today + timedelta(days=days)
            opens = datetime.combine(day, time(1, 30), zone).astimezone(UTC)
            closes = datetime.combine(day, time(2, 30, fold=1), zone).astimezone(UTC)
            out.write(f"{participant}\t{day}\t{opens}\t{closes}\t{name}\t2026b\n")
    out.seek(0)
    return out


def main() -> None:
    with connected() as connection:
        rows: list[tuple[UUID, str]] = connection.execute("select id, timezone from challenges.participants").fetchall()
        ids = [participant for participant, _ in rows]
        empty = b"truncate challenges.windows"

        def ours() -> None:
            connection.execute(empty)
            connection.execute("select challenges.plan(%s, %s, %s)", (ids, NOW, tzdata_version()))

        def constants() -> None:
            connection.execute(empty)
            connection.execute(
                "insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata)"
                " select p.id, %(day)s::date + n, %(now)s, %(now)s + interval '1 hour', p.timezone, '2026b'"
                " from challenges.participants p, generate_series(-1, 2) n where p.id = any (%(ids)s)"
                " order by 1, 2 on conflict do nothing",
                {"ids": ids, "day": NOW.date(), "now": NOW},
            )

        def looped() -> None:
            connection.execute(empty)
            with connection.cursor().copy(
                "copy challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata) from stdin"
            ) as copy:
                copy.write(loop(rows).read())

        ours()
        stored = connection.execute("select count(*) from challenges.windows").fetchone()
        print(f"{len(ids)} participants, {stored and stored[0]} windows; time of the first over time of the second")
        table = [
            ("windows planned", "the same insert of constants (goal: at most 1.10)", ratio(ours, constants, rounds=5)),
            ("loop with zoneinfo, COPY", "windows planned (goal: at least 5)", ratio(looped, ours, rounds=5)),
        ]
        for what, against, measured in table:
            print(f"{what:<26} {against:<52} {measured}")


if __name__ == "__main__":
    main()
