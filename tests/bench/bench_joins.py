"""A burst of joins to one challenge, compared with inserting one row, and with a transaction using FOR UPDATE.

The join does all that the route does: identity, participant, windows and reminders, count, response.
.venv/bin/python -m tests.bench.bench_joins
"""

import contextlib
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from challenges import membership
from chally import db
from chally.actor import Actor
from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate

CLIENTS = 8
"""Processes with one connection each, like environments of the function."""
EACH, ROUNDS = 60, 7
PEOPLE = CLIENTS * EACH
CODE = "JOINBNCH"
NOW = datetime(2026, 10, 24, 12, tzinfo=UTC)
RULES = {
    "schedule": {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "05:00", "closes": "08:00",
                 "scope": "participant_local"},
    "reminders": {"before_close_minutes": 60},
}  # fmt: skip
Person = tuple[UUID, UUID]
"""A person's id and their session's."""

# Copies without triggers, foreign keys and policies, but with the same indexes.
ALTERNATIVES = """
    create schema bench;
    create table bench.participants (like challenges.participants including all);
    create table bench.challenges (like challenges.challenges including all);
    create table bench.standings (like challenges.standings including all);
    grant usage on schema bench to chally_app;
    grant all on all tables in schema bench to chally_app;
"""


def join(connection: psycopg.Connection[Any], person: Person, challenge: UUID) -> None:
    """Join as `chally.db` and the route do."""
    with db.begin(connection, Actor(*person)) as tx:
        membership.join(tx, CODE, None, NOW)


def bare(connection: psycopg.Connection[Any], person: Person, challenge: UUID) -> None:
    connection.execute(
        "insert into bench.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
        " values (%s, %s, 'UTC', %s, %s)",
        [challenge, person[0], NOW, NOW],
    )


def five(connection: psycopg.Connection[Any], person: Person, challenge: UUID) -> None:
    """The obvious version: participant, standing, count, response; no identity, quota or windows."""
    with connection.transaction():
        found = connection.execute(
            "select status, participant_count, max_participants from bench.challenges where id = %s for update",
            [challenge],
        ).fetchone()
        assert found is not None
        if found[1] >= found[2]:
            raise psycopg.errors.CheckViolation
        place = connection.execute(
            "insert into bench.participants (challenge_id, user_id, timezone, joined_at, timezone_since)"
            " values (%s, %s, 'UTC', %s, %s) returning id",
            [challenge, person[0], NOW, NOW],
        ).fetchone()
        connection.execute("insert into bench.standings (participant_id, challenge_id) values (%s, %s)",
                           [place and place[0], challenge])  # fmt: skip
        connection.execute(
            "update bench.challenges set participant_count = participant_count + 1 where id = %s", [challenge]
        )
        connection.execute("select * from bench.challenges where id = %s", [challenge]).fetchone()


def whole(connection: psycopg.Connection[Any], person: Person, challenge: UUID) -> None:
    """Our join by the same functions, but locking the challenge's row first, as in `five`."""
    with db.begin(connection, Actor(*person)) as tx:
        tx.run("select bench.lock(%(challenge)s)", {"challenge": challenge})
        membership.join(tx, CODE, None, NOW)


WAYS: dict[str, Callable[[psycopg.Connection[Any], Person, UUID], None]] = {
    "join": join, "bare": bare, "five": five, "whole": whole
}  # fmt: skip
_own: dict[str, Any] = {}


def begin(url: str, together: Barrier) -> None:
    """Connect each process once."""
    _own["connection"] = psycopg.connect(url, autocommit=True, prepare_threshold=None)
    _own["together"] = together


def work(way: str, commit: str, people: list[Person], challenge: UUID) -> tuple[float, float, int]:
    """Run one process's share; return its start, its end and the number of refusals."""
    connection, refused = _own["connection"], 0
    connection.execute(f"set synchronous_commit = {commit}".encode())
    _own["together"].wait()
    began = time.perf_counter()
    for person in people:
        try:
            WAYS[way](connection, person, challenge)
        except psycopg.errors.CheckViolation:
            refused += 1
    return began, time.perf_counter(), refused


class Burst:
    """A server with durable commits, and people who join one challenge at once."""

    def __init__(self, admin: psycopg.Connection[Any], pool: ProcessPoolExecutor) -> None:
        self.admin, self.pool = admin, pool
        self.people: list[Person] = admin.execute("select user_id, id from identity.sessions").fetchall()
        row = admin.execute("select id from challenges.challenges").fetchone()
        assert row is not None
        self.challenge: UUID = row[0]

    def run(self, way: str, commit: str, *, places: int = 10_000) -> tuple[float, int]:
        """Joins per second, and the number of joins."""
        self.admin.execute("truncate bench.participants, bench.standings, challenges.participants cascade")
        for schema in ("challenges", "bench"):
            self.admin.execute(
                f"update {schema}.challenges set participant_count = 0, max_participants = {places}".encode()
            )
            self.admin.execute(f"vacuum {schema}.challenges".encode())
        shares = [self.people[n::CLIENTS] for n in range(CLIENTS)]
        done = [self.pool.submit(work, way, commit, share, self.challenge) for share in shares]
        began, ended, refused = zip(*(each.result() for each in done), strict=True)
        return PEOPLE / (max(ended) - min(began)), PEOPLE - sum(refused)

    def compare(self, other: str, commit: str) -> str:
        """The rate of our joins over the alternative's, by turns."""
        pairs = [(self.run("join", commit)[0], self.run(other, commit)[0]) for _ in range(ROUNDS)]
        ratios = [ours / theirs for ours, theirs in pairs]
        ours, theirs = (statistics.median(rates) for rates in zip(*pairs, strict=True))
        spread = f"{statistics.median(ratios):5.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
        return f"{spread:<24} {ours:6.0f} /s / {theirs:.0f} /s"


@contextlib.contextmanager
def burst() -> Iterator[Burst]:
    with tempfile.TemporaryDirectory(prefix="chally-bench-", ignore_cleanup_errors=True) as directory:
        server = Postgres(directory=Path(directory) / "pg", port=free_port(), password="bench")
        server.start()
        try:
            with psycopg.connect(server.url(), autocommit=True) as admin:
                for role in ("chally_app", "chally_system"):
                    admin.execute(f"create role {role} login password 'bench'".encode())
                alembic_url = server.url().replace("postgresql://", "postgresql+psycopg://")
                with create_engine(alembic_url, poolclass=NullPool).connect() as alembic:
                    migrate(alembic)
                arrange(admin)
                context = multiprocessing.get_context("spawn")
                name = server.url().rpartition("/")[2]
                app = f"postgresql://chally_app:bench@127.0.0.1:{server.port}/{name}"
                with ProcessPoolExecutor(
                    CLIENTS, mp_context=context, initializer=begin, initargs=(app, context.Barrier(CLIENTS))
                ) as pool:
                    yield Burst(admin, pool)
        finally:
            server.stop()


def arrange(admin: psycopg.Connection[Any]) -> None:
    """Insert the owner, PEOPLE with a session each, and the challenge."""
    owner = admin.execute(
        "insert into identity.users (email, username, password_hash, timezone)"
        " values ('owner@b.test', 'owner', '', 'UTC') returning id"
    ).fetchone()
    admin.execute(
        """
        with made as (
            insert into identity.users (email, username, password_hash, timezone)
            select n || '@b.test', 'user_' || n, '', 'Europe/Berlin' from generate_series(1, %s) n returning id
        )
        insert into identity.sessions (user_id, rotated_at, created_at, last_seen_at, authenticated_at)
        select id, now(), now(), now(), now() from made
        """,
        [PEOPLE],
    )
    admin.execute(
        "insert into challenges.challenges (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules,"
        " late_join) values (%s, 't', 'active', %s, 'UTC', %s, %s, %s, true)",
        [owner and owner[0], CODE, NOW - timedelta(days=9), NOW + timedelta(days=90), json.dumps(RULES)],
    )
    admin.execute(ALTERNATIVES)
    admin.execute("insert into bench.challenges select * from challenges.challenges")
    # the app's role cannot lock another person's challenge
    admin.execute(
        "create function bench.lock(challenge uuid) returns void language sql security definer"
        " begin atomic select from challenges.challenges where id = challenge for no key update; end"
    )
    admin.execute("analyze")


def main() -> None:
    with burst() as there:
        for places in (PEOPLE // 4,):
            _, came = there.run("join", "on", places=places)
            print(f"{PEOPLE} people at once for {places} places: {came} came in")
            assert came == places
        print(f"joins a second by {CLIENTS} processes, over those of the alternative")
        table = [
            ("bare", "on", "the bare insert of one row (goal: at least 0.2)"),
            ("five", "on", "five statements, FOR UPDATE, no windows (goal: at least 2)"),
            ("five", "off", "the same, synchronous_commit off (goal: at least 6)"),
            ("whole", "on", "all of it with FOR UPDATE first"),
            ("whole", "off", "the same, synchronous_commit off"),
        ]
        for other, commit, against in table:
            print(f"{against:<60} {there.compare(other, commit)}", flush=True)


if __name__ == "__main__":
    main()
