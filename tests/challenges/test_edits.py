"""Edits and transitions of challenges: what the owner may change and when, and the effect on windows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from challenges.language import DAYS
from challenges.rules import ChallengeStatus, RuntimeState
from chally import clock
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

ALWAYS: dict[str, Any] = {
    "title": "Another title",
    "description": "Another description",
    "visibility": "public",
    "roster_visibility": "everyone",
    "late_join": False,
    "max_participants": 7,
}
WEEKENDS: dict[str, Any] = {
    "version": 1,
    "schedule": {"days": ["sat", "sun"], "opens": "09:00", "closes": "10:00"},
    "reminders": {"before_close_minutes": None},
}


def frozen(now: datetime) -> dict[str, Any]:
    """A new value for each field that is frozen after the start."""
    return {
        "rules": WEEKENDS,
        "timezone": "Asia/Tokyo",
        "starts_at": (now + timedelta(days=3)).isoformat(),
        "ends_at": (now + timedelta(days=20)).isoformat(),
    }


@pytest.fixture
def upcoming(owner: Client) -> dict[str, Any]:
    """An active challenge that starts tomorrow."""
    now = clock.now()
    answer = owner.post("/v1/challenges", challenge_body(now, starts_at=(now + timedelta(days=1)).isoformat()))
    assert answer.status == 201
    return dict(answer.json)


class TestEdit:
    def test_only_the_owner_can_edit_a_challenge(
        self, nobody: Client, stranger: Client, member: Client, owner: Client, path: str
    ) -> None:
        body = {"title": "Mine now"}
        assert nobody.patch(path, body).status == 401
        assert stranger.patch(path, body).code == "not_found"
        assert member.patch(path, body).code == "not_owner"
        assert owner.patch(path, body).json["title"] == "Mine now"

    def test_a_stranger_cannot_edit_a_public_challenge(self, owner: Client, stranger: Client) -> None:
        public = owner.post("/v1/challenges", challenge_body(clock.now(), visibility="public")).json
        assert stranger.patch(f"/v1/challenges/{public['id']}", {"title": "x"}).code == "not_owner"

    def test_title_visibility_and_places_can_change_after_the_start(
        self, owner: Client, path: str, challenge: dict[str, Any]
    ) -> None:
        after = owner.patch(path, ALWAYS).json
        assert after == challenge | ALWAYS
        assert owner.get(path).json == after

    def test_fields_left_out_or_null_keep_their_values(
        self, owner: Client, path: str, challenge: dict[str, Any]
    ) -> None:
        assert owner.patch(path, {}).json == challenge
        assert owner.patch(path, dict.fromkeys(ALWAYS | frozen(clock.now()))).json == challenge

    @pytest.mark.parametrize("field", ["rules", "timezone", "starts_at", "ends_at"])
    def test_the_schedule_cannot_change_after_the_start(
        self, owner: Client, path: str, challenge: dict[str, Any], field: str
    ) -> None:
        refused = owner.patch(path, {"title": "x", field: frozen(clock.now())[field]})
        assert (refused.status, refused.code) == (409, "already_started")
        assert field in refused.json["detail"]
        assert owner.get(path).json == challenge
        # clients may send unchanged values back
        assert owner.patch(path, {"title": "x", field: challenge[field]}).json["title"] == "x"

    def test_every_field_can_change_before_the_start(self, owner: Client, upcoming: dict[str, Any]) -> None:
        wanted = ALWAYS | frozen(clock.now())
        after = owner.patch(f"/v1/challenges/{upcoming['id']}", wanted).json
        assert after["rules"]["schedule"]["days"] == ["sat", "sun"]
        assert after["rules"]["reminders"] == {"before_close_minutes": None}
        for field in ("starts_at", "ends_at"):
            assert datetime.fromisoformat(after[field]) == datetime.fromisoformat(wanted[field])
        assert after["timezone"] == "Asia/Tokyo"
        assert after["runtime_state"] == "upcoming"

    def test_a_draft_can_be_edited_whatever_its_times_are(
        self, owner: Client, at: Callable[[datetime], None], database: Database
    ) -> None:
        now = clock.now()
        draft = owner.post("/v1/challenges", challenge_body(now, status="draft")).json
        path = f"/v1/challenges/{draft['id']}"
        at(now + timedelta(days=40))  # both times have passed
        times = {"starts_at": clock.now().isoformat(), "ends_at": (clock.now() + timedelta(days=9)).isoformat()}
        assert owner.patch(path, times).status == 200
        assert database.execute("select count(*) from challenges.windows") == [(0,)]
        assert owner.post(f"{path}/transitions", {"to": "active"}).json["runtime_state"] == "started"

    @pytest.mark.parametrize(
        ("state", "code"),
        [("canceled", "challenge_over"), ("archived", "challenge_over"), ("deleted", "not_found"), ("paused", None)],
    )
    def test_a_canceled_archived_or_deleted_challenge_cannot_be_edited(
        self, owner: Client, path: str, challenge: dict[str, Any], state: str, code: str | None, database: Database
    ) -> None:
        database.execute("update challenges.challenges set status = %(state)s", state=state)
        answer = owner.patch(path, {"title": "x"})
        assert answer.status == 200 if code is None else answer.code == code

    def test_an_ended_challenge_cannot_be_edited(
        self, owner: Client, path: str, challenge: dict[str, Any], at: Callable[[datetime], None]
    ) -> None:
        at(datetime.fromisoformat(challenge["ends_at"]))
        assert owner.patch(path, {"title": "x"}).code == "challenge_over"
        assert owner.patch(path, {}).status == 200

    @pytest.mark.parametrize(
        ("change", "pointer"),
        [
            ({"title": " "}, "/title"),
            ({"status": "active"}, "/status"),
            ({"invite_code": "AAAAAAAA"}, "/invite_code"),
            ({"timezone": "EST"}, "/timezone"),
            ({"max_participants": 0}, "/max_participants"),
            ({"rules": {"schedule": {"days": ["mon"], "opens": "x", "closes": "08:00"}}}, "/rules/schedule/opens"),
            ({"ends_at": "2020-01-01T00:00:00Z"}, "/ends_at"),
            ({"starts_at": "2020-01-01T00:00:00Z"}, "/starts_at"),
        ],
    )
    def test_an_invalid_edit_names_the_field(
        self, owner: Client, upcoming: dict[str, Any], change: dict[str, Any], pointer: str
    ) -> None:
        answer = owner.patch(f"/v1/challenges/{upcoming['id']}", change)
        assert answer.status == 422
        assert [error["pointer"] for error in answer.json["errors"]] == [pointer]

    def test_the_start_cannot_move_into_the_past_once_people_may_have_joined(
        self, owner: Client, upcoming: dict[str, Any]
    ) -> None:
        """Otherwise they would have missed windows that they could never prove."""
        answer = owner.patch(
            f"/v1/challenges/{upcoming['id']}", {"starts_at": (clock.now() - timedelta(hours=1)).isoformat()}
        )
        assert [error["pointer"] for error in answer.json["errors"]] == ["/starts_at"]

    def test_edited_rules_must_open_a_window_within_the_period(self, owner: Client, upcoming: dict[str, Any]) -> None:
        starts_at = datetime.fromisoformat(upcoming["starts_at"])
        path = f"/v1/challenges/{upcoming['id']}"
        assert owner.patch(path, {"ends_at": (starts_at + timedelta(hours=30)).isoformat()}).status == 200
        far = DAYS[(starts_at.weekday() + 4) % 7]
        rules = {"schedule": {"days": [far], "opens": "12:00", "closes": "13:00", "scope": "challenge_tz"}}
        answer = owner.patch(path, {"rules": rules})
        assert [error["pointer"] for error in answer.json["errors"]] == ["/rules/schedule"]

    def test_max_participants_cannot_be_less_than_the_participants(
        self, owner: Client, member: Client, path: str
    ) -> None:
        refused = owner.patch(path, {"max_participants": 1})
        assert (refused.status, refused.code) == (409, "below_participant_count")
        assert "2 people" in refused.json["detail"]
        assert owner.patch(path, {"max_participants": 2}).status == 200
        member.post(f"{path}/leave")
        assert owner.patch(path, {"max_participants": 1}).status == 200

    def test_an_edit_is_audited(self, owner: Client, path: str, database: Database) -> None:
        owner.patch(path, {"title": "x", "late_join": False})
        rows = database.execute("select actor_id, detail from core.audit where action = 'challenge_edited'")
        assert [(actor, detail["fields"]) for actor, detail in rows] == [
            (UUID(owner.user["id"]), ["late_join", "title"])
        ]


class TestWindows:
    def dates(self, reader: Client, challenge: dict[str, Any]) -> list[tuple[str, str, str]]:
        now = clock.now()
        query = {"from": (now - timedelta(days=1)).date(), "to": (now + timedelta(days=40)).date()}
        items = reader.get(f"/v1/challenges/{challenge['id']}/windows", **query).json["items"]
        return [(item["local_date"], item["opens_at"], item["closes_at"]) for item in items]

    def test_an_edit_recomputes_the_windows_of_all_participants(
        self, owner: Client, stranger: Client, upcoming: dict[str, Any], database: Database
    ) -> None:
        stranger.post(f"/v1/challenges/{upcoming['invite_code']}/join")
        before = self.dates(stranger, upcoming)
        assert database.execute("select count(*) > 2 from challenges.windows") == [(True,)]
        change = {"rules": WEEKENDS, "ends_at": (clock.now() + timedelta(days=20)).isoformat()}
        assert owner.patch(f"/v1/challenges/{upcoming['id']}", change).status == 200
        for reader in (owner, stranger):
            after = self.dates(reader, upcoming)
            assert after
            assert len(after) < len(before)
            assert all(datetime.fromisoformat(day).weekday() >= 5 for day, _, _ in after)
        # stored windows, too: none of the old schedule are left
        stored = database.execute("select distinct extract(isodow from local_date) from challenges.windows")
        assert {int(day) for (day,) in stored} <= {6, 7}
        assert database.execute("select count(*) from notifications.reminders") == [(0,)]  # the rules disable reminders

    def test_windows_stay_if_the_schedule_does_not_change(
        self, owner: Client, upcoming: dict[str, Any], database: Database
    ) -> None:
        snapshot = "select xmin::text, ctid::text from challenges.windows order by 1, 2"
        before = database.execute(snapshot)
        owner.patch(f"/v1/challenges/{upcoming['id']}", ALWAYS | {"rules": upcoming["rules"]})
        assert database.execute(snapshot) == before
        assert before

    def test_a_draft_stores_no_windows(self, owner: Client, database: Database) -> None:
        draft = owner.post("/v1/challenges", challenge_body(clock.now(), status="draft")).json
        owner.patch(f"/v1/challenges/{draft['id']}", {"rules": WEEKENDS})
        assert database.execute("select count(*) from challenges.windows") == [(0,)]


# The table of the contract: each state, and the states that may follow.
STEPS: dict[RuntimeState, set[ChallengeStatus]] = {
    "draft": {"active", "deleted"},
    "upcoming": {"paused", "canceled", "deleted"},
    "started": {"paused", "canceled", "deleted"},
    "paused": {"active", "canceled", "deleted"},
    "ended": {"archived", "deleted"},
    "canceled": {"deleted"},
    "archived": {"deleted"},
}
STATUSES: tuple[ChallengeStatus, ...] = ("draft", "active", "paused", "canceled", "archived", "deleted")


class TestTransitions:
    @pytest.mark.parametrize("state", STEPS)
    def test_every_pair_of_states_is_allowed_or_refused_as_in_the_contract(
        self, owner: Client, path: str, challenge: dict[str, Any], state: RuntimeState, database: Database
    ) -> None:
        now = clock.now()
        starts = {"upcoming": now + timedelta(days=1)}.get(state, now - timedelta(days=1))
        ends = {"ended": now}.get(state, now + timedelta(days=2))
        status = "active" if state in ("upcoming", "started", "ended") else state
        for to in STATUSES:
            database.execute(
                "update challenges.challenges set status = %(status)s, starts_at = %(starts)s, ends_at = %(ends)s",
                status=status,
                starts=starts,
                ends=ends,
            )
            assert owner.get(path).json["runtime_state"] == state
            answer = owner.post(f"{path}/transitions", {"to": to})
            if to in STEPS[state]:
                assert (answer.status, answer.json["status"]) == (200, to), (state, to)
            else:
                assert (answer.status, answer.code) == (409, "invalid_transition"), (state, to)
                assert owner.get(path).json["status"] == status

    def test_a_deleted_challenge_cannot_be_restored(self, owner: Client, path: str) -> None:
        assert owner.post(f"{path}/transitions", {"to": "deleted"}).json["runtime_state"] == "deleted"
        for to in STATUSES:
            assert owner.post(f"{path}/transitions", {"to": to}).code == "not_found"

    def test_an_unknown_state_is_refused(self, owner: Client, path: str) -> None:
        answer = owner.post(f"{path}/transitions", {"to": "started"})
        assert [error["pointer"] for error in answer.json["errors"]] == ["/to"]

    def test_a_deletion_is_audited(self, owner: Client, path: str, database: Database) -> None:
        owner.post(f"{path}/transitions", {"to": "deleted"})
        assert database.execute("select count(*) from core.audit where action = 'challenge_deleted'") == [(1,)]


def test_participant_count_includes_those_who_joined_late(
    owner: Client, path: str, person: SignUp, challenge: dict[str, Any]
) -> None:
    for number in range(3):
        joined = person(f"late{number}").post(f"/v1/challenges/{challenge['invite_code']}/join")
        assert joined.json["participant_count"] == number + 2
