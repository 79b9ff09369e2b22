"""The windows job, through the real handler."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from challenges import standings
from challenges.jobs import windows_handler
from chally import clock, db
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp


@pytest.fixture
def owner(person: SignUp) -> Client:
    return person("owner")


@pytest.fixture
def challenge(owner: Client, at: Callable[[datetime], None]) -> dict[str, Any]:
    """A challenge created at noon, so that no test crosses midnight."""
    at(clock.now().replace(hour=11))
    return dict(owner.post("/v1/challenges", challenge_body(clock.now())).json)


def run() -> dict[str, int]:
    return dict(windows_handler({}, LambdaContext()))


def test_the_job_stores_windows_ahead_for_every_participant(
    owner: Client, challenge: dict[str, Any], database: Database, at: Callable[[datetime], None]
) -> None:
    latest = "select max(local_date) from challenges.windows"
    before = database.execute(latest)[0][0]
    at(clock.now() + timedelta(days=3))
    run()
    assert database.execute(latest)[0][0] == before + timedelta(days=3)


def test_a_window_without_a_proof_is_missed_once(
    owner: Client, challenge: dict[str, Any], database: Database, at: Callable[[datetime], None]
) -> None:
    at(clock.now() + timedelta(days=1, minutes=21))
    assert run()["closed"] == run()["closed"] + 1
    standing = owner.get(f"/v1/challenges/{challenge['id']}/standings").json["items"][0]
    assert (standing["missed"], standing["points"], standing["current_streak"]) == (1, 0, 0)


def test_a_late_verdict_turns_a_missed_window_into_an_accepted_one(
    owner: Client, challenge: dict[str, Any], database: Database, at: Callable[[datetime], None]
) -> None:
    at(clock.now() + timedelta(days=1, minutes=21))
    run()
    participant, day = database.execute(
        "select participant_id, local_date from challenges.windows where outcome = 'missed'"
    )[0]
    for _ in range(2):  # any event may arrive twice
        with db.as_system("test") as tx:
            standings.record(tx, participant, day, "accepted")
    with db.as_system("test") as tx:
        standings.record(tx, participant, day, "missed")  # and out of order
    standing = owner.get(f"/v1/challenges/{challenge['id']}/standings").json["items"][0]
    assert (standing["missed"], standing["accepted"], standing["points"]) == (0, 1, 10)
    query = {"from": day, "to": day}
    assert owner.get(f"/v1/challenges/{challenge['id']}/windows", **query).json["items"][0]["state"] == "accepted"


@pytest.mark.parametrize("to", ["paused", "canceled", "deleted"])
def test_windows_that_closed_while_not_running_are_excused(
    owner: Client, challenge: dict[str, Any], database: Database, at: Callable[[datetime], None], to: str
) -> None:
    owner.post(f"/v1/challenges/{challenge['id']}/transitions", {"to": to})
    at(clock.now() + timedelta(days=1, minutes=21))
    assert run()["closed"] >= 1
    assert database.execute("select missed from challenges.standings") == [(0,)]
    assert database.execute("select distinct outcome from challenges.windows where outcome is not null") == [
        ("excused",)
    ]


def test_a_draft_stores_no_windows_until_it_is_active(
    owner: Client, database: Database, at: Callable[[datetime], None]
) -> None:
    draft = owner.post("/v1/challenges", challenge_body(clock.now(), status="draft")).json
    count = "select count(*) > 0 from challenges.windows"
    assert database.execute(count) == [(False,)]
    owner.post(f"/v1/challenges/{draft['id']}/transitions", {"to": "active"})
    assert database.execute(count) == [(True,)]


def test_a_challenge_that_is_over_cannot_be_activated(owner: Client, at: Callable[[datetime], None]) -> None:
    draft = owner.post("/v1/challenges", challenge_body(clock.now(), status="draft")).json
    at(datetime.fromisoformat(draft["ends_at"]))
    refused = owner.post(f"/v1/challenges/{draft['id']}/transitions", {"to": "active"})
    assert refused.code == "invalid_transition"


def test_paused_challenges_get_no_windows(
    owner: Client, challenge: dict[str, Any], database: Database, at: Callable[[datetime], None]
) -> None:
    owner.post(f"/v1/challenges/{challenge['id']}/transitions", {"to": "paused"})
    before = database.execute("select count(*) from challenges.windows")
    at(clock.now() + timedelta(days=3))
    run()
    assert database.execute("select count(*) from challenges.windows") == before


def test_challenges_of_an_earlier_release_become_findable(owner: Client, person: SignUp, database: Database) -> None:
    """It writes no column for the search, also while the functions are replaced after the migration."""
    stranger = person("stranger")
    for title in ("Ran", "Rodeo"):
        owner.post("/v1/challenges", challenge_body(clock.now(), title=title, visibility="public"))
    database.execute("update challenges.challenges set search = null where title = 'Ran'")
    assert stranger.get("/v1/challenges", q="ran").json["items"] == []
    for _ in range(2):
        run()
        assert [item["title"] for item in stranger.get("/v1/challenges", q="ran").json["items"]] == ["Ran"]
    assert database.execute("select count(*) from challenges.challenges where search is null") == [(0,)]
