"""Leaving, rejoining, removal and joining, tried as anonymous, stranger, participant and owner."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from challenges.jobs import windows_handler
from chally import clock
from tests.support.api import Client, LambdaContext
from tests.support.challenge_views import count, place_of, ranked, roster
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp


class TestLeave:
    def test_only_a_participant_can_leave(
        self, nobody: Client, stranger: Client, owner: Client, member: Client, path: str
    ) -> None:
        assert nobody.post(f"{path}/leave").status == 401
        assert stranger.post(f"{path}/leave").code == "not_found"
        refused = owner.post(f"{path}/leave")
        assert (refused.status, refused.code) == (403, "owner_cannot_leave")
        answer = member.post(f"{path}/leave")
        assert (answer.status, answer.text) == (204, "")
        assert roster(owner, path) == ["owner"]

    def test_a_stranger_cannot_leave_a_public_challenge(self, owner: Client, stranger: Client) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        assert stranger.post(f"/v1/challenges/{public['id']}/leave").code == "not_participant"
        assert stranger.post(f"/v1/challenges/{uuid4()}/leave").code == "not_found"

    def test_leaving_twice_changes_nothing(
        self, member: Client, path: str, challenge: dict[str, Any], database: Database
    ) -> None:
        assert [member.post(f"{path}/leave").status for _ in range(3)] == [204, 204, 204]
        assert count(database, challenge) == (1, 1)

    def test_a_participant_who_left_no_longer_sees_the_challenge(self, member: Client, path: str) -> None:
        member.post(f"{path}/leave")
        for what in ("", "/participants", "/standings", "/windows/current", "/proofs"):
            assert member.get(path + what).status == 404, what
        proof = {"content_type": "image/jpeg", "content_length": 10, "sha256": "0" * 64}
        assert member.post(f"{path}/proofs", proof).code == "not_found"

    def test_others_move_up_in_the_standings_when_someone_leaves(
        self, owner: Client, member: Client, person: SignUp, path: str, by_code: str, database: Database
    ) -> None:
        person("third").post(by_code)
        database.execute(
            "update challenges.standings s set points = case u.username when 'member' then 30 when 'owner' then 20"
            " else 10 end from challenges.participants p join identity.users u on u.id = p.user_id"
            " where p.id = s.participant_id"
        )
        assert ranked(owner, path) == [(1, "member"), (2, "owner"), (3, "third")]
        member.post(f"{path}/leave")
        assert ranked(owner, path) == [(1, "owner"), (2, "third")]
        member.post(by_code)
        assert ranked(owner, path) == [(1, "member"), (2, "owner"), (3, "third")]

    def test_leaving_frees_a_place(self, owner: Client, stranger: Client, person: SignUp) -> None:
        small = owner.post("/v1/challenges", challenge_body(clock.now(), max_participants=2)).json
        join = f"/v1/challenges/{small['invite_code']}/join"
        stranger.post(join)
        other = person("other")
        assert other.post(join).code == "full"
        stranger.post(f"/v1/challenges/{small['id']}/leave")
        assert other.post(join).status == 201
        assert stranger.post(join).code == "full"  # the place is taken again

    def test_a_repeated_idempotency_key_leaves_once(self, member: Client, path: str, by_code: str) -> None:
        first = member.post(f"{path}/leave", idempotency_key="k1")
        member.post(by_code)
        again = member.post(f"{path}/leave", idempotency_key="k1")
        assert (first.status, again.status) == (204, 204)
        assert again.headers["idempotent-replayed"] == "true"
        assert member.get(path).status == 200  # the replay did nothing


class TestReturn:
    def test_rejoining_restores_the_standing(
        self, owner: Client, member: Client, path: str, by_code: str, challenge: dict[str, Any], database: Database
    ) -> None:
        before = owner.get(f"{path}/participants").json["items"]
        windows = member.get(f"{path}/windows/current").json
        member.post(f"{path}/leave")
        answer = member.post(by_code)
        assert answer.status == 201
        assert answer.json["participant_count"] == 2
        assert owner.get(f"{path}/participants").json["items"] == before
        assert member.get(f"{path}/windows/current").json == windows
        assert count(database, challenge) == (2, 2)

    def test_rejoining_erases_no_missed_window_and_no_date(
        self,
        owner: Client,
        member: Client,
        path: str,
        by_code: str,
        at: Callable[[datetime], None],
        database: Database,
    ) -> None:
        """A participant who left and rejoined has missed as much as one who stayed and proved nothing."""
        now = clock.now()
        at(now + timedelta(days=2))
        windows_handler({}, LambdaContext())
        member.post(f"{path}/leave")
        at(now + timedelta(days=5))
        windows_handler({}, LambdaContext())
        assert member.post(by_code).status == 201
        at(now + timedelta(days=6))
        windows_handler({}, LambdaContext())
        missed = {item["username"]: item["missed"] for item in owner.get(f"{path}/standings").json["items"]}
        assert missed["member"] >= 5
        assert abs(missed["member"] - missed["owner"]) <= 1  # they are in different zones
        days = {"from": now.date() + timedelta(days=1), "to": now.date() + timedelta(days=4)}
        states = [item["state"] for item in member.get(f"{path}/windows", **days).json["items"]]
        assert states == ["missed"] * 4

    def test_rejoining_requires_that_joining_is_possible_now(
        self, owner: Client, member: Client, path: str, by_code: str, database: Database
    ) -> None:
        member.post(f"{path}/leave")
        owner.patch(path, {"late_join": False})
        assert member.post(by_code).code == "already_started"
        owner.patch(path, {"late_join": True})
        owner.post(f"{path}/transitions", {"to": "paused"})
        assert member.post(by_code).code == "not_active"
        owner.post(f"{path}/transitions", {"to": "active"})
        assert member.post(f"{path}/join").code == "not_found"  # by id, but the challenge is not public
        assert member.post(by_code).status == 201

    def test_rejoining_keeps_the_zone_unless_one_is_given(self, member: Client, path: str, by_code: str) -> None:
        day = {"from": clock.now().date() + timedelta(days=3), "to": clock.now().date() + timedelta(days=3)}
        for body, zone in (({}, "Asia/Tokyo"), ({"timezone": "America/Lima"}, "America/Lima"), ({}, "America/Lima")):
            member.post(f"{path}/leave")
            assert member.post(by_code, body).status == 201
            assert [item["timezone"] for item in member.get(f"{path}/windows", **day).json["items"]] == [zone]

    def test_a_public_challenge_can_be_rejoined_by_id(self, owner: Client, stranger: Client) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        path = f"/v1/challenges/{public['id']}"
        for _ in range(2):
            assert stranger.post(f"{path}/join").status == 201
            assert stranger.post(f"{path}/leave").status == 204
        assert stranger.get(path).json["is_participant"] is False
        assert stranger.get(path).json["invite_code"] is None


class TestRemove:
    def test_only_the_owner_can_remove_a_participant(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, path: str, person: SignUp, by_code: str
    ) -> None:
        person("third").post(by_code)
        third = f"{path}/participants/{place_of(owner, path, 'third')}"
        assert nobody.delete(third).status == 401
        assert stranger.delete(third).code == "not_found"
        assert member.delete(third).code == "not_owner"
        assert roster(owner, path) == ["owner", "member", "third"]
        answer = owner.delete(third)
        assert (answer.status, answer.text) == (204, "")
        assert owner.delete(third).status == 204
        assert roster(owner, path) == ["owner", "member"]

    def test_removing_a_non_participant_or_the_owner_is_refused(
        self, owner: Client, stranger: Client, member: Client, path: str, challenge: dict[str, Any]
    ) -> None:
        assert owner.delete(f"{path}/participants/{uuid4()}").code == "not_found"
        refused = owner.delete(f"{path}/participants/{place_of(owner, path, 'owner')}")
        assert (refused.status, refused.code) == (403, "owner_cannot_leave")
        # a participant of a different challenge of the same owner
        other = owner.post("/v1/challenges", challenge_body(clock.now())).json
        theirs = place_of(owner, path, "member")
        assert owner.delete(f"/v1/challenges/{other['id']}/participants/{theirs}").code == "not_found"
        # and of a challenge of someone else
        foreign = stranger.post("/v1/challenges", challenge_body(clock.now())).json
        assert stranger.delete(f"/v1/challenges/{foreign['id']}/participants/{theirs}").code == "not_found"
        assert roster(owner, path) == ["owner", "member"]

    def test_a_removed_member_cannot_rejoin_with_the_old_code(
        self, owner: Client, member: Client, path: str, by_code: str, challenge: dict[str, Any], database: Database
    ) -> None:
        owner.delete(f"{path}/participants/{place_of(owner, path, 'member')}")
        assert member.get(path).code == "not_found"
        refused = member.post(by_code)
        assert (refused.status, refused.code) == (403, "removed")
        assert count(database, challenge) == (1, 1)
        code = owner.post(f"{path}/invite-code").json["invite_code"]
        assert member.post(by_code).code == "not_found"
        assert member.post(f"/v1/challenges/{code}/join").status == 201
        # afterwards leaving and rejoining work as before
        member.post(f"{path}/leave")
        assert member.post(f"/v1/challenges/{code}/join").status == 201

    def test_a_removed_member_cannot_rejoin_a_public_challenge_by_id(self, owner: Client, stranger: Client) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        path = f"/v1/challenges/{public['id']}"
        stranger.post(f"{path}/join")
        owner.delete(f"{path}/participants/{place_of(owner, path, 'stranger')}")
        assert stranger.post(f"{path}/join").code == "removed"
        code = owner.post(f"{path}/invite-code").json["invite_code"]
        assert stranger.post(f"{path}/join").code == "removed"  # joining by id uses no code, so no newer one either
        assert stranger.post(f"/v1/challenges/{code}/join").status == 201

    def test_nobody_is_removed_from_a_deleted_challenge(
        self, owner: Client, member: Client, path: str, database: Database
    ) -> None:
        place = place_of(owner, path, "member")
        assert owner.post(f"{path}/transitions", {"to": "deleted"}).status == 200
        assert owner.delete(f"{path}/participants/{place}").code == "not_found"
        assert database.execute("select count(*) from challenges.participants where left_at is not null") == [(0,)]

    def test_a_participant_who_left_can_still_be_removed(
        self, owner: Client, member: Client, path: str, by_code: str
    ) -> None:
        theirs = place_of(owner, path, "member")
        member.post(f"{path}/leave")
        assert owner.delete(f"{path}/participants/{theirs}").status == 204
        assert member.post(by_code).code == "removed"
        assert member.post(f"{path}/leave").status == 204
        assert member.post(by_code).code == "removed"

    def test_a_removal_is_audited(self, owner: Client, member: Client, path: str, database: Database) -> None:
        owner.delete(f"{path}/participants/{place_of(owner, path, 'member')}")
        rows = database.execute("select actor_id, user_id from core.audit where action = 'participant_removed'")
        assert rows == [(UUID(owner.user["id"]), UUID(member.user["id"]))]


class TestJoin:
    def test_a_draft_cannot_be_joined_or_seen_by_others(self, owner: Client, stranger: Client) -> None:
        draft = owner.post("/v1/challenges", challenge_body(clock.now(), status="draft", visibility="public")).json
        assert stranger.get(f"/v1/challenges/{draft['id']}").code == "not_found"
        assert stranger.post(f"/v1/challenges/{draft['id']}/join").code == "not_found"
        assert stranger.post(f"/v1/challenges/{draft['invite_code']}/join").code == "not_active"
        assert owner.get(f"/v1/challenges/{draft['id']}").status == 200

    def test_a_challenge_that_is_over_cannot_be_joined(
        self, owner: Client, stranger: Client, by_code: str, challenge: dict[str, Any], at: Callable[[datetime], None]
    ) -> None:
        at(datetime.fromisoformat(challenge["ends_at"]))
        assert stranger.post(by_code).code == "not_active"

    def test_a_challenge_without_late_join_can_be_joined_before_its_start(
        self, owner: Client, stranger: Client, person: SignUp, at: Callable[[datetime], None]
    ) -> None:
        now = clock.now()
        body = challenge_body(now, late_join=False, starts_at=(now + timedelta(hours=1)).isoformat())
        made = owner.post("/v1/challenges", body).json
        other = person("other")
        assert stranger.post(f"/v1/challenges/{made['invite_code']}/join").status == 201
        at(now + timedelta(hours=1))
        assert other.post(f"/v1/challenges/{made['invite_code']}/join").code == "already_started"
        assert stranger.post(f"/v1/challenges/{made['invite_code']}/join").status == 200  # already a participant

    def test_a_participant_can_change_zone_by_joining_again_by_id(
        self, member: Client, owner: Client, path: str
    ) -> None:
        answer = member.post(f"{path}/join", {"timezone": "America/Lima"})
        assert (answer.status, answer.json["participant_count"]) == (200, 2)
        assert owner.post(f"{path}/join").code == "owner_already_in"
