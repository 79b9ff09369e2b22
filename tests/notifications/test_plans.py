"""The cost of claiming due reminders, among a thousand reminders and among 100,000."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from chally import clock
from chally.db import Params, Tx
from notifications import queries
from notifications.rules import LATE
from tests.support.database import Database

FEW, MANY, DUE, BATCH = 1_000, 100_000, 100, 500

# The first hundred are due. Of the others half are to come; the rest was sent, cleared or given up, or never due.
GROW = """
    with places as (
        insert into challenges.participants (challenge_id, user_id, timezone, joined_at, timezone_since)
        select c.id, u.id, 'UTC', %(now)s, %(now)s
        from challenges.challenges c join identity.users u on u.username like 'user_' || %(first)s || '_%%'
        returning id, user_id
    )
    insert into notifications.reminders (
        participant_id, local_date, user_id, title, timezone, opens_at, closes_at, nominal_at, due_at, planned_at,
        sent_at, cleared_at, skipped
    )
    select id, %(now)s::date, user_id, 't', 'UTC', %(now)s - interval '1 day', %(now)s + interval '1 day', due,
        case when kind <> 4 then due end, %(now)s - interval '1 day', case when kind in (0, 1) then due end,
        case when kind = 2 then due end, case kind when 3 then 'unwanted' when 4 then 'quiet' end
    from (select *, %(first)s - 1 + row_number() over () as n from places) as place
    cross join lateral (select case when n > %(due)s then n %% 10 else 9 end as kind) as x
    cross join lateral (
        select %(now)s + case when kind < 5 then interval '-1 hour' when n <= %(due)s then interval '0'
            else make_interval(mins => n::integer) end as due
    ) as y
"""


def arrange(database: Database, first: int, last: int, now: datetime) -> None:
    values = {"first": first, "last": last, "now": now, "due": DUE}
    with psycopg.connect(database.url, autocommit=True) as admin:
        admin.execute("set session_replication_role = replica")  # the triggers of 100,000 rows would only cost time
        admin.execute(
            b"insert into identity.users (email, username, password_hash, timezone)"
            b" select n || '@b.test', 'user_' || %(first)s || '_' || n, '', 'UTC'"
            b" from generate_series(%(first)s::int, %(last)s::int) n",
            values,
        )
        if first == 1:
            admin.execute(
                b"insert into challenges.challenges"
                b" (owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)"
                b" select id, 't', 'active', 'code', 'UTC', %(now)s, %(now)s + interval '1 day', '{}'"
                b" from identity.users limit 1",
                values,
            )
        admin.execute(GROW.encode(), values)
        for table in ("challenges.challenges", "challenges.participants", "identity.users", "notifications.reminders"):
            admin.execute(f"vacuum analyze {table}".encode())


class Explained(Tx):
    """A transaction that records the plans of its statements."""

    plans: list[dict[str, Any]]

    def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
        (plan,) = self.value(f"explain (analyze, buffers, timing off, format json) {sql}", params)
        self.plans.append(plan["Plan"])
        return []


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for part in plan.get("Plans", []) for node in nodes(part))]


def taken(database: Database, now: datetime) -> dict[str, Any]:
    """The plan of the statement, executed and rolled back."""
    with psycopg.connect(database.system, prepare_threshold=None) as connection:
        tx = Explained(connection, None)
        tx.plans = []
        queries.claim_due(tx, now, LATE, BATCH)
        connection.rollback()
        [plan] = tx.plans
    return plan


@pytest.mark.parametrize("late", [timedelta(), timedelta(minutes=10)])
def test_claiming_due_reminders_costs_the_same_in_a_table_a_hundred_times_as_large(
    database: Database, late: timedelta
) -> None:
    now = clock.now()
    arrange(database, 1, FEW, now)
    few = taken(database, now + late)
    arrange(database, FEW + 1, MANY, now)
    many = taken(database, now + late)
    for plan in (few, many):
        assert plan["Actual Rows"] == DUE
    assert "reminders_pending" in {node.get("Index Name") for node in nodes(many)}
    # the only challenge can be read by a scan
    assert {node["Relation Name"] for node in nodes(many) if node["Node Type"] == "Seq Scan"} <= {"challenges"}
    assert read(many) <= min(read(few), 6 * DUE), (read(many), read(few))


def read(plan: dict[str, Any]) -> int:
    """The rows read from tables, including those filtered out."""
    return sum(
        round(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * int(node["Actual Loops"])
        for node in nodes(plan)
        if "Relation Name" in node and node["Node Type"] != "ModifyTable"
    )
