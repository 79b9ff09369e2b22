"""The preview of a change of the account's zone: which windows would move."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenge_views import ZONE_PREVIEW, preview_zone_change, row_versions, window_times
from tests.support.challenges import ChallengeJson, challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

At = Callable[[datetime], None]


def previewed_ids(who: Client, **query: object) -> list[str]:
    answer = who.call("POST", ZONE_PREVIEW, body={"timezone": "America/New_York"}, query=query)
    assert answer.status == 200, answer.text
    return [item["challenge"]["id"] for item in answer.json["items"]]


def test_the_preview_requires_a_sign_in(nobody: Client) -> None:
    assert nobody.post(ZONE_PREVIEW, {"timezone": "Asia/Tokyo"}).code == "unauthenticated"


def test_the_preview_shows_only_your_own_challenges(
    owner: Client, member: Client, stranger: Client, person: SignUp, challenge: dict[str, Any],
    database: Database,
) -> None:  # fmt: skip
    moderator = person("judge")
    database.execute("update identity.users set role = 'moderator' where username = 'judge'")
    assert previewed_ids(owner) == previewed_ids(member) == [challenge["id"]]
    assert previewed_ids(stranger) == previewed_ids(moderator) == []
    before = preview_zone_change(owner, "Asia/Tokyo")
    member.patch("/v1/me", {"timezone": "America/New_York"})
    assert preview_zone_change(owner, "Asia/Tokyo") == before


def test_the_preview_shows_each_window_before_and_after(owner: Client, person: SignUp, at: At) -> None:
    traveller = person("traveller", "Asia/Tokyo")
    now = clock.now().replace(hour=11, minute=0, second=0, microsecond=0)  # so the last date fits in both zones
    at(now)
    challenge = owner.post("/v1/challenges", challenge_body(now)).json
    assert traveller.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    item = traveller.post(ZONE_PREVIEW, {"timezone": "Asia/Seoul"}).json["items"][0]
    assert item == {"challenge": {"id": challenge["id"], "title": challenge["title"]}, "windows": []}
    moving = traveller.post(ZONE_PREVIEW, {"timezone": "Asia/Kolkata"}).json["items"][0]["windows"]
    assert moving
    for window in moving:
        assert (window["from"]["timezone"], window["to"]["timezone"]) == ("Asia/Tokyo", "Asia/Kolkata")
        later = timedelta(hours=3, minutes=30)
        assert window_times(window["to"])[1] == min(
            window_times(window["from"])[1] + later, datetime.fromisoformat(challenge["ends_at"])
        )


def test_the_preview_shows_each_date_once(member: Client, path: str) -> None:
    for zone in ("America/New_York", "Europe/Oslo"):  # before and after all windows are stored
        [item] = member.post(ZONE_PREVIEW, {"timezone": zone}).json["items"]
        dates = [window["local_date"] for window in item["windows"]]
        assert len(dates) > 25
        assert dates == sorted(set(dates))
        assert member.patch("/v1/me", {"timezone": "America/New_York"}).status == 200


def test_the_preview_changes_nothing(member: Client, database: Database) -> None:
    before = row_versions(database)
    assert preview_zone_change(member, "America/New_York")
    assert row_versions(database) == before
    assert member.get("/v1/me").json["timezone"] == "Asia/Tokyo"


def test_the_preview_of_the_current_zone_moves_nothing(member: Client, challenge: dict[str, Any]) -> None:
    assert preview_zone_change(member, "Asia/Tokyo") == {challenge["id"]: {}}


@pytest.mark.parametrize("to", ["canceled", "deleted"])
def test_the_preview_omits_canceled_and_deleted_challenges(owner: Client, member: Client, path: str, to: str) -> None:
    owner.post(f"{path}/transitions", {"to": to})
    assert previewed_ids(owner) == previewed_ids(member) == []


def test_the_preview_includes_paused_challenges(
    owner: Client, member: Client, path: str, challenge: dict[str, Any]
) -> None:
    owner.post(f"{path}/transitions", {"to": "paused"})
    assert previewed_ids(member) == [challenge["id"]]


def test_the_preview_omits_drafts_and_challenges_that_are_over_or_left(
    owner: Client,
    member: Client,
    path: str,
    challenge: dict[str, Any],
    make: Callable[..., ChallengeJson],
    at: At,
) -> None:
    make(status="draft")
    assert previewed_ids(owner) == [challenge["id"]]
    member.post(f"{path}/leave")
    assert previewed_ids(member) == []
    at(datetime.fromisoformat(challenge["ends_at"]))
    assert previewed_ids(owner) == []


def test_the_preview_omits_challenges_joined_in_a_different_zone(member: Client, by_code: str) -> None:
    member.post(by_code, {"timezone": "Africa/Nairobi"})
    assert previewed_ids(member) == []


def test_the_preview_covers_62_days(owner: Client) -> None:
    owner.post("/v1/challenges", challenge_body(clock.now(), ends_at=(clock.now() + timedelta(days=200)).isoformat()))
    [moving] = preview_zone_change(owner, "Asia/Tokyo").values()
    assert max(moving) <= (clock.now() + timedelta(days=63)).date()
    assert len(moving) > 55


def test_the_preview_is_paged_with_the_last_joined_challenge_first(
    owner: Client, make: Callable[..., ChallengeJson]
) -> None:
    made = [make()["id"] for _ in range(5)]
    answer = owner.call("POST", ZONE_PREVIEW, body={"timezone": "Asia/Tokyo"}, query={"limit": 3}).json
    first = [item["challenge"]["id"] for item in answer["items"]]
    assert first + previewed_ids(owner, cursor=answer["next_cursor"]) == made[::-1]
