"""Reminders after a removed proof, after a proof during an absence, and after a concurrent change of preferences."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from challenges import standings, windows
from chally import clock, db
from chally.db import Tx
from notifications import reminders
from notifications.jobs import reminders_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

At = Callable[[datetime], None]
Mails = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def owner(person: SignUp) -> Client:
    return person("owner", "Europe/Berlin")


@pytest.fixture
def friend(person: SignUp) -> Client:
    return person("friend", "Asia/Tokyo")


@pytest.fixture
def noon(owner: Client, friend: Client, at: At) -> datetime:
    at(clock.now().replace(hour=11, minute=0, second=0, microsecond=0))
    return clock.now()


def texts(noon: datetime) -> dict[str, Any]:
    body = challenge_body(noon)
    body["rules"]["proof"] = {"kind": "text"}
    return body


def reminded(mails: Mails, who: Client) -> int:
    return len([mail for mail in mails() if mail["template"] == "reminder" and mail["user_id"] == who.user["id"]])


def last_hour(database: Database, at: At, noon: datetime) -> None:
    """Steps through the last 70 minutes of the owner's window."""
    ((closes,),) = database.execute(
        "select min(closes_at) from challenges.windows where closes_at > %(noon)s and timezone = 'Europe/Berlin'",
        noon=noon,
    )
    for minutes in range(70, 0, -5):
        at(closes - timedelta(minutes=minutes))
        reminders_handler({}, LambdaContext())


@pytest.mark.parametrize("taken_back", [True, False])
def test_removing_a_proof_restores_its_reminder(
    noon: datetime, owner: Client, database: Database, at: At, mails: Mails, taken_back: bool
) -> None:
    challenge = owner.post("/v1/challenges", texts(noon)).json
    proof = owner.post(f"/v1/challenges/{challenge['id']}/proofs", {"value": "did it"}).json["proof"]
    if taken_back:
        assert owner.delete(f"/v1/proofs/{proof['id']}").status == 204
    last_hour(database, at, noon)
    assert reminded(mails, owner) == taken_back


def test_a_window_proved_while_away_gets_no_reminder_on_return(
    noon: datetime, owner: Client, friend: Client, database: Database, at: At, mails: Mails
) -> None:
    challenge = owner.post("/v1/challenges", challenge_body(noon)).json
    assert friend.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    ((place, day, closes),) = database.execute(
        "select w.participant_id, w.local_date, w.closes_at from challenges.windows w"
        " join challenges.participants p on p.id = w.participant_id"
        " where p.user_id = %(user)s and w.opens_at <= %(noon)s and w.closes_at > %(noon)s",
        user=friend.user["id"],
        noon=noon,
    )
    assert friend.post(f"/v1/challenges/{challenge['id']}/leave").status == 204
    at(noon + timedelta(minutes=1))
    with db.as_system("the verdict on a photo that was sent before") as tx:
        standings.record(tx, place, day, "accepted")
        reminders.clear(tx, place, day, clock.now())
    at(noon + timedelta(minutes=2))
    assert friend.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    at(closes - timedelta(minutes=59))
    reminders_handler({}, LambdaContext())
    assert reminded(mails, friend) == 0


def test_quiet_hours_that_change_during_planning_apply(
    noon: datetime, owner: Client, database: Database, at: At
) -> None:
    """The job reads before the change commits and commits after it, with a clock that is ahead."""
    owner.post("/v1/challenges", challenge_body(noon))
    at(noon + timedelta(days=1))
    with (
        psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection,
        connection.transaction(),
    ):
        windows.precompute_batch(Tx(connection, None), UUID(int=0), 1000, clock.now() + timedelta(milliseconds=10))
        hours = {"from": "22:00", "to": "23:30"}
        assert owner.patch("/v1/me", {"notifications": {"quiet_hours": hours}}).status == 200
    for days in range(4):
        for hour in range(18, 24):
            for minute in (0, 1, 31):
                at((noon + timedelta(days=days + 1)).replace(hour=hour, minute=minute))
                reminders_handler({}, LambdaContext())
    sent = database.execute(
        "select to_char(sent_at at time zone 'Europe/Berlin', 'HH24:MI') from notifications.reminders"
        " where sent_at is not null"
    )
    assert sent
    assert [wall for (wall,) in sent if "22:00" <= wall < "23:30"] == []
