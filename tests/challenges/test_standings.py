"""Standings under two connections at once."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from challenges import rules, standings
from challenges.language import Scoring
from chally import clock, db
from tests.conftest import Database, Join, challenge_body


@pytest.fixture
def window(person: Join, database: Database) -> tuple[Any, Any]:
    """An overdue window of somebody's: participant and date."""
    person("owner").post("/v1/challenges", challenge_body(clock.now()))
    database.execute("delete from challenges.windows where closes_at > now() + interval '1 day'")
    row: tuple[Any, Any] = database.execute("select participant_id, local_date from challenges.windows limit 1")[0]
    return row


def test_a_verdict_and_the_closing_of_its_window_take_turns(database: Database, window: tuple[Any, Any]) -> None:
    """The closing job holds the window when a verdict comes: whoever is second waits, and neither deadlocks."""
    participant, day = window
    later = datetime.now(UTC) + timedelta(days=2)
    verdict = threading.Thread(target=_verdict, args=(participant, day, database))
    with db.as_system("close overdue windows") as tx:
        held = tx.value(
            "select pg_backend_pid() from challenges.windows where participant_id = %(id)s for update",
            {"id": participant},
        )
        verdict.start()
        while not _waits_for(database, held):
            pass
        assert standings.close_overdue(tx, later, 10) >= 1
    verdict.join()
    rows = database.execute("select accepted, missed, points from challenges.standings")
    assert rows == [(1, 0, 10)]


def _verdict(participant: Any, day: Any, database: Database) -> None:
    """Another environment, with a connection of its own."""
    with psycopg.connect(database.system) as connection:
        standings.record(db.Tx(connection, None), participant, day, "accepted")


def _waits_for(database: Database, pid: int) -> bool:
    return bool(database.execute("select 1 from pg_stat_activity where %(pid)s = any(pg_blocking_pids(pid))", pid=pid))


def test_a_standing_equals_its_recomputation(database: Database, window: tuple[Any, Any]) -> None:
    participant, day = window
    with db.as_system("test") as tx:
        standings.record(tx, participant, day, "missed")
        standings.record(tx, participant, day, "accepted")
    (outcomes,) = database.execute(
        "select array_agg(outcome order by local_date) from challenges.windows where outcome is not null"
    )[0]
    expected = rules.score(outcomes, Scoring())
    rows = database.execute("select points, current_streak, best_streak, accepted, missed from challenges.standings")
    assert rows == [(expected.points, expected.current_streak, expected.best_streak, 1, 0)]
