"""Anyone who joins late is told with which window their dates begin."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.people import SignUp

At = Callable[[datetime], None]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


@pytest.fixture
def make(owner: Client, at: At) -> Callable[..., str]:
    """Makes a challenge that starts tomorrow at midnight in UTC, with these days and hours; its path."""

    def made(**schedule: Any) -> str:
        midnight = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        body: dict[str, Any] = challenge_body(clock.now(), visibility="public", starts_at=midnight.isoformat())
        body["rules"]["schedule"] |= {"opens": "05:00", "closes": "08:00"} | schedule
        answer = owner.post("/v1/challenges", body)
        assert answer.status == 201, answer.text
        at(midnight)
        return f"/v1/challenges/{answer.json['id']}"

    return made


@pytest.mark.parametrize(
    ("hour", "minute", "days"),
    [
        (4, 0, 0),
        (7, 59, 0),  # while a window is open, their dates begin with that one
        (8, 0, 1),  # a window that closes as they join is not theirs
        (20, 0, 1),
    ],
)
def test_a_late_joiner_learns_when_their_dates_begin(
    make: Callable[..., str], person: SignUp, at: At, hour: int, minute: int, days: int
) -> None:
    kari = person("kari", "UTC")
    path = make()
    today = clock.now()
    at(today + timedelta(hours=hour, minutes=minute))
    joined = kari.post(f"{path}/join")
    assert joined.status == 201
    day = today + timedelta(days=days)
    assert joined.json["first_window"] == {
        "local_date": f"{day:%Y-%m-%d}",
        "opens_at": f"{day:%Y-%m-%d}T05:00:00Z",
        "closes_at": f"{day:%Y-%m-%d}T08:00:00Z",
        "timezone": "UTC",
    }
    assert joined.json["notice"] == (
        "You joined after this challenge had started, so your dates begin with the first window that closes after you"
        f" joined: that of {day:%Y-%m-%d}, which closes at 08:00 on {day:%A} {day.day} {day:%B %Y} (UTC)."
        " Earlier dates do not count as missed."
    )
    dates = kari.get(f"{path}/windows", **{"from": str(today.date() - timedelta(days=3)), "to": str(day.date())}).json
    assert [window["local_date"] for window in dates["items"]] == [f"{day:%Y-%m-%d}"]


def test_the_sentence_is_on_the_clock_of_the_window(make: Callable[..., str], person: SignUp, at: At) -> None:
    kari = person("kari", "Asia/Tokyo")
    path = make(opens="22:00", closes="01:00")
    today = clock.now()
    at(today + timedelta(hours=1))  # 10:00 in Tokyo
    tomorrow = today + timedelta(days=1)
    closes = f"01:00 on {tomorrow:%A} {tomorrow.day} {tomorrow:%B %Y} (Asia/Tokyo)"
    assert closes in kari.post(f"{path}/join").json["notice"]


def test_who_joins_before_the_start_gets_no_notice(make: Callable[..., str], person: SignUp, at: At) -> None:
    kari = person("kari", "UTC")
    now = clock.now()
    path = make()
    midnight = clock.now()
    at(now)
    joined = kari.post(f"{path}/join").json
    assert (joined["first_window"]["local_date"], joined["notice"]) == (f"{midnight:%Y-%m-%d}", None)


def test_the_first_window_of_a_weekly_challenge_can_be_a_week_away(
    make: Callable[..., str], person: SignUp, at: At
) -> None:
    kari = person("kari", "UTC")
    weekday = DAYS[(clock.now() + timedelta(days=1)).weekday()]
    path = make(days=[weekday])
    today = clock.now()
    at(today + timedelta(hours=9))
    first = kari.post(f"{path}/join").json["first_window"]
    assert first["local_date"] == f"{today + timedelta(days=7):%Y-%m-%d}"


def test_a_late_joiner_for_whom_no_window_is_left_learns_so(
    make: Callable[..., str], person: SignUp, at: At, owner: Client
) -> None:
    kari = person("kari", "UTC")
    body: dict[str, Any] = challenge_body(clock.now(), visibility="public", timezone="UTC")
    begin = clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    body |= {"starts_at": begin.isoformat(), "ends_at": (begin + timedelta(hours=12)).isoformat()}
    body["rules"]["schedule"] |= {"opens": "05:00", "closes": "08:00", "scope": "challenge_tz"}
    made = owner.post("/v1/challenges", body).json
    at(begin + timedelta(hours=9))
    joined = kari.post(f"/v1/challenges/{made['id']}/join").json
    assert joined["first_window"] is None
    assert joined["notice"] == (
        "This challenge has no window left that closes after you joined, so you have no dates in it."
    )


def test_joining_again_and_returning_tell_the_same(make: Callable[..., str], person: SignUp, at: At) -> None:
    kari = person("kari", "UTC")
    path = make()
    today = clock.now()
    at(today + timedelta(hours=9))
    first = kari.post(f"{path}/join").json
    at(today + timedelta(days=3))
    again = kari.post(f"{path}/join")
    assert kari.post(f"{path}/leave").status == 204
    back = kari.post(f"{path}/join")
    assert (again.status, back.status) == (200, 201)
    for each in (again.json, back.json):
        assert (each["first_window"], each["notice"]) == (first["first_window"], first["notice"])
