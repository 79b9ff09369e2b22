"""Taking 100 due reminders from a table of a million participants, compared with a table of a thousand.

.venv/bin/python -m tests.bench.bench_reminders
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from chally.db import Tx
from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate
from notifications import queries, reminders
from notifications.rules import LATE
from tests.bench.side_by_side import ratio

FEW, MANY, DUE, BATCH = 1_000, 1_000_000, 100, 500
ROUNDS = 51
NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)


@contextlib.contextmanager
def tables() -> Iterator[Callable[[str, int], psycopg.Connection]]:
    """Create migrated databases with this many participants, each with a reminder."""
    with tempfile.TemporaryDirectory(prefix="chally-bench-", ignore_cleanup_errors=True) as directory:
        settings = {"fsync": "off", "autovacuum": "off", "shared_buffers": "1GB"}
        server = Postgres(directory=Path(directory) / "pg", port=free_port(), password="bench", settings=settings)
        server.start()
        connections: list[psycopg.Connection] = []

        def made(name: str, size: int) -> psycopg.Connection:
            with psycopg.connect(server.url(), autocommit=True) as admin:
                admin.execute(f"create database {name}".encode())
            url = server.url(name).replace("postgresql://", "postgresql+psycopg://")
            with create_engine(url, poolclass=NullPool).connect() as alembic:
                migrate(alembic)
            connection = psycopg.connect(server.url(name), prepare_threshold=None, autocommit=True)
            connections.append(connection)
            fill(connection, size)
            return connection

        try:
            with psycopg.connect(server.url(), autocommit=True) as admin:
                for role in ("chally_app", "chally_system"):
                    admin.execute(f"create role {role} login".encode())
            yield made
        finally:
            for connection in connections:
                connection.close()
            server.stop()


def fill(connection: psycopg.Connection, size: int) -> None:
    """Make 100 due, spread over the table; the others are due within days or were sent."""
    values = {"size": size, "now": NOW, "every": size // DUE}
    connection.execute("set session_replication_role = replica")
    connection.execute(
        "insert into identity.users (email, username, password_hash, timezone)"
        " select n || '@b.test', 'user_' || n, '', 'UTC' from generate_series(1, %(size)s) n",
        values,
    )
    connection.execute(
        "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)"
        " select (select id from identity.users limit 1), 't', 'active', n::text, 'UTC', %(now)s, 'infinity', '{}'"
        " from generate_series(0, %(size)s / 1000) n",
        values,
    )
    connection.execute(
        "insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
        " select c.id, u.id, 'UTC', %(now)s, %(now)s"
        " from (select id, row_number() over () as n from identity.users) u"
        " join challenges.challenges c on c.invite_code = (u.n / 1000)::text",
        values,
    )
    connection.execute(
        """
        insert into notifications.reminders (
            participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, planned_at,
            sent_at
        )
        select id, %(now)s, user_id, 't', 'UTC', %(now)s - interval '1 day', %(now)s + interval '3 days', due, due,
            %(now)s - interval '1 day', case when n %% %(every)s <> 0 and n %% 3 = 0 then %(now)s end
        from (select id, user_id, row_number() over () as n from challenges.participants) as p
        cross join lateral (
            select %(now)s + case when n %% %(every)s = 0 then interval '0'
                else make_interval(mins => 1 + n::integer %% 2880) end as due
        ) as x
        """,
        values,
    )
    connection.execute("vacuum analyze")
    connection.execute("reset session_replication_role")


def taking(connection: psycopg.Connection) -> Callable[[], None]:
    """Take the due ones and roll back: otherwise the second round would find none."""

    def take() -> None:
        with connection.transaction(force_rollback=True):
            found = queries.claim_due(Tx(connection, None), NOW, LATE, BATCH)
        assert len(found) == DUE

    return take


def sending(connection: psycopg.Connection) -> Callable[[], None]:
    """Do all that the job does in its transaction, including writing the mails."""

    def send() -> None:
        with connection.transaction(force_rollback=True):
            batch = reminders.send_due(Tx(connection, None), NOW, BATCH)
        assert batch.sent == DUE

    return send


def main() -> None:
    with tables() as made:
        few, many = made("few", FEW), made("many", MANY)
        print(f"{DUE} due of {MANY:,} reminders, beside {DUE} of {FEW:,}; time of the first over time of the second")
        sent = ratio(sending(many), sending(few), rounds=ROUNDS)
        taken = ratio(taking(many), taking(few), rounds=ROUNDS)
        print(f"{'taken and written':<26} {'(goal: at most 1.5)':<52} {sent}")
        print(f"{'the statement that takes':<26} {'':<52} {taken}")


if __name__ == "__main__":
    main()
