"""A page of the standings, compared with adding it up from proofs and with a page over a tenth of the proofs; closing
windows in one batch, compared with one at a time.

.venv/bin/python -m tests.bench.bench_standings
"""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from challenges import outcomes, standings
from challenges.queries import standings as queries
from chally.actor import Actor
from chally.db import Tx
from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate
from tests.bench.side_by_side import ratio

PEOPLE, DAYS = 10_000, 30
CLOSING = 1_000
PAGE = 26
FIRST = datetime(2026, 9, 1, tzinfo=UTC)

# Without grace days, which the alternative does not support: points and streaks are then sums over islands.
CHALLENGE = """
    insert into challenges.challenges
        (id, owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules, max_participants)
    select %(challenge)s, (select min(id::text)::uuid from identity.users), 't', 'active', %(challenge)s::text, 'UTC',
        %(first)s, %(first)s + make_interval(days => %(days)s),
        '{"scoring": {"points": 10, "streak_bonus": 1, "grace_days": 0}}', 10000
"""
PARTICIPANTS = """
    insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
    select %(challenge)s, id, 'UTC', %(first)s, %(first)s from identity.users
"""
STANDINGS = """
    insert into challenges.standings (participant_id, challenge_id)
    select id, challenge_id from challenges.participants where challenge_id = %(challenge)s
"""
# Nine days of ten are proved.
WINDOWS = """
    insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata, outcome)
    select p.id, %(first)s::date + n, %(first)s + n * interval '1 day', %(first)s + (n + 1) * interval '1 day', 'UTC',
        '2026b', case when %(decided)s then case when random() < 0.9 then 'accepted' else 'missed' end end
    from challenges.participants p, generate_series(0, %(days)s - 1) n where p.challenge_id = %(challenge)s
"""
PROOFS = """
    insert into proofs.proofs (challenge_id, participant_id, user_id, local_date, opens_at, closes_at, status,
        content_type, content_length, sha256, object_key, created_at)
    select p.challenge_id, p.id, p.user_id, w.local_date, w.opens_at, w.closes_at, 'accepted', 'image/jpeg', 200000,
        sha256(''), 'uploads/' || gen_random_uuid(), w.opens_at
    from challenges.windows w join challenges.participants p on p.id = w.participant_id
    where p.challenge_id = %(challenge)s and w.outcome = 'accepted'
"""
# The same page without standings. An island lies between two missed windows.
ADDED_UP = """
    with days as (
        select w.participant_id, w.local_date, f.proved,
               count(*) filter (where not f.proved) over (partition by w.participant_id order by w.local_date) as island
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        cross join lateral (
            select exists (
                select from proofs.proofs f
                where f.participant_id = w.participant_id and f.local_date = w.local_date and f.status = 'accepted'
            ) as proved
        ) as f
        where p.challenge_id = %(challenge)s and p.left_at is null and w.closes_at <= %(now)s
    ),
    islands as (
        select participant_id, island, count(*) filter (where proved) as streak, bool_or(not proved) as missed
        from days group by 1, 2
    ),
    added as (
        select participant_id, sum(10 * streak + streak * (streak - 1) / 2)::integer as points,
               (array_agg(streak order by island desc))[1]::integer as current_streak,
               max(streak)::integer as best_streak, sum(streak)::integer as accepted,
               (count(*) filter (where missed))::integer as missed
        from islands group by 1
    )
    select rank() over (order by a.points desc), a.participant_id, u.username, a.points, a.current_streak,
           a.best_streak, a.accepted, a.missed
    from added a join challenges.participants p on p.id = a.participant_id
    join identity.profiles u on u.id = p.user_id
    order by a.points desc, a.participant_id limit %(page)s
"""


@contextlib.contextmanager
def connected() -> Iterator[psycopg.Connection[Any]]:
    """A migrated database with PEOPLE."""
    with tempfile.TemporaryDirectory(prefix="chally-bench-", ignore_cleanup_errors=True) as directory:
        settings = {"fsync": "off", "shared_buffers": "512MB", "work_mem": "64MB"}
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
                connection.execute(
                    "insert into identity.users (email, username, password_hash, timezone)"
                    " select n || '@b.test', 'user_' || n, '', 'UTC' from generate_series(1, %s) n",
                    [PEOPLE],
                )
                yield connection
        finally:
            server.stop()


def challenge(connection: psycopg.Connection[Any], days: int, *, decided: bool = True) -> UUID:
    """Insert a challenge of this many days with all PEOPLE in it."""
    values = {"challenge": uuid4(), "first": FIRST, "days": days, "decided": decided}
    connection.execute("set session_replication_role = replica")
    for statement in (CHALLENGE, PARTICIPANTS, STANDINGS, WINDOWS, PROOFS):
        connection.execute(statement.encode(), values)
    connection.execute("set session_replication_role = origin")
    made: UUID = values["challenge"]  # type: ignore[assignment]
    return made


def count(connection: psycopg.Connection[Any]) -> None:
    """Compute every standing from its outcomes, as if each had been decided on its day."""
    tx, after = Tx(connection, None), UUID(int=0)
    while True:
        with connection.transaction():
            checked, last = standings.check(tx, after, PEOPLE)
            if last is None:
                return
            queries.save(tx, [each.recomputed for each in checked if each.recomputed])
        after = last


def main() -> None:
    with connected() as connection:
        many, few = challenge(connection, DAYS), challenge(connection, DAYS // 10)
        challenge(connection, DAYS, decided=False)
        count(connection)
        connection.execute("vacuum analyze challenges.standings, challenges.windows, challenges.participants")
        connection.execute("vacuum analyze proofs.proofs")
        reader = connection.execute("select owner_id from challenges.challenges limit 1").fetchone()
        assert reader is not None
        tx = Tx(connection, Actor(reader[0], uuid4()))
        now = FIRST + timedelta(days=DAYS)

        def page(of: UUID, after: tuple[int, UUID] | None = None) -> list[queries.RankedStanding]:
            with connection.transaction():
                connection.execute("select set_config('chally.actor', %s, true)", [str(reader[0])])
                return queries.ranking(tx, of, after=after, offset=0, limit=PAGE)

        def added_up() -> list[queries.RankedStanding]:
            values = {"challenge": many, "now": now, "page": PAGE}
            with connection.transaction():
                return tx.all(ADDED_UP, values, row=queries.RankedStanding)

        assert page(many) == added_up()
        middle = connection.execute(
            "select points, participant_id from challenges.standings where challenge_id = %s"
            " order by points desc, participant_id offset %s limit 1",
            [many, PEOPLE // 2],
        ).fetchone()

        def together() -> None:
            with connection.transaction():
                assert standings.close_overdue(tx, now, CLOSING) == CLOSING

        def one_by_one() -> None:
            with connection.transaction():
                for window in outcomes.lock_overdue(tx, now, CLOSING):
                    standings.record(tx, window.participant_id, window.local_date, "missed")

        print(f"{PEOPLE} participants of {DAYS} days; time of the first over time of the second")
        measured = [
            ("added up from proofs", "page of the standings (goal: at least 50)", ratio(added_up, lambda: page(many))),
            ("added up from proofs", "a page in the middle", ratio(added_up, lambda: page(many, middle), rounds=5)),
            (
                f"page, {DAYS} days each",
                f"page, {DAYS // 10} days each (goal: 1, flat)",
                ratio(lambda: page(many), lambda: page(few), rounds=101),
            ),
            ("1,000 closed one by one", "closed together", ratio(one_by_one, together, rounds=5)),
        ]
        for what, against, how in measured:
            print(f"{what:<26} {against:<44} {how}")


if __name__ == "__main__":
    main()
