"""Sending and reading proofs: anonymous, as a stranger, a participant and the owner."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest

from chally import clock
from tests.support.api import Client, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

DIGEST = hashlib.sha256(b"a photo").digest()
BODY = {"content_type": "image/jpeg", "content_length": 7, "sha256": DIGEST.hex()}


@dataclass(frozen=True)
class Club:
    """A challenge with its owner, a participant, a stranger, and an anonymous client."""

    id: str
    owner: Client
    member: Client
    stranger: Client
    nobody: Client

    @property
    def path(self) -> str:
        return f"/v1/challenges/{self.id}/proofs"

    def ask(self, who: Client | None = None, **changes: Any) -> Response:
        return (who or self.member).post(self.path, BODY | changes)


@pytest.fixture
def make_club(person: SignUp, nobody: Client) -> Callable[..., Club]:
    def make(*, rules: dict[str, Any] | None = None, **changes: Any) -> Club:
        owner, member, stranger = person("owner"), person("member", "America/New_York"), person("stranger")
        body = challenge_body(clock.now(), **changes)
        body["rules"] |= rules or {}
        created = owner.post("/v1/challenges", body)
        assert created.status == 201, created.text
        if created.json["status"] == "active":
            assert member.post(f"/v1/challenges/{created.json['invite_code']}/join").status == 201
        return Club(created.json["id"], owner, member, stranger, nobody)

    return make


class TestSubmit:
    def test_a_participant_gets_a_proof_and_an_upload_url(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        before = datetime.now(UTC)
        response = club.ask(note="Up at six!", captured_at="2026-11-20T06:00:00+01:00")
        assert response.status == 201, response.text
        proof, upload = response.json["proof"], response.json["upload"]
        assert response.headers["location"] == f"/v1/proofs/{proof['id']}"
        window = club.member.get(f"/v1/challenges/{club.id}/windows/current").json
        assert proof == {
            "id": str(UUID(proof["id"])),
            "challenge_id": club.id,
            "participant_id": proof["participant_id"],
            "user": {"id": club.member.user["id"], "username": "member"},
            "local_date": window["local_date"],
            "opens_at": window["opens_at"],
            "closes_at": window["closes_at"],
            "kind": "photo",
            "status": "awaiting_upload",
            "reasons": [],
            "note": "Up at six!",
            "value": None,
            "captured_at": "2026-11-20T05:00:00Z",
            "content_type": "image/jpeg",
            "content_length": 7,
            "sha256": DIGEST.hex(),
            "created_at": proof["created_at"],
            "stored_at": None,
            "decided_at": None,
            "appeal": None,
            "appealed_at": None,
            "review": None,
            "match": None,
        }
        assert [each["id"] for each in window["proofs"]] == [proof["id"]]
        assert upload["method"] == "PUT"
        assert upload["headers"] == {
            "content-length": "7",
            "content-type": "image/jpeg",
            "if-none-match": "*",
            "x-amz-checksum-sha256": base64.b64encode(DIGEST).decode(),
        }
        life = datetime.fromisoformat(upload["expires_at"]) - before
        assert timedelta(minutes=9) < life < timedelta(minutes=11)

    def test_each_url_is_signed_for_its_own_key(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        urls = [urlsplit(club.ask().json["upload"]["url"]) for _ in range(2)]
        assert urls[0].path != urls[1].path
        for url in urls:
            assert url.netloc == "uploads-test.s3.us-east-1.amazonaws.com"
            assert url.path.startswith("/uploads/")
            query = parse_qs(url.query)
            assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
            assert query["X-Amz-SignedHeaders"] == [
                "content-length;content-type;host;if-none-match;x-amz-checksum-sha256"
            ]
            assert query["X-Amz-Expires"] == ["600"]

    def test_the_owner_can_take_part(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.ask(club.owner).status == 201

    def test_sending_requires_a_token(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.ask(club.nobody).status == 401

    @pytest.mark.parametrize(
        ("visibility", "status", "code"),
        [("private", 404, "not_found"), ("code", 404, "not_found"), ("public", 403, "not_participant")],
    )
    def test_a_stranger_cannot_send(
        self, make_club: Callable[..., Club], visibility: str, status: int, code: str
    ) -> None:
        club = make_club(visibility=visibility)
        response = club.ask(club.stranger)
        assert (response.status, response.code) == (status, code)

    def test_an_unknown_challenge_is_not_found(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.member.post(f"/v1/challenges/{uuid4()}/proofs", BODY).status == 404
        assert club.member.post("/v1/challenges/not-an-id/proofs", BODY).status == 422

    def test_a_sha256_in_base64_is_accepted(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.ask(sha256=base64.b64encode(DIGEST).decode()).json["proof"]["sha256"] == DIGEST.hex()
        assert club.ask(sha256=DIGEST.hex().upper()).json["proof"]["sha256"] == DIGEST.hex()

    def test_an_invalid_field_is_named(self, make_club: Callable[..., Club]) -> None:
        club = make_club(rules={"proof": {"kind": "photo", "max_bytes": 2000, "types": ["image/jpeg"]}})
        wrong: list[tuple[str, Any]] = [
            ("content_type", "image/gif"),
            ("content_type", "image/png"),
            ("content_type", "x" * 101),
            ("content_length", 2001),
            ("content_length", 0),
            ("content_length", -1),
            ("content_length", 10**30),
            ("sha256", "abc"),
            ("sha256", "x" * 64),
            ("sha256", "0" * 44),
            ("sha256", None),
            ("note", "x" * 501),
            ("captured_at", "2026-11-20T06:00:00"),
            ("captured_at", "0001-01-01T00:00:00+14:00"),
            ("captured_at", "9999-12-31T23:59:59-12:00"),
            ("key", "uploads/of-my-choice"),
        ]
        for field, value in wrong:
            response = club.ask(**{field: value})
            assert (response.status, response.code) == (422, "invalid"), field
            assert [error["pointer"] for error in response.json["errors"]] == [f"/{field}"]

    def test_a_nul_in_a_note_is_refused(self, make_club: Callable[..., Club]) -> None:
        assert make_club().ask(note="a\0b").status == 422


class TestWindow:
    def test_a_window_that_is_not_open_yet_accepts_nothing(self, make_club: Callable[..., Club]) -> None:
        club = make_club(starts_at=(clock.now() + timedelta(days=2)).isoformat())
        assert club.ask().code == "window_closed"

    def test_a_challenge_that_is_over_accepts_nothing(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        at(clock.now() + timedelta(days=40))
        assert club.ask().code == "window_closed"

    @pytest.mark.parametrize("state", ["paused", "canceled"])
    def test_a_challenge_that_is_not_active_accepts_nothing(self, make_club: Callable[..., Club], state: str) -> None:
        club = make_club()
        assert club.owner.post(f"/v1/challenges/{club.id}/transitions", {"to": state}).status == 200
        response = club.ask()
        assert (response.status, response.code) == (409, "window_closed")
        assert state in response.json["detail"]

    def test_a_draft_accepts_nothing_from_its_owner(self, make_club: Callable[..., Club]) -> None:
        club = make_club(status="draft")
        assert club.ask(club.owner).code == "window_closed"

    def test_a_window_is_stored_before_the_schedule_reaches_it(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        """The verdict will write the window's outcome."""
        club = make_club()
        at(clock.now() + timedelta(days=10))
        proof = club.ask().json["proof"]
        stored = database.execute(
            "select opens_at, closes_at from challenges.windows"
            " where participant_id = %(participant)s and local_date = %(date)s",
            participant=proof["participant_id"],
            date=proof["local_date"],
        )
        assert stored == [(datetime.fromisoformat(proof["opens_at"]), datetime.fromisoformat(proof["closes_at"]))]


class TestRoom:
    def decide(self, database: Database, proof: dict[str, Any], status: str) -> None:
        database.execute("update proofs.proofs set status = %(s)s where id = %(id)s", s=status, id=proof["id"])

    def test_a_window_with_an_accepted_proof_is_full(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club()
        first, second = (club.ask().json["proof"] for _ in range(2))
        self.decide(database, first, "rejected")
        assert club.ask().status == 201
        self.decide(database, second, "accepted")
        response = club.ask()
        assert (response.status, response.code) == (409, "window_full")
        assert club.ask(club.owner).status == 201

    def test_a_window_accepts_as_many_proofs_as_the_rules_allow(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club(rules={"proof": {"kind": "photo", "max_per_window": 2}})
        self.decide(database, club.ask().json["proof"], "accepted")
        self.decide(database, club.ask().json["proof"], "processing")
        assert club.ask().code == "window_full"

    def test_uploads_that_were_requested_take_a_place(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Otherwise one person could send forty large photos at once."""
        club = make_club()
        responses = [club.ask() for _ in range(5)]
        assert [response.status for response in responses] == [201, 201, 201, 409, 409]
        assert responses[-1].code == "window_full"
        assert "You have requested 3 uploads" in responses[-1].text
        assert club.ask(club.owner).status == 201
        assert club.member.delete(f"/v1/proofs/{responses[0].json['proof']['id']}").status == 204
        assert club.ask().status == 201
        assert club.ask().status == 409
        at(clock.now() + timedelta(minutes=15))
        assert club.ask().status == 201


class TestIdempotency:
    def test_a_retried_request_returns_the_same_proof(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club()
        responses = [club.member.post(club.path, BODY, idempotency_key="one") for _ in range(2)]
        assert responses[1].headers["idempotent-replayed"] == "true"
        assert responses[0].text == responses[1].text
        assert database.execute("select count(*) from proofs.proofs") == [(1,)]

    def test_two_people_may_use_the_same_key(self, make_club: Callable[..., Club]) -> None:
        """The route runs with the system's rights: no policy keeps one person's stored response from another."""
        club = make_club()
        mine, other = (who.post(club.path, BODY, idempotency_key="one") for who in (club.member, club.owner))
        assert (mine.status, other.status) == (201, 201)
        assert "idempotent-replayed" not in other.headers
        assert mine.json["proof"]["id"] != other.json["proof"]["id"]


class TestRead:
    def test_participants_and_the_owner_see_a_proof(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        asked = club.ask().json["proof"]
        for who in (club.member, club.owner):
            response = who.get(f"/v1/proofs/{asked['id']}")
            assert (response.status, response.json) == (200, asked)

    @pytest.mark.parametrize("visibility", ["private", "code", "public"])
    def test_strangers_do_not_see_a_proof(self, make_club: Callable[..., Club], visibility: str) -> None:
        club = make_club(visibility=visibility)
        asked = club.ask().json["proof"]
        assert club.stranger.get(f"/v1/proofs/{asked['id']}").status == 404
        assert club.nobody.get(f"/v1/proofs/{asked['id']}").status == 401

    def test_an_unknown_proof_is_not_found(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.member.get(f"/v1/proofs/{uuid4()}").status == 404
        assert club.member.get("/v1/proofs/not-an-id").status == 422

    def test_a_proof_without_an_upload_expires(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        asked = club.ask().json["proof"]
        at(clock.now() + timedelta(minutes=14, seconds=55))
        assert club.member.get(f"/v1/proofs/{asked['id']}").json["status"] == "awaiting_upload"
        at(datetime.now(UTC) + timedelta(minutes=15))
        assert club.member.get(f"/v1/proofs/{asked['id']}").json["status"] == "expired"

    def test_a_proof_shows_its_reasons(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club()
        asked = club.ask().json["proof"]
        reasons = [{"code": "not_an_image", "detail": "This file is not a picture."}]
        database.execute(
            "update proofs.proofs set status = 'rejected', reasons = %(reasons)s, stored_at = now(), decided_at = now()"
            " where id = %(id)s",
            reasons=json.dumps(reasons),
            id=asked["id"],
        )
        proof = club.member.get(f"/v1/proofs/{asked['id']}").json
        assert (proof["status"], proof["reasons"]) == ("rejected", reasons)
        assert proof["decided_at"].endswith("Z")


class TestList:
    def test_proofs_are_listed_newest_first_in_pages(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        asked = [club.ask(who).json["proof"]["id"] for who in (club.member, club.owner) * 3]
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while True:
            page = club.owner.get(club.path, limit=4, **cursor).json
            seen += [proof["id"] for proof in page["items"]]
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert page["next_cursor"] is None
        assert seen == asked[::-1]
        assert [proof["id"] for proof in club.member.get(club.path, offset=2, limit=2).json["items"]] == seen[2:4]

    def test_a_list_has_the_proofs_of_one_challenge(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.ask()
        other = club.member.post("/v1/challenges", challenge_body(clock.now())).json
        assert club.member.get(f"/v1/challenges/{other['id']}/proofs").json["items"] == []

    def test_a_hidden_roster_hides_proofs(self, make_club: Callable[..., Club]) -> None:
        club = make_club(roster_visibility="owner")
        theirs, mine = club.ask(club.owner).json["proof"]["id"], club.ask(club.member).json["proof"]["id"]
        assert [proof["id"] for proof in club.member.get(club.path).json["items"]] == [mine]
        assert club.member.get(f"/v1/proofs/{theirs}").status == 404
        assert len(club.owner.get(club.path).json["items"]) == 2

    def test_a_public_roster_does_not_show_proofs_to_strangers(self, make_club: Callable[..., Club]) -> None:
        club = make_club(visibility="public", roster_visibility="everyone")
        proof = club.ask().json["proof"]["id"]
        assert club.stranger.get(f"/v1/challenges/{club.id}/participants").status == 200
        assert club.stranger.get(f"/v1/proofs/{proof}").status == 404

    def test_listing_requires_a_token(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.nobody.get(club.path).status == 401

    @pytest.mark.parametrize(("visibility", "status"), [("private", 404), ("code", 404), ("public", 403)])
    def test_a_stranger_cannot_list_proofs(self, make_club: Callable[..., Club], visibility: str, status: int) -> None:
        club = make_club(visibility=visibility)
        assert club.stranger.get(club.path).status == status

    def test_an_invalid_cursor_is_refused(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        for cursor in ("!", "bm90LWFuLWlk", "x" * 501):
            assert club.member.get(club.path, cursor=cursor).status == 422
