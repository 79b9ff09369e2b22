"""Texts and numbers get their verdict in the request."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from chally import clock, db
from proofs import personal_data
from tests.support.api import Client, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

TEXT = {"kind": "text"}
NUMBER = {"kind": "number", "unit": "km", "target": 5}


@dataclass(frozen=True)
class Club:
    id: str
    owner: Client
    member: Client
    stranger: Client
    nobody: Client

    def send(self, value: Any, who: Client | None = None, **headers: str) -> Response:
        return (who or self.member).post(f"/v1/challenges/{self.id}/proofs", {"value": value}, **headers)

    def standing(self, who: Client) -> dict[str, Any]:
        items = self.owner.get(f"/v1/challenges/{self.id}/standings").json["items"]
        return next(item for item in items if item["username"] == who.user["username"])

    def window(self) -> dict[str, Any]:
        found: dict[str, Any] = self.member.get(f"/v1/challenges/{self.id}/windows/current").json
        return found


@pytest.fixture
def make_club(person: SignUp, nobody: Client) -> Callable[..., Club]:
    def make(proof: dict[str, Any], **changes: Any) -> Club:
        owner, member, stranger = person("owner"), person("member", "America/New_York"), person("stranger")
        body = challenge_body(clock.now(), **changes)
        body["rules"] |= {"proof": proof}
        created = owner.post("/v1/challenges", body)
        assert created.status == 201, created.text
        assert member.post(f"/v1/challenges/{created.json['invite_code']}/join").status == 201
        return Club(created.json["id"], owner, member, stranger, nobody)

    return make


class TestText:
    def test_a_text_is_accepted_at_once(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club(TEXT)
        response = club.send("Ran along the river, 40 minutes. Très bien 🏃")
        assert response.status == 201, response.text
        assert response.json["upload"] is None
        proof = response.json["proof"]
        assert (proof["kind"], proof["status"], proof["reasons"]) == ("text", "accepted", [])
        assert proof["value"] == "Ran along the river, 40 minutes. Très bien 🏃"
        assert proof["decided_at"] == proof["created_at"]
        assert (proof["content_type"], proof["content_length"], proof["sha256"]) == (None, None, None)
        assert club.owner.get(response.headers["location"]).json == proof
        window = club.window()
        assert window["state"] == "accepted"
        assert [each["status"] for each in window["proofs"]] == ["accepted"]
        standing = club.standing(club.member)
        assert (standing["points"], standing["accepted"], standing["current_streak"]) == (10, 1, 1)
        assert club.standing(club.owner)["points"] == 0
        cleared = database.execute(
            "select r.local_date, r.cleared_at is not null from notifications.reminders r"
            " join identity.users u on u.id = r.user_id where u.username = 'member'"
        )
        assert {str(day) for day, is_cleared in cleared if is_cleared} == {window["local_date"]}

    def test_a_window_accepts_as_many_texts_as_the_rules_allow(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT | {"max_per_window": 2})
        assert club.send("one").status == 201
        assert club.send("two").status == 201
        assert club.send("three").code == "window_full"
        assert club.standing(club.member)["accepted"] == 1  # windows count, not proofs

    def test_a_text_must_have_the_minimum_length(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT | {"min_length": 20})
        response = club.send("short")
        assert response.status == 422
        assert response.json["errors"] == [
            {"pointer": "/value", "message": "This challenge accepts text of at least 20 characters."}
        ]
        assert club.send("x" * 20).status == 201

    @pytest.mark.parametrize(
        "value",
        ["", " \n", "\u200b\u2060", "\u202e\ufeff", "\u3164", "x" * 2001, "a\x00b", "\ud800", True, {}, ["x"], 5, None],
    )
    def test_a_value_that_is_not_a_text_is_refused(self, make_club: Callable[..., Club], value: Any) -> None:
        club = make_club(TEXT)
        response = club.send(value)
        assert response.status == 422, response.text
        assert club.window()["proofs"] == []
        assert club.window()["state"] == "open"

    def test_the_minimum_length_counts_what_can_be_seen(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT | {"min_length": 10})
        assert club.send("done" + "\u200b" * 20).status == 422
        assert club.send("done" + " " * 20 + ".").status == 422
        assert club.send("well, done").status == 201

    def test_a_note_that_shows_nothing_is_no_note(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        sent = club.member.post(f"/v1/challenges/{club.id}/proofs", {"value": "I ran", "note": " \u200b"})
        assert sent.json["proof"]["note"] is None


class TestRejectedBefore:
    """A person rejected the same text or number."""

    REJECT = {"decision": "reject", "reason": "You did not."}

    def rejected(self, club: Club, value: str | float) -> str:
        proof_id: str = club.send(value).json["proof"]["id"]
        assert club.owner.post(f"/v1/proofs/{proof_id}/review", self.REJECT).status == 200
        return proof_id

    @pytest.mark.parametrize(
        "again",
        [
            "I ran 5 km",
            " i RAN\u00a05 km! ",
            "I r\u200ban 5 km",
            "\uff29 ran 5 km.",
            "I ran 5 km\u02bc",
            "I ran 5 km\u00b4",
            "I ran\u180b 5 km",
            "I r\u0336an 5 km\u20dd",
        ],
    )
    def test_the_same_text_is_refused_for_the_same_window(self, make_club: Callable[..., Club], again: str) -> None:
        club = make_club(TEXT)
        first = self.rejected(club, "I ran 5 km")
        response = club.send(again)
        assert (response.status, response.code) == (409, "rejected_before")
        assert first in response.json["detail"]  # which decision to appeal
        assert club.send("I ran 6 km").status == 201
        assert club.standing(club.member)["accepted"] == 1

    def test_the_same_text_is_refused_while_its_appeal_waits(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT | {"max_per_window": 2})
        first = self.rejected(club, "I ran")
        club.member.post(f"/v1/proofs/{first}/appeal", {"message": "I did."})
        assert club.send("I ran").code == "rejected_before"

    def test_the_same_number_is_refused_for_the_same_window(self, make_club: Callable[..., Club]) -> None:
        club = make_club(NUMBER)
        self.rejected(club, 7)
        assert club.send(7.0).code == "rejected_before"
        assert club.send(8).json["proof"]["status"] == "accepted"

    def test_another_participant_may_send_the_same_text(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        self.rejected(club, "I ran")
        assert club.send("I ran", club.owner).json["proof"]["status"] == "accepted"

    def test_a_text_rejected_for_another_day_goes_to_a_person(
        self,
        make_club: Callable[..., Club],
        mails: Callable[[], list[dict[str, Any]]],
        database: Database,
    ) -> None:
        """What was false yesterday can be true today."""
        club = make_club(TEXT)
        self.rejected(club, "I ran")
        database.execute("update proofs.proofs set local_date = local_date - 1")
        proof = club.send("I ran.").json["proof"]
        assert (proof["status"], [reason["code"] for reason in proof["reasons"]]) == (
            "needs_review", ["rejected_before"],
        )  # fmt: skip
        assert (mails()[-1]["template"], mails()[-1]["user_id"]) == ("review_wanted", club.owner.user["id"])
        assert club.standing(club.member)["accepted"] == 0
        review = {"decision": "accept", "reason": "I was there."}
        assert club.owner.post(f"/v1/proofs/{proof['id']}/review", review).status == 200
        database.execute("update proofs.proofs set local_date = local_date - 1")
        assert club.send("I ran").json["proof"]["status"] == "accepted"  # the newest decision counts

    def test_a_number_rejected_for_another_day_is_accepted_today(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club(NUMBER)
        self.rejected(club, 7)
        database.execute("update proofs.proofs set local_date = local_date - 1")
        assert club.send(7).json["proof"]["status"] == "accepted"


class TestNumber:
    @pytest.mark.parametrize("value", [5, 5.0, 7.25, 99999])
    def test_a_number_that_reaches_the_target_is_accepted(self, make_club: Callable[..., Club], value: float) -> None:
        club = make_club(NUMBER)
        proof = club.send(value).json["proof"]
        assert (proof["kind"], proof["status"], proof["value"]) == ("number", "accepted", value)
        assert club.standing(club.member)["points"] == 10

    def test_a_number_below_the_target_is_rejected(self, make_club: Callable[..., Club]) -> None:
        club = make_club(NUMBER)
        proof = club.send(4.999).json["proof"]
        assert proof["status"] == "rejected"
        assert proof["reasons"] == [
            {"code": "below_target", "detail": "You sent 4.999 of 5 km. Send it again when you reach the target."}
        ]
        assert club.standing(club.member)["points"] == 0
        assert club.window()["state"] == "open"
        assert club.send(5).json["proof"]["status"] == "accepted"  # rejected proofs do not count

    def test_without_a_target_any_number_is_accepted(self, make_club: Callable[..., Club]) -> None:
        club = make_club({"kind": "number"})
        assert club.send(-3).json["proof"]["status"] == "accepted"

    @pytest.mark.parametrize("value", ["5", True, 1e12, -1e13, [5]])
    def test_a_value_that_is_not_a_number_is_refused(self, make_club: Callable[..., Club], value: Any) -> None:
        response = make_club(NUMBER).send(value)
        assert response.status == 422, response.text
        assert [error["pointer"] for error in response.json["errors"]] == ["/value"]

    def test_nan_and_infinity_are_refused(self, make_club: Callable[..., Club]) -> None:
        club = make_club(NUMBER)
        for value in ("NaN", "Infinity", "-Infinity", "1e999"):
            response = club.member.call(
                "POST", f"/v1/challenges/{club.id}/proofs", raw=f'{{"value": {value}}}'.encode()
            )
            assert response.status == 422, (value, response.text)


class TestKinds:
    """A challenge refuses fields of another kind by name."""

    PHOTO = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}

    def test_photo_fields_are_refused_for_a_text(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        response = club.member.post(f"/v1/challenges/{club.id}/proofs", self.PHOTO)
        assert response.status == 422
        assert {error["pointer"]: error["message"] for error in response.json["errors"]} == {
            "/value": "This challenge accepts text: this field is required.",
            "/content_type": "This challenge accepts text: omit this field.",
            "/content_length": "This challenge accepts text: omit this field.",
            "/sha256": "This challenge accepts text: omit this field.",
        }

    def test_a_value_is_refused_for_a_photo(self, make_club: Callable[..., Club]) -> None:
        club = make_club({"kind": "photo"})
        response = club.send("I did it")
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == [
            "/content_length",
            "/content_type",
            "/sha256",
            "/value",
        ]


class TestAccess:
    def test_sending_requires_a_token(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        assert club.send("x", club.nobody).status == 401

    @pytest.mark.parametrize(
        ("visibility", "status", "code"),
        [("private", 404, "not_found"), ("code", 404, "not_found"), ("public", 403, "not_participant")],
    )
    def test_a_stranger_cannot_send(
        self, make_club: Callable[..., Club], visibility: str, status: int, code: str
    ) -> None:
        club = make_club(TEXT, visibility=visibility)
        response = club.send("x", club.stranger)
        assert (response.status, response.code) == (status, code)

    def test_a_participant_who_left_cannot_send(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        club.member.post(f"/v1/challenges/{club.id}/leave")
        assert club.send("x").status == 404

    def test_the_owner_can_send(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        assert club.send("x", club.owner).json["proof"]["user"]["username"] == "owner"
        assert club.standing(club.owner)["points"] == 10

    def test_an_unknown_challenge_is_not_found(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        assert club.member.post(f"/v1/challenges/{uuid4()}/proofs", {"value": "x"}).status == 404

    def test_the_role_of_the_app_cannot_write_a_value(self, make_club: Callable[..., Club], database: Database) -> None:
        """Only the system writes verdicts."""
        club = make_club(TEXT)
        with psycopg.connect(database.app, autocommit=True) as app:
            app.execute("select set_config('chally.actor', %s, false)", [club.member.user["id"]])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(
                    "insert into proofs.proofs (challenge_id, participant_id, user_id, local_date, opens_at, closes_at,"
                    " kind, value_text, status, created_at) select challenge_id, id, user_id, now(), now(),"
                    " now() + interval '1 hour', 'text', 'x', 'accepted', now() from challenges.participants"
                )


class TestRepeats:
    def test_a_retried_request_returns_the_same_proof(self, make_club: Callable[..., Club]) -> None:
        club = make_club(TEXT)
        first = club.send("x", idempotency_key="k1")
        again = club.send("x", idempotency_key="k1")
        assert (again.status, again.json) == (201, first.json)
        assert again.headers["idempotent-replayed"] == "true"
        assert club.standing(club.member)["accepted"] == 1

    def test_one_of_two_concurrent_values_gets_the_last_place(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        """Two connections, released together by a lock on the window's row."""
        club = make_club(TEXT)
        with psycopg.connect(database.url) as holder:
            holder.execute("select from challenges.windows for update")
            with ThreadPoolExecutor(2) as two:
                sent = [two.submit(prove_directly, database, club, n) for n in range(2)]
                wait_for_waiters(database, 2)
                holder.rollback()
                outcomes = sorted(each.result() for each in sent)
        assert outcomes == ["accepted", "window_full"]
        assert club.standing(club.member)["accepted"] == 1


def prove_directly(database: Database, club: Club, turn: int) -> str:
    """What the route does in its transaction, on a separate connection."""
    from challenges import windows
    from challenges.language import TextProof
    from chally.actor import Actor
    from chally.db import Tx
    from proofs import values
    from proofs.queries.proofs import ProofRequest
    from proofs.rules import submission

    now = clock.now()
    with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
        connection.execute("select set_config('chally.actor', %s, true)", [club.member.user["id"]])
        tx = Tx(connection, Actor(club.member.user["id"], uuid4()))
        place = connection.execute("select id from challenges.participants where user_id = core.actor()").fetchone()
        assert place is not None
        window = windows.current(tx, place[0], now)
        assert window is not None
        request = ProofRequest(
            UUID(club.id), place[0], window.local_date, window.opens_at, window.closes_at, "UTC", "2026b", None
        )
        try:
            return values.submit_value(tx, request, f"number {turn}", TextProof(kind="text"), now).status
        except submission.WindowFull as full:
            return full.code


def wait_for_waiters(database: Database, count: int) -> None:
    while database.execute("select count(*) from pg_locks where not granted") < [(count,)]:
        pass


def test_a_closed_window_accepts_no_value(make_club: Callable[..., Club]) -> None:
    club = make_club(TEXT, starts_at=(clock.now() + timedelta(hours=2)).isoformat())
    assert club.send("early").code == "window_closed"
    assert club.standing(club.member)["accepted"] == 0


def test_attempts_are_rate_limited(make_club: Callable[..., Club], database: Database) -> None:
    club = make_club(NUMBER)
    database.execute("update core.limits set quantity = 3 where name = 'proof_challenge'")
    assert [club.send(1).status for _ in range(4)] == [201, 201, 201, 429]
    assert club.send(5, club.owner).status == 201


def test_deleting_an_account_deletes_its_values(make_club: Callable[..., Club], database: Database) -> None:
    club = make_club(TEXT)
    club.send("a very private text")
    member = UUID(club.member.user["id"])
    with db.as_system("test") as tx:
        assert "a very private text" in str(personal_data.export(tx, member))
        personal_data.forget(tx, member)
    assert database.execute("select value_text, status from proofs.proofs") == [("", "accepted")]


def test_deleting_an_account_removes_values_from_reasons(make_club: Callable[..., Club], database: Database) -> None:
    club = make_club(NUMBER)
    club.send(3)
    with db.as_system("test") as tx:
        personal_data.forget(tx, UUID(club.member.user["id"]))
    assert database.execute("select value_number, reasons from proofs.proofs") == [
        (0, [{"code": "below_target", "detail": ""}])
    ]
