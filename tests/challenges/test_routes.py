"""Challenges over HTTP, tried as anonymous, stranger, participant and owner."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

EVERY_NIGHT = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "23:00", "closes": "01:00"}


class TestCreate:
    def test_the_owner_takes_part_at_once(self, owner: Client, challenge: dict[str, Any]) -> None:
        assert challenge["is_owner"]
        assert challenge["is_participant"]
        assert challenge["participant_count"] == 1
        assert challenge["status"] == "active"
        assert challenge["runtime_state"] == "started"
        assert challenge["owner"] == {"id": owner.user["id"], "username": "owner"}
        assert challenge["rules"]["scoring"] == {"points": 10, "streak_bonus": 1, "grace_days": 0}
        assert len(challenge["invite_code"]) == 8
        assert challenge["created_at"].endswith("Z")

    def test_creating_requires_a_sign_in(self, nobody: Client) -> None:
        assert nobody.post("/v1/challenges", challenge_body(clock.now())).status == 401

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"title": ""}, "/title"),
            ({"title": "x" * 121}, "/title"),
            ({"surprise": 1}, "/surprise"),
            ({"timezone": "EST"}, "/timezone"),
            ({"max_participants": 10_001}, "/max_participants"),
            ({"starts_at": "2020-01-01T00:00:00Z"}, "/starts_at"),
            ({"starts_at": "2020-01-01T00:00:00"}, "/starts_at"),
            ({"starts_at": "9999-12-31T00:00:00Z", "ends_at": "9999-12-31T23:00:00-14:00"}, "/starts_at"),
            ({"title": "  "}, "/title"),
            ({"title": "\u200b\u2060\u3164"}, "/title"),  # nothing of it can be seen
            ({"title": "Run\x1b[2J"}, "/title"),
            ({"title": "Run \u202etset.live"}, "/title"),
            ({"description": "Run \u2066now"}, "/description"),
            (
                {"rules": {"schedule": EVERY_NIGHT, "proof": {"kind": "number", "unit": "\u200b"}}},
                "/rules/proof/unit",
            ),
            ({"ends_at": "2020-01-01T00:00:00Z"}, "/ends_at"),
            ({"ends_at": "2999-01-01T00:00:00Z"}, "/ends_at"),
            ({"rules": {"version": 2, "schedule": {}}}, "/rules/version"),
            ({"rules": {"schedule": {"days": ["mon"], "opens": "25:00", "closes": "08:00"}}}, "/rules/schedule/opens"),
            ({"rules": {"schedule": {"days": [], "opens": "05:00", "closes": "08:00"}}}, "/rules/schedule/days"),
        ],
    )
    def test_an_invalid_challenge_names_the_field(self, owner: Client, change: dict[str, Any], pointer: str) -> None:
        answer = owner.post("/v1/challenges", challenge_body(clock.now()) | change)
        assert answer.status == 422
        assert pointer in [error["pointer"] for error in answer.json["errors"]]

    def test_a_title_is_one_line_and_a_description_keeps_its_lines(self, owner: Client) -> None:
        text = "\ufeff Run\u2028before\r\n\r\neight\u00a0"
        path = f"/v1/challenges/{owner.post('/v1/challenges', challenge_body(clock.now())).json['id']}"
        edited = owner.patch(path, {"title": text, "description": text}).json
        assert (edited["title"], edited["description"]) == ("Run before eight", "Run\nbefore\n\neight")
        assert owner.patch(path, {"title": "\u202eRun"}).status == 422

    def test_rules_that_never_open_a_window_are_refused(self, owner: Client) -> None:
        now = datetime(2027, 3, 1, 12, tzinfo=UTC)  # a Monday
        body = challenge_body(now) | {
            "starts_at": (now + timedelta(days=100)).isoformat(),
            "ends_at": (now + timedelta(days=101)).isoformat(),  # Wednesday noon to Thursday noon
        }
        body["rules"]["schedule"] = {"days": ["sun"], "opens": "05:00", "closes": "08:00"}
        answer = owner.post("/v1/challenges", body)
        assert [error["pointer"] for error in answer.json["errors"]] == ["/rules/schedule"]

    def test_a_repeated_idempotency_key_creates_one_challenge(self, owner: Client, database: Database) -> None:
        body = challenge_body(clock.now())
        first = owner.post("/v1/challenges", body, idempotency_key="k1")
        again = owner.post("/v1/challenges", body, idempotency_key="k1")
        assert (first.status, first.text) == (again.status, again.text)
        assert first.headers["location"] == again.headers["location"]
        assert again.headers["idempotent-replayed"] == "true"
        assert "idempotent-replayed" not in first.headers
        assert database.execute("select count(*) from challenges.challenges") == [(1,)]
        other = owner.post("/v1/challenges", body | {"title": "Another"}, idempotency_key="k1")
        assert other.code == "idempotency_key_reused"

    def test_a_token_of_a_deleted_account_creates_nothing(self, owner: Client, database: Database) -> None:
        database.execute("delete from identity.users")
        assert owner.post("/v1/challenges", challenge_body(clock.now())).code == "session_ended"

    def test_idempotency_keys_are_separate_per_person(self, owner: Client, stranger: Client) -> None:
        body = challenge_body(clock.now())
        mine = owner.post("/v1/challenges", body, idempotency_key="k1")
        theirs = stranger.post("/v1/challenges", body, idempotency_key="k1")
        assert mine.json["id"] != theirs.json["id"]


class TestRead:
    def test_each_reader_sees_what_they_may(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, challenge: dict[str, Any]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}"
        assert nobody.get(path).status == 401
        assert stranger.get(path).code == "not_found"
        assert member.get(path).json["invite_code"] == challenge["invite_code"]
        assert owner.get(path).json["participant_count"] == 2
        assert owner.get(f"/v1/challenges/{uuid4()}").code == "not_found"

    @pytest.mark.parametrize("hidden", [{"visibility": "private"}, {"visibility": "public", "status": "draft"}])
    def test_a_private_challenge_is_not_found_by_strangers(
        self, owner: Client, stranger: Client, hidden: dict[str, Any]
    ) -> None:
        made = owner.post("/v1/challenges", challenge_body(clock.now(), **hidden)).json
        for what in ("", "/participants", "/standings", "/windows/current"):
            assert stranger.get(f"/v1/challenges/{made['id']}{what}").code == "not_found"
        assert owner.get(f"/v1/challenges/{made['id']}").json["invite_code"] == made["invite_code"]

    def test_a_public_challenge_is_shown_without_its_code(self, owner: Client, stranger: Client) -> None:
        body = challenge_body(clock.now(), visibility="public")
        path = f"/v1/challenges/{owner.post('/v1/challenges', body).json['id']}"
        seen = stranger.get(path)
        assert seen.json["invite_code"] is None
        assert not seen.json["is_participant"]


class TestTransition:
    def test_a_challenge_can_be_activated_paused_resumed_and_canceled(self, owner: Client) -> None:
        draft = owner.post("/v1/challenges", challenge_body(clock.now(), status="draft")).json
        path = f"/v1/challenges/{draft['id']}"
        assert draft["runtime_state"] == "draft"
        for to, state in [("active", "started"), ("paused", "paused"), ("active", "started"), ("canceled", "canceled")]:
            assert owner.post(f"{path}/transitions", {"to": to}).json["runtime_state"] == state
        refused = owner.post(f"{path}/transitions", {"to": "active"})
        assert refused.code == "invalid_transition"
        assert "deleted" in refused.json["detail"]
        assert owner.post(f"{path}/transitions", {"to": "deleted"}).status == 200
        assert owner.get(path).status == 404

    def test_only_the_owner_can_change_the_status(
        self, nobody: Client, stranger: Client, member: Client, challenge: dict[str, Any]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}/transitions"
        assert nobody.post(path, {"to": "paused"}).status == 401
        assert stranger.post(path, {"to": "paused"}).code == "not_found"
        assert member.post(path, {"to": "paused"}).code == "not_owner"


class TestJoin:
    def test_joining_by_code_from_another_zone(self, stranger: Client, challenge: dict[str, Any]) -> None:
        path = f"/v1/challenges/{challenge['invite_code'].lower()}/join"
        joined = stranger.post(path, {"timezone": "Pacific/Auckland"})
        assert joined.status == 201
        assert joined.json["participant_count"] == 2
        window = stranger.get(f"/v1/challenges/{challenge['id']}/windows/current")
        assert window.json["timezone"] == "Pacific/Auckland"

    def test_joining_again_only_updates_the_zone(self, member: Client, challenge: dict[str, Any]) -> None:
        path = f"/v1/challenges/{challenge['invite_code']}/join"
        again = member.post(path, {"timezone": "America/Lima"})
        assert again.status == 200
        assert again.json["participant_count"] == 2
        later = member.get(
            f"/v1/challenges/{challenge['id']}/windows",
            **{"from": (clock.now() + timedelta(days=3)).date(), "to": (clock.now() + timedelta(days=3)).date()},
        )
        assert [window["timezone"] for window in later.json["items"]] == ["America/Lima"]

    def test_joining_requires_a_sign_in(self, nobody: Client, challenge: dict[str, Any]) -> None:
        assert nobody.post(f"/v1/challenges/{challenge['invite_code']}/join", {}).status == 401

    def test_the_owner_has_already_joined(self, owner: Client, challenge: dict[str, Any]) -> None:
        assert owner.post(f"/v1/challenges/{challenge['invite_code']}/join").code == "owner_already_in"

    def test_only_a_public_challenge_can_be_joined_by_id(
        self, stranger: Client, owner: Client, challenge: dict[str, Any]
    ) -> None:
        assert stranger.post(f"/v1/challenges/{challenge['id']}/join").code == "not_found"
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        assert stranger.post(f"/v1/challenges/{public['id']}/join").status == 201

    def test_an_unknown_code_is_not_found(self, stranger: Client) -> None:
        assert stranger.post("/v1/challenges/ZZZZZZZZ/join").code == "not_found"

    def test_a_full_challenge_cannot_be_joined(self, owner: Client, person: SignUp, database: Database) -> None:
        small = owner.post("/v1/challenges", challenge_body(clock.now(), max_participants=2)).json
        path = f"/v1/challenges/{small['invite_code']}/join"
        assert person("second").post(path).status == 201
        assert person("third").post(path).code == "full"
        rows = database.execute(
            "select participant_count, (select count(*) from challenges.participants p where p.challenge_id = c.id)"
            " from challenges.challenges c where id = %(id)s",
            id=small["id"],
        )
        assert rows == [(2, 2)]

    def test_a_started_challenge_cannot_be_joined_without_late_join(self, owner: Client, stranger: Client) -> None:
        strict = owner.post("/v1/challenges", challenge_body(clock.now(), late_join=False)).json
        assert stranger.post(f"/v1/challenges/{strict['invite_code']}/join").code == "already_started"

    def test_only_an_active_challenge_can_be_joined(
        self, owner: Client, stranger: Client, challenge: dict[str, Any]
    ) -> None:
        owner.post(f"/v1/challenges/{challenge['id']}/transitions", {"to": "paused"})
        assert stranger.post(f"/v1/challenges/{challenge['invite_code']}/join").code == "not_active"


class TestRoster:
    def test_the_roster_shows_usernames_and_no_addresses(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, challenge: dict[str, Any]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}/participants"
        assert nobody.get(path).status == 401
        assert stranger.get(path).code == "not_found"
        for reader in (member, owner):
            roster = reader.get(path)
            assert [item["username"] for item in roster.json["items"]] == ["owner", "member"]
            assert "@" not in roster.text

    def test_the_roster_is_paged(self, owner: Client, member: Client, challenge: dict[str, Any]) -> None:
        path = f"/v1/challenges/{challenge['id']}/participants"
        first = owner.get(path, limit=1).json
        assert first["has_more"]
        second = owner.get(path, limit=1, cursor=first["next_cursor"]).json
        assert [page["items"][0]["username"] for page in (first, second)] == ["owner", "member"]
        assert (second["has_more"], second["next_cursor"]) == (False, None)
        for cursor in ("garbage", "!", "", "YQ"):
            assert owner.get(path, cursor=cursor).status == 422
        assert owner.get(path, limit=101).status == 422

    def test_the_roster_can_be_visible_only_to_the_owner(self, owner: Client, stranger: Client) -> None:
        body = challenge_body(clock.now(), roster_visibility="owner")
        challenge = owner.post("/v1/challenges", body).json
        stranger.post(f"/v1/challenges/{challenge['invite_code']}/join")
        for what in ("participants", "standings"):
            assert stranger.get(f"/v1/challenges/{challenge['id']}/{what}").code == "roster_hidden"
            assert owner.get(f"/v1/challenges/{challenge['id']}/{what}").status == 200


class TestWindows:
    def test_a_participant_sees_their_own_windows(
        self, nobody: Client, stranger: Client, member: Client, challenge: dict[str, Any]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}/windows"
        today = clock.now().date()
        query = {"from": today, "to": today + timedelta(days=6)}
        assert nobody.get(path, **query).status == 401
        assert stranger.get(path, **query).code == "not_found"
        windows = member.get(path, **query).json["items"]
        assert len(windows) in (6, 7)  # today's window may have closed before joining
        assert {window["timezone"] for window in windows} == {"Asia/Tokyo"}
        assert all(earlier["closes_at"] <= later["opens_at"] for earlier, later in itertools.pairwise(windows))

    def test_a_list_of_windows_covers_at_most_62_days(self, member: Client, challenge: dict[str, Any]) -> None:
        path = f"/v1/challenges/{challenge['id']}/windows"
        assert member.get(path, **{"from": "2027-01-01", "to": "2027-03-04"}).status == 422
        assert member.get(path, **{"from": "2027-01-02", "to": "2027-01-01"}).status == 422
        assert member.get(path, **{"from": "2027-01-01", "to": "2027-03-03"}).status == 200

    def test_a_non_participant_has_no_windows(self, owner: Client, stranger: Client) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        assert stranger.get(f"/v1/challenges/{public['id']}/windows/current").code == "not_participant"

    def test_the_current_window_is_open_or_the_next_one(
        self, owner: Client, challenge: dict[str, Any], at: Callable[[datetime], None]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}/windows/current"
        window = owner.get(path).json
        assert window["state"] == "open"
        assert window["proofs"] == []
        at(datetime.fromisoformat(challenge["ends_at"]))
        assert owner.get(path).code == "not_found"


class TestStandings:
    def test_everyone_starts_with_rank_one(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, challenge: dict[str, Any]
    ) -> None:
        path = f"/v1/challenges/{challenge['id']}/standings"
        assert nobody.get(path).status == 401
        assert stranger.get(path).code == "not_found"
        for reader in (member, owner):
            items = reader.get(path).json["items"]
            assert [(item["rank"], item["points"]) for item in items] == [(1, 0), (1, 0)]
            assert {item["username"] for item in items} == {"owner", "member"}

    def test_equal_points_share_a_rank_across_pages(
        self, owner: Client, member: Client, person: SignUp, challenge: dict[str, Any], database: Database
    ) -> None:
        person("third").post(f"/v1/challenges/{challenge['invite_code']}/join")
        database.execute(
            "update challenges.standings s set points = case u.username when 'third' then 5 else 20 end"
            " from challenges.participants p join identity.users u on u.id = p.user_id where p.id = s.participant_id"
        )
        path = f"/v1/challenges/{challenge['id']}/standings"
        ranks: list[tuple[int, int]] = []
        cursor: dict[str, str] = {}
        while True:
            page = owner.get(path, limit=1, **cursor).json
            ranks += [(item["rank"], item["points"]) for item in page["items"]]
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert ranks == [(1, 20), (1, 20), (3, 5)]
