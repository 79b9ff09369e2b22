"""Windows that close while a challenge is not running are excused; and locking between edits, joins and the job."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from challenges import membership, outcomes, rules, standings, windows
from challenges.jobs import windows_handler
from challenges.outcomes import WindowOutcome
from challenges.queries import challenges
from challenges.queries.challenges import ChallengeFields
from chally import clock
from chally.db import Tx
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.people import SignUp

DAY = timedelta(days=1)
At = Callable[[datetime], None]


def run() -> None:
    windows_handler({}, LambdaContext())


def become(owner: Client, challenge: dict[str, Any], status: str) -> None:
    answer = owner.post(f"/v1/challenges/{challenge['id']}/transitions", {"to": status})
    assert answer.status == 200, answer.text


def missed(database: Database, who: Client) -> int:
    rows = database.execute(
        "select s.missed from challenges.standings s join challenges.participants p on p.id = s.participant_id"
        " where p.user_id = %(user)s",
        user=who.user["id"],
    )
    return int(rows[0][0])


@pytest.fixture
def traveller(person: SignUp) -> Client:
    return person("traveller", "Asia/Tokyo")


@pytest.fixture
def noon(owner: Client, traveller: Client, at: At) -> datetime:
    at(clock.now().replace(hour=11, minute=0, second=0, microsecond=0))
    return clock.now()


class TestPauses:
    def test_windows_that_close_during_a_pause_are_excused(
        self, noon: datetime, owner: Client, database: Database, at: At
    ) -> None:
        challenge = owner.post("/v1/challenges", challenge_body(noon)).json
        run()
        become(owner, challenge, "paused")
        for quarter in range(1, 5 * 4):
            at(noon + quarter * DAY / 4)
            run()
        become(owner, challenge, "active")
        run()
        assert missed(database, owner) == 0
        at(noon + 7 * DAY)
        run()
        assert missed(database, owner) > 0  # windows count again

    def test_a_pause_around_a_close_excuses_the_window(
        self, noon: datetime, owner: Client, database: Database, at: At
    ) -> None:
        challenge = owner.post("/v1/challenges", challenge_body(noon)).json
        ((closes,),) = database.execute(
            "select min(closes_at) from challenges.windows where closes_at > %(noon)s", noon=noon
        )
        at(closes - timedelta(hours=10))
        run()
        become(owner, challenge, "paused")
        at(closes + timedelta(minutes=10))
        become(owner, challenge, "active")
        at(closes + timedelta(minutes=25))
        run()
        assert missed(database, owner) == 0

    def test_a_draft_that_is_activated_late_has_missed_nothing(
        self, noon: datetime, owner: Client, database: Database, at: At
    ) -> None:
        challenge = owner.post("/v1/challenges", challenge_body(noon, status="draft")).json
        at(noon + 5 * DAY)
        become(owner, challenge, "active")
        run()
        assert missed(database, owner) == 0

    def test_a_change_of_zone_after_a_pause_misses_nothing(
        self, noon: datetime, owner: Client, database: Database, at: At
    ) -> None:
        challenge = owner.post("/v1/challenges", challenge_body(noon)).json
        run()
        become(owner, challenge, "paused")
        for days in range(1, 8):
            at(noon + days * DAY)
            run()
        become(owner, challenge, "active")
        run()
        before = missed(database, owner)
        assert owner.patch("/v1/me", {"timezone": "Europe/London"}).status == 200
        run()
        assert missed(database, owner) == before

    def test_a_change_of_zone_after_the_end_changes_no_window(
        self, noon: datetime, owner: Client, traveller: Client, database: Database, at: At
    ) -> None:
        body = challenge_body(noon, ends_at=(noon + 4 * DAY).isoformat())
        challenge = owner.post("/v1/challenges", body).json
        assert traveller.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
        for days in range(1, 3):
            at(noon + days * DAY)
            run()
        at(noon + 8 * DAY)  # the job did not run when the challenge ended
        run()
        before = missed(database, traveller)
        traveller.post(f"/v1/challenges/{challenge['invite_code']}/join", {"timezone": "Asia/Seoul"})
        run()
        assert missed(database, traveller) == before


def test_the_job_waits_for_an_edit_of_the_schedule(noon: datetime, owner: Client, database: Database) -> None:
    """Otherwise windows of the former schedule would stay and be missed."""
    body = challenge_body(noon, starts_at=(noon + timedelta(hours=14)).isoformat())
    challenge = owner.post("/v1/challenges", body).json
    challenge_id = UUID(challenge["id"])
    day = f"{noon + 2 * DAY:%a}".lower()
    rules = challenge["rules"] | {
        "schedule": challenge["rules"]["schedule"] | {"days": [day], "opens": "18:00", "closes": "20:00"}
    }

    def job() -> None:
        with (
            psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection,
            connection.transaction(),
        ):
            windows.precompute_batch(Tx(connection, None), UUID(int=0), 1000, clock.now())

    batch = threading.Thread(target=job)
    with connect(database) as own, acting(own, UUID(owner.user["id"])) as tx:
        challenges.lock_schedule(tx, challenge_id)
        challenges.lock(tx, challenge_id)
        found = challenges.find(tx, challenge_id)
        before = {name: getattr(found, name) for name in ChallengeFields.__dataclass_fields__}
        challenges.reschedule(tx, challenge_id, ChallengeFields(**before | {"rules": rules}), clock.now())
        batch.start()
        while database.execute("select count(*) from pg_locks where not granted") != [(1,)]:
            assert batch.is_alive()
    batch.join()
    opening = "select distinct to_char(opens_at at time zone 'Europe/Berlin', 'HH24:MI') from challenges.windows"
    assert database.execute(opening) == [("18:00",)]


def test_rejoining_from_another_zone_does_not_deadlock_with_closing(
    noon: datetime, owner: Client, traveller: Client, database: Database, at: At
) -> None:
    """Both sides lock windows before standings; otherwise they could wait for each other."""
    challenge = owner.post("/v1/challenges", challenge_body(noon)).json
    assert traveller.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    assert traveller.post(f"/v1/challenges/{challenge['id']}/leave").status == 204
    at(noon + DAY + timedelta(hours=14))
    failed: list[BaseException] = []

    def come_back() -> None:
        try:
            with connect(database) as own, acting(own, UUID(traveller.user["id"])) as tx:
                membership.join(tx, challenge["invite_code"], "America/New_York", clock.now())
        except BaseException as error:
            failed.append(error)

    coming = threading.Thread(target=come_back)
    with (
        psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection,
        connection.transaction(),
    ):
        tx = Tx(connection, None)
        overdue = outcomes.lock_overdue(tx, clock.now() - rules.VERDICT_TIMEOUT, 1000)
        assert overdue
        coming.start()
        while coming.is_alive() and database.execute("select count(*) from pg_locks where not granted") == [(0,)]:
            pass
        closings = [WindowOutcome(each.participant_id, each.local_date, "missed") for each in overdue]
        standings._update(tx, outcomes.record(tx, closings))
    coming.join()
    assert failed == []
