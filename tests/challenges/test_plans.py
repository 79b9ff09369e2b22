"""What lists, windows and their job cost: the statements that are sent, by the roles that send them, on 10,000 rows
and on 100,000.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import pytest

from challenges import jobs, outcomes, windows, words
from challenges.queries import challenges, participants
from challenges.rules import ListedState
from chally import clock
from chally.db import Params, Tx
from chally.jobs import FIRST_ID
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.people import insert_users

USERS = 2_000
FEW, MANY = 10_000, 100_000
PAGE = 26

# Of every hundred public challenges 40 have ended, 35 are running, 10 are upcoming; other states have five each.
# Statuses and times are in random order, as in a table that has grown for years. One title in 500 has a rare word.
GROW = """
    insert into challenges.challenges
        (id, owner_id, title, description, status, visibility, invite_code, timezone, starts_at, ends_at, rules, search)
    select uuidv7(make_interval(secs => n - 200000)), owners.ids[1 + n %% cardinality(owners.ids)],
           'Run ' || n || case when n %% 500 = 3 then ' zebra' else '' end, 'Every morning, rain or shine.',
           case when s < 85 then 'active' when s < 90 then 'paused' when s < 95 then 'canceled' else 'archived' end,
           case when n %% 10 < 7 then 'public' when n %% 10 < 9 then 'code' else 'private' end,
           n::text, 'UTC',
           %(now)s + make_interval(days => case when s < 40 then -60 when s < 75 then -5 else 5 end),
           %(now)s + make_interval(days => case when s < 40 then -30 else 30 end),
           '{"version": 1, "schedule": {"days": ["mon"], "opens": "05:00", "closes": "08:00"}}',
           array_to_tsvector(array['run', n::text, 'every', 'morning', 'rain', 'or', 'shine']
               || case when n %% 500 = 3 then array['zebra'] end)
    from generate_series(%(first)s::integer, %(last)s::integer) as n
    cross join lateral (select (n * 7919) %% 100 as s) as spread
    cross join (select array_agg(id order by id) as ids from identity.users) as owners
"""
# Each user owns some challenges and takes part in as many others; one challenge has all users as participants.
TAKE_PART = """
    insert into challenges.participants (id, challenge_id, user_id, timezone, joined_at, timezone_since)
    select uuidv7(make_interval(secs => n - 200000)), c.id, users.ids[1 + (n * 31) %% cardinality(users.ids)],
           'UTC', %(now)s, %(now)s
    from (select id, invite_code::integer as n from challenges.challenges) as c
    cross join (select array_agg(id order by id) as ids from identity.users) as users
    where n between %(first)s and %(last)s
"""
CROWD = """
    insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
    select c.id, u.id, 'UTC', %(now)s, %(now)s from identity.users u
    cross join (select id from challenges.challenges where invite_code = '1') as c
    on conflict do nothing
"""


# Each participant has a window on each of three days. Most are decided; one in 500 of yesterday's is not.
WINDOWS = """
    insert into challenges.windows (participant_id, local_date, opens_at, closes_at, timezone, tzdata, outcome)
    select p.id, (%(now)s + day)::date, %(now)s + day - interval '3 hours', %(now)s + day - interval '2 hours', 'UTC',
           '2026b', case when extract(day from day) < 0 and r.n %% 500 > 0 then 'missed' end
    from (select id, challenge_id, row_number() over (order by id) as n from challenges.participants) as r
    join challenges.participants p on p.id = r.id
    cross join (values (interval '-1 day'), (interval '1 day'), (interval '2 days')) as days (day)
    on conflict do nothing
"""


Ask = Callable[[Tx], object]


class ExplainingTx(Tx):
    """A transaction that records the plan of each statement it sends."""

    plans: list[dict[str, Any]]

    def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
        self._explain(sql, params)
        return super().all(sql, params, row=row)

    def maybe[T](self, sql: str, params: Params, *, row: type[T]) -> T | None:
        self._explain(sql, params)
        return super().maybe(sql, params, row=row)

    def value(self, sql: str, params: Params) -> Any:
        self._explain(sql, params)
        return super().value(sql, params)

    def _explain(self, sql: str, params: Params) -> None:
        (plan,) = super().value(f"explain (format json) {sql}", params)
        self.plans.append(plan["Plan"])


@dataclass
class GrownDatabase:
    """A database of a given size, with a reader's connection and a job's."""

    reader: UUID
    crowded: UUID
    place: UUID
    """The id of the reader as a participant of one of the challenges."""
    connection: psycopg.Connection[Any] = field(repr=False)
    jobs: psycopg.Connection[Any] = field(repr=False)

    def read(self, ask: "Ask", *, by_job: bool = False) -> "Read":
        connection = self.jobs if by_job else self.connection
        with acting(connection, self.reader) as acted:
            tx = ExplainingTx(connection, None if by_job else acted.actor)
            tx.plans = []
            before = counters(connection)
            found = ask(tx)
            after = counters(connection)
        touched = {table: (rows - before[table][0], scans - before[table][1]) for table, (rows, scans) in after.items()}
        return Read(
            found=len(found) if isinstance(found, list) else int(found is not None),
            indexes={name for plan in tx.plans for name in indexes(plan)},
            rows=sum(rows for rows, _ in touched.values()),
            scanned={table for table, (_, scans) in touched.items() if scans},
        )


def counters(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Return the rows read and the number of sequential scans, by table."""
    rows = connection.execute(
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0), seq_scan from pg_stat_xact_user_tables"
    ).fetchall()
    return {name: (read, scans) for name, read, scans in rows}


@dataclass
class Read:
    """The cost of a list: rows found, indexes in its plan, rows read, tables scanned sequentially."""

    found: int
    indexes: set[str]
    rows: int
    scanned: set[str]


def indexes(plan: dict[str, Any]) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for part in plan.get("Plans", []):
        yield from indexes(part)


@pytest.fixture
def grow(database: Database) -> Iterator[Callable[[int, int], GrownDatabase]]:
    people = insert_users(database, USERS)
    connection = connect(database)
    system = psycopg.connect(database.system, autocommit=True, prepare_threshold=None)

    def grown(first: int, last: int) -> GrownDatabase:
        values = {"first": first, "last": last, "now": clock.now()}
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute("set session_replication_role = replica")  # triggers on 100,000 rows would take too long
            for statement in (GROW, TAKE_PART, CROWD, WINDOWS):
                admin.execute(statement.encode(), values)
            for table in ("challenges.challenges", "challenges.participants", "challenges.windows", "identity.users"):
                admin.execute(f"vacuum analyze {table}".encode())
            found = admin.execute(
                "select c.id, p.id from challenges.challenges c join challenges.participants p on p.challenge_id = c.id"
                " where c.invite_code = '1' and p.user_id = %s",
                [people[7]],
            ).fetchone()
        assert found is not None
        crowded, place = found
        return GrownDatabase(people[7], crowded, place, connection, system)

    yield grown
    connection.close()
    system.close()


WORDS = (None, "run", "zebra", "run rain", "nowhere")
STATES: tuple[ListedState | None, ...] = (None, "upcoming", "started", "ended", "paused", "archived")
# The index that each list must use. What `discover` reads inside its function shows only in the number of rows.
INDEX = {"mine": "challenges_mine", "joined": "participants_joined", "roster": "participants_present"}


def lists(crowded: UUID) -> dict[str, Ask]:
    """Return the first page of each list."""
    page: Any = {"offset": 0, "limit": PAGE}
    now = clock.now()
    found: dict[str, Ask] = {
        "mine": partial(challenges.list_owned, before=None, **page),
        "joined": partial(challenges.list_joined, before=None, **page),
        "roster": partial(participants.roster, challenge_id=crowded, after=None, **page),
    }
    for typed, state in product(WORDS, STATES):
        query = words.query(typed) if typed else None
        discover = partial(challenges.discover, query=query, state=state, now=now, before=None, **page)
        found[f"discover {typed} {state}"] = discover
    return found


def test_lists_use_their_indexes_and_cost_the_same_on_a_table_ten_times_as_large(
    grow: Callable[[int, int], GrownDatabase],
) -> None:
    few = grow(1, FEW)
    before = {name: few.read(ask) for name, ask in lists(few.crowded).items()}
    many = grow(FEW + 1, MANY)
    for name, ask in lists(many.crowded).items():
        cost = many.read(ask)
        assert INDEX.get(name, "challenges_pkey") in cost.indexes, (name, cost)
        assert cost.scanned == set(), (name, cost)
        # a list that finds less than a page reads more rows in a larger table, up to a page
        assert cost.rows <= max(1.2 * before[name].rows, 40 * PAGE), (name, cost, before[name])
    assert before["discover run None"].rows > 40 * PAGE  # for a common word this includes the check whether it is rare


def of_windows(place: UUID) -> dict[str, Ask]:
    """Return the queries of a participant's own windows."""
    now = clock.now()
    first, last = now.date() - timedelta(days=1), now.date() + timedelta(days=2)
    return {
        "between": lambda tx: windows.between(tx, place, first, last, now),
        "current": lambda tx: windows.current(tx, place, now),
    }


# The index that each query of the windows job must use. The batch also stores the windows of its 1,000 participants.
INDEX_OF_JOBS = {"overdue": "windows_undecided", "batch": "participants_pkey"}


def of_jobs() -> dict[str, Ask]:
    now = clock.now()
    return {
        "overdue": lambda tx: outcomes.lock_overdue(tx, now, 10),
        "batch": lambda tx: windows.precompute_batch(tx, FIRST_ID, jobs.BATCH, now),
    }


def test_windows_and_their_job_cost_the_same_on_a_table_ten_times_as_large(
    grow: Callable[[int, int], GrownDatabase],
) -> None:
    few = grow(1, FEW)
    before = {name: few.read(ask) for name, ask in of_windows(few.place).items()}
    before |= {name: few.read(ask, by_job=True) for name, ask in of_jobs().items()}
    many = grow(FEW + 1, MANY)
    after = {name: many.read(ask) for name, ask in of_windows(many.place).items()}
    after |= {name: many.read(ask, by_job=True) for name, ask in of_jobs().items()}
    for name, cost in after.items():
        assert cost.found, (name, cost)
        assert cost.scanned == set(), (name, cost)
        assert cost.rows <= 1.5 * before[name].rows, (name, cost, before[name])
        assert {INDEX_OF_JOBS[name]} <= cost.indexes if name in INDEX_OF_JOBS else True, (name, cost)
