"""What a change of zone leaves alone: challenges that are over, reminders of open windows, windows that were proven."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from challenges.jobs import windows_handler
from chally import clock
from notifications.jobs import reminders_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenge_views import row_versions
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

At = Callable[[datetime], None]
Mails = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def kari(person: SignUp, at: At) -> Client:
    """In Berlin, with a challenge of texts all day long, by code. It is noon in UTC."""
    kari, owner = person("kari", "Europe/Berlin"), person("owner", "Europe/Berlin")
    at(clock.now().replace(hour=11, minute=0, second=0, microsecond=0))
    body: dict[str, Any] = challenge_body(clock.now())
    body["rules"]["proof"] = {"kind": "text"}
    assert owner.post("/v1/challenges", body).status == 201
    return kari


@pytest.fixture
def join(kari: Client, database: Database) -> str:
    [(code,)] = database.execute("select invite_code from challenges.challenges")
    path = f"/v1/challenges/{code}/join"
    assert kari.post(path).status == 201
    return path


def test_a_challenge_that_is_over_does_not_change(kari: Client, join: str, database: Database, at: At) -> None:
    [(ends_at,)] = database.execute("select ends_at from challenges.challenges")
    at(ends_at)
    before = row_versions(database)
    assert kari.post(join, {"timezone": "Asia/Tokyo"}).status == 200
    assert row_versions(database) == before
    at(ends_at - timedelta(seconds=1))
    assert kari.post(join, {"timezone": "Asia/Tokyo"}).status == 200
    assert row_versions(database) != before


def test_later_windows_name_the_new_zone_even_if_its_clocks_are_the_same(
    kari: Client, join: str, database: Database
) -> None:
    """Its clocks may change differently in the future, and people see the name."""
    assert kari.post(join, {"timezone": "Europe/Oslo"}).status == 200
    [(challenge,)] = database.execute("select id from challenges.challenges")
    today = clock.now().date()
    query = {"from": str(today), "to": str(today + timedelta(days=3))}
    items = kari.get(f"/v1/challenges/{challenge}/windows", **query).json["items"]
    assert [item["timezone"] for item in items] == ["Europe/Berlin"] + 3 * ["Europe/Oslo"]
    assert kari.post(join, {"timezone": "Europe/Stockholm"}).status == 200  # now all of them are stored
    items = kari.get(f"/v1/challenges/{challenge}/windows", **query).json["items"]
    assert [item["timezone"] for item in items] == ["Europe/Berlin"] + 3 * ["Europe/Stockholm"]


def test_a_skipped_reminder_of_an_open_window_is_not_planned_again(
    kari: Client, join: str, database: Database, at: At, mails: Mails
) -> None:
    """It was due while Kari did not want reminders."""
    assert kari.patch("/v1/me", {"notifications": {"reminders": False}}).status == 200
    [(due_at,)] = database.execute(
        "select min(r.due_at) from notifications.reminders r where r.user_id = %(user)s and r.due_at > %(now)s",
        user=kari.user["id"],
        now=clock.now(),
    )
    at(due_at)
    reminders_handler({}, LambdaContext())
    at(due_at + timedelta(minutes=1))
    assert kari.patch("/v1/me", {"notifications": {"reminders": True}}).status == 200
    before = len(mails())
    assert kari.post(join, {"timezone": "Asia/Tokyo"}).status == 200
    reminders_handler({}, LambdaContext())
    assert len(mails()) == before


def test_a_window_that_was_proven_gets_no_reminder_after_a_move(
    kari: Client, join: str, database: Database, at: At, mails: Mails
) -> None:
    """The job of windows plans the missing reminders of those who moved; this one's was never made."""
    assert kari.post(join, {"timezone": "Europe/Oslo"}).status == 200
    database.execute("delete from notifications.reminders")
    [(challenge,)] = database.execute("select id from challenges.challenges")
    sent = kari.post(f"/v1/challenges/{challenge}/proofs", {"value": "I ran around the lake before breakfast."})
    assert sent.json["proof"]["status"] == "accepted"
    before = len(mails())
    for _ in range(48):
        at(clock.now() + timedelta(minutes=15))
        windows_handler({}, LambdaContext())
        reminders_handler({}, LambdaContext())
    reminded = [mail for mail in mails()[before:] if mail.get("user_id") == kari.user["id"]]
    assert reminded == []


def test_a_person_who_left_returns_in_the_zone_that_they_left_in(kari: Client, join: str, database: Database) -> None:
    [(challenge,)] = database.execute("select id from challenges.challenges")
    assert kari.post(f"/v1/challenges/{challenge}/leave").status == 204
    before = row_versions(database)
    assert kari.patch("/v1/me", {"timezone": "Asia/Tokyo"}).status == 200
    assert row_versions(database) == before
    assert kari.post(join).status == 201
    assert kari.get(f"/v1/challenges/{challenge}/windows/current").json["timezone"] == "Europe/Berlin"
