"""The cost of a page of standings, in tables of 10,000 and 100,000 standings."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from challenges.queries import standings
from chally import clock
from chally.db import Params, Tx
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.people import insert_users

CROWD = 10_000  # people in the first challenge; the others have ten participants each
PAGE = 26

CHALLENGES = """
    insert into challenges.challenges
        (id, owner_id, title, status, invite_code, timezone, starts_at, ends_at, max_participants, rules)
    select uuidv7(make_interval(secs => n - 200000)), owner.id, 't', 'active', n::text, 'UTC', %(now)s,
           %(now)s + interval '1 day', 10000, '{}'
    from generate_series(%(first)s::integer, %(last)s::integer) as n
    cross join (select id from identity.users order by id limit 1) as owner
"""
PARTICIPANTS = """
    insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since, left_at)
    select c.id, users.ids[1 + (c.n * 31 + m) %% cardinality(users.ids)], 'UTC', %(now)s, %(now)s,
           case when m %% 10 = 3 then %(now)s end
    from (select id, invite_code::integer as n from challenges.challenges) as c
    cross join (select array_agg(id order by id) as ids from identity.users) as users
    cross join lateral generate_series(1, case when c.n = 1 then cardinality(users.ids) else 10 end) as m
    where c.n between %(first)s and %(last)s
"""
# Half of them have the same points, as on the first day; many of the others share points, too.
STANDINGS = """
    insert into challenges.standings (participant_id, challenge_id, points, present)
    select p.id, p.challenge_id, case when n %% 2 = 0 then 10 else n * 7919 %% 500 end, p.left_at is null
    from (
        select *, row_number() over (order by id) as n from challenges.participants
    ) as p where not exists (select from challenges.standings s where s.participant_id = p.id)
"""


class ExplainingTx(Tx):
    """A transaction that reports how many blocks its lists touched, including inside functions."""

    blocks: int

    def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
        found = super().all(sql, params, row=row)  # run it once before, so that catalog lookups are cached
        (told,) = self.value(f"explain (analyze, buffers, timing off, format json) {sql}", params)
        self.blocks = told["Plan"]["Shared Hit Blocks"] + told["Plan"]["Shared Read Blocks"]
        return found


class GrownDatabase:
    """A database with a given number of standings."""

    def __init__(self, database: Database, first: int, last: int) -> None:
        with psycopg.connect(database.url, autocommit=True) as admin:
            admin.execute("set session_replication_role = replica")  # triggers on 100,000 rows would take too long
            admin.execute("set synchronous_commit = on")  # a vacuum does not see a commit that is not flushed yet
            for statement in (CHALLENGES, PARTICIPANTS, STANDINGS):
                admin.execute(statement.encode(), {"first": first, "last": last, "now": clock.now()})
            for table in ("challenges.challenges", "challenges.participants", "challenges.standings", "identity.users"):
                admin.execute(f"vacuum analyze {table}".encode())
        self.owner, self.crowded, self.small = database.execute(
            "select owner_id, id, (select id from challenges.challenges where invite_code = '2')"
            " from challenges.challenges where invite_code = '1'"
        )[0]
        # in the middle of those who share the same points
        self.middle = database.execute(
            "select points, participant_id from challenges.standings where challenge_id = %(id)s"
            " order by points desc, participant_id offset 5000 limit 1",
            id=self.crowded,
        )[0]

    def costs(self, connection: psycopg.Connection[Any]) -> dict[str, int]:
        """Return the blocks touched by a page of a small challenge, and by a first and a middle page of a large one."""
        return {
            "small": self._cost(connection, self.small, None),
            "first": self._cost(connection, self.crowded, None),
            "middle": self._cost(connection, self.crowded, self.middle),
        }

    def _cost(self, connection: psycopg.Connection[Any], challenge: UUID, after: tuple[int, UUID] | None) -> int:
        with acting(connection, self.owner) as acted:
            tx = ExplainingTx(connection, acted.actor)
            before = self._scans(tx)
            found = standings.ranking(tx, challenge, after=after, offset=0, limit=PAGE)
            used = {name for name, scans in self._scans(tx).items() if scans > before[name]}
        assert len(found) == (9 if challenge == self.small else PAGE)
        assert used == {"standings_ranked"}, "of its indexes, and none of the table itself"
        return tx.blocks

    def _scans(self, tx: Tx) -> dict[str, int]:
        """Return how often this transaction scanned the standings, by index, or by table name for sequential scans."""
        scans: dict[str, int] = tx.value(
            """
            select jsonb_object_agg(c.relname, pg_stat_get_xact_numscans(c.oid)) from pg_class c
            where c.oid = 'challenges.standings'::regclass or c.oid in (
                select indexrelid from pg_index where indrelid = 'challenges.standings'::regclass
            )
            """,
            {},
        )
        return scans


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection[Any]]:
    connection = connect(database)
    yield connection
    connection.close()


@pytest.fixture
def grow(database: Database) -> Callable[[int, int], GrownDatabase]:
    insert_users(database, CROWD)
    return lambda first, last: GrownDatabase(database, first, last)


def test_a_page_costs_the_same_on_a_table_ten_times_as_large(
    grow: Callable[[int, int], GrownDatabase], connection: psycopg.Connection[Any]
) -> None:
    before = grow(1, 101).costs(connection)  # 10,000 standings in the large challenge and 1,000 in the others
    after = grow(102, 9_001).costs(connection)
    for page, blocks in after.items():
        # at most one more level of each index in which a row of the page is looked up
        assert blocks <= before[page] + 2 * PAGE, (page, before, after)
    # a few blocks per row for its participant and account; the count of better ones uses only the index
    assert after["first"] <= 12 * PAGE, after
    assert after["middle"] <= after["first"] + 60, after
