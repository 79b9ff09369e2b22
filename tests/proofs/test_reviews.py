"""Reviews, appeals and removals: who can, and their effect on standings."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import boto3
import psycopg
import pytest

from chally import clock, db
from proofs import personal_data
from proofs.jobs import removals_handler
from proofs.rules.submission import WindowFull
from tests.support.api import Client, LambdaContext, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

REJECT = {"decision": "reject", "reason": "This is not you."}
ACCEPT = {"decision": "accept", "reason": "I was there and saw it."}


@dataclass
class Club:
    """A challenge of texts, with a participant's proof."""

    id: str
    owner: Client
    member: Client
    friend: Client
    stranger: Client
    nobody: Client
    moderator: Client
    database: Database
    proof: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/v1/proofs/{self.proof['id']}"

    def send(self, value: str | float = "I ran", who: Client | None = None) -> dict[str, Any]:
        response = (who or self.member).post(f"/v1/challenges/{self.id}/proofs", {"value": value})
        assert response.status == 201, response.text
        proof: dict[str, Any] = response.json["proof"]
        return proof

    def review(self, who: Client, body: dict[str, str]) -> Response:
        return who.post(f"{self.path}/review", body)

    def standing(self) -> tuple[int, int, int]:
        """The points, accepted and missed windows of the participant."""
        items = self.owner.get(f"/v1/challenges/{self.id}/standings").json["items"]
        (of,) = (item for item in items if item["username"] == "member")
        return of["points"], of["accepted"], of["missed"]

    def set(self, **columns: object) -> None:
        """Write what only the job writes to a proof."""
        names = ", ".join(f"{name} = %({name})s" for name in columns)
        self.database.execute(f"update proofs.proofs set {names} where id = %(id)s", **columns, id=self.proof["id"])


@pytest.fixture
def make_club(person: SignUp, nobody: Client, database: Database) -> Callable[..., Club]:
    def make(proof: dict[str, Any] | None = None, *, first: str | float = "I ran", **changes: Any) -> Club:
        owner, member, friend, stranger = (person(name) for name in ("owner", "member", "friend", "stranger"))
        moderator = person("judge")
        database.execute(
            "update identity.users set role = 'moderator' where username = 'judge'",
        )
        database.execute(
            "update identity.sessions set second_factor = true where user_id = %(id)s", id=moderator.user["id"]
        )
        body = challenge_body(clock.now(), **changes)
        body["rules"]["proof"] = proof or {"kind": "text"}
        created = owner.post("/v1/challenges", body)
        assert created.status == 201, created.text
        for who in (member, friend):
            assert who.post(f"/v1/challenges/{created.json['invite_code']}/join").status == 201
        club = Club(created.json["id"], owner, member, friend, stranger, nobody, moderator, database)
        club.proof = club.send(first)
        return club

    return make


class TestReview:
    def test_the_owner_can_reject_an_accepted_proof(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]], database: Database
    ) -> None:
        club = make_club()
        assert club.standing() == (10, 1, 0)
        response = club.review(club.owner, REJECT)
        assert response.status == 200, response.text
        assert response.json["status"] == "rejected"
        assert response.json["review"]["reason"] == "This is not you."
        assert club.standing() == (0, 0, 0)
        window = club.member.get(f"/v1/challenges/{club.id}/windows/current").json
        assert window["state"] == "open"  # another proof can still be sent
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("proof_reviewed", club.member.user["id"])
        assert mail["values"]["reason"] == "This is not you."
        audits = database.execute("select actor_id::text, detail from core.audit where action = 'proof_reviewed'")
        assert [actor for actor, _ in audits] == [club.owner.user["id"]]
        assert audits[0][1] == {"proof_id": club.proof["id"], "former": "accepted", "decision": "reject"}

    def test_the_owner_can_accept_a_rejected_proof_again(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        assert club.review(club.owner, ACCEPT).json["status"] == "accepted"
        assert club.standing() == (10, 1, 0)

    def test_repeating_a_decision_changes_nothing(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        told = len(mails())
        assert club.review(club.owner, REJECT | {"reason": "Still not."}).json["review"]["reason"] == REJECT["reason"]
        assert len(mails()) == told

    def test_a_reviewer_who_changes_a_decision_back_and_forth_must_wait(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Each change is a mail to the participant."""
        club = make_club()
        statuses = [club.review(club.owner, decision).status for decision in (REJECT, ACCEPT) * 15]
        assert statuses == [200] * 5 + [429] * 25
        assert [mail["template"] for mail in mails()].count("proof_reviewed") == 5

    def test_a_window_keeps_its_outcome_if_another_proof_is_accepted(self, make_club: Callable[..., Club]) -> None:
        club = make_club({"kind": "text", "max_per_window": 2})
        club.send("I swam as well")
        club.review(club.owner, REJECT)
        assert club.standing() == (10, 1, 0)

    def test_accepting_needs_room_in_the_window(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.send("the true one")
        response = club.review(club.owner, ACCEPT)
        assert response.code == "window_full"
        assert "reject another" in response.json["detail"]
        assert club.standing() == (10, 1, 0)

    def test_a_window_is_missed_if_its_proof_is_rejected_after_the_close(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        club = make_club()
        closed = datetime.fromisoformat(club.proof["closes_at"])
        # moves the window into the past, because tokens use the real clock
        database.execute("update challenges.windows set opens_at = opens_at - interval '2 days', closes_at = %(at)s",
                         at=clock.now() - timedelta(hours=1))  # fmt: skip
        assert closed > clock.now()
        club.review(club.owner, REJECT)
        assert club.standing() == (0, 0, 1)

    def test_only_the_owner_and_moderators_can_review(self, make_club: Callable[..., Club]) -> None:
        club = make_club(visibility="public")
        for who, expected in (
            (club.nobody, (401, "unauthenticated")),
            (club.stranger, (404, "not_found")),
            (club.friend, (403, "not_reviewer")),
            (club.member, (403, "own_proof")),
        ):
            response = club.review(who, REJECT)
            assert (response.status, response.code) == expected
        assert club.standing() == (10, 1, 0)
        assert club.review(club.moderator, REJECT).status == 200
        assert club.standing() == (0, 0, 0)

    def test_a_moderator_needs_a_second_factor(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club()
        database.execute("update identity.sessions set second_factor = false")
        assert club.review(club.moderator, REJECT).status == 404  # has no more rights than a user
        assert club.moderator.get(club.path).status == 404

    def test_nobody_reviews_their_own_proof(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.proof = club.send(who=club.owner)
        assert club.review(club.owner, REJECT).code == "own_proof"
        assert club.review(club.moderator, REJECT).status == 200

    def test_a_participant_who_left_sees_no_proofs(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.friend.post(f"/v1/challenges/{club.id}/leave")
        assert club.review(club.friend, REJECT).status == 404

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"decision": "maybe", "reason": "x"}, "/decision"),
            ({"decision": "accept"}, "/reason"),
            ({"decision": "accept", "reason": " "}, "/reason"),
            ({"decision": "accept", "reason": "x" * 501}, "/reason"),
            (ACCEPT | {"points": 1000}, "/points"),
        ],
    )
    def test_an_invalid_review_names_the_field(
        self, make_club: Callable[..., Club], body: dict[str, str], pointer: str
    ) -> None:
        club = make_club()
        response = club.review(club.owner, body)
        assert response.status == 422
        assert [error["pointer"] for error in response.json["errors"]] == [pointer]

    def test_an_infected_file_cannot_be_accepted(self, make_club: Callable[..., Club], database: Database) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        database.execute('update proofs.proofs set reasons = \'[{"code": "malware", "detail": "x"}]\'')
        assert club.review(club.owner, ACCEPT).code == "not_reviewable"
        assert club.standing() == (0, 0, 0)

    def test_the_last_of_two_concurrent_reviews_counts(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        """They wait for each other, and the standing follows the last decision."""
        club = make_club()
        with psycopg.connect(database.url) as holder, ThreadPoolExecutor(2) as two:
            holder.execute("select from proofs.proofs for update")
            sent = [two.submit(review_directly, database, club, who, what)
                    for who, what in ((club.owner, "reject"), (club.moderator, "accept"))]  # fmt: skip
            while database.execute("select count(*) from pg_locks where not granted") < [(2,)]:
                pass
            holder.rollback()
            for each in sent:
                each.result(60)
        status = club.member.get(club.path).json["status"]
        assert club.standing() == ((10, 1, 0) if status == "accepted" else (0, 0, 0))

    def test_an_accepted_review_waits_for_a_new_proof_of_the_same_window(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        """Otherwise neither would see the other, and a window for one proof would have two."""
        club = make_club()
        club.review(club.owner, REJECT)
        with ThreadPoolExecutor(1) as one:
            with sending_directly(database, club, "I swam"):
                accepting = one.submit(review_directly, database, club, club.owner, "accept")
                while database.execute("select count(*) from pg_locks where not granted") < [(1,)]:
                    assert not accepting.done()
            with pytest.raises(WindowFull):
                accepting.result(60)
        assert club.standing() == (10, 1, 0)
        assert club.member.get(club.path).json["status"] == "rejected"

    def test_what_a_forgotten_reviewer_wrote_is_erased_and_their_decision_stays(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        with db.as_system("test") as tx:
            personal_data.forget(tx, UUID(club.owner.user["id"]))
        assert database.execute("select status, review, review_reason, reviewed_by from proofs.proofs") == [
            ("rejected", "reject", None, None)
        ]
        assert club.member.delete(club.path).code == "decided_by_person"


class TestHiddenRoster:
    """Where only the owner sees who takes part, participants do not see each other's proofs."""

    @pytest.mark.parametrize(("roster", "status"), [("owner", 404), ("participants", 200)])
    def test_another_participant_sees_a_proof_only_with_the_roster(
        self, make_club: Callable[..., Club], database: Database, roster: str, status: int
    ) -> None:
        club = make_club(roster_visibility=roster)
        assert club.friend.get(club.path).status == status
        listed = club.friend.get(f"/v1/challenges/{club.id}/proofs").json["items"]
        assert len(listed) == (status == 200)
        assert [who.get(club.path).status for who in (club.owner, club.member)] == [200, 200]
        with psycopg.connect(database.app, autocommit=True) as app:
            app.execute("select set_config('chally.actor', %s, false)", [club.friend.user["id"]])
            assert app.execute("select count(*) from proofs.proofs").fetchone() == (int(status == 200),)


@contextmanager
def sending_directly(database: Database, club: Club, text: str) -> Iterator[None]:
    """What the route does to send a text, on a separate connection that commits at the end."""
    from challenges import windows
    from challenges.language import TextProof
    from chally.actor import Actor
    from chally.db import Tx
    from proofs import values
    from proofs.queries.proofs import ProofRequest

    with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
        connection.execute("select set_config('chally.actor', %s, true)", [club.member.user["id"]])
        tx = Tx(connection, Actor(UUID(club.member.user["id"]), uuid4()))
        participant = UUID(club.proof["participant_id"])
        window = windows.current(tx, participant, clock.now())
        assert window is not None
        request = ProofRequest(
            UUID(club.id), participant, window.local_date, window.opens_at, window.closes_at, "UTC", "2026b", None
        )
        values.submit_value(tx, request, text, TextProof(kind="text"), clock.now())
        yield


def review_directly(database: Database, club: Club, who: Client, decision: str) -> None:
    from chally.actor import Actor, SessionState
    from chally.db import Tx
    from proofs import reviews

    with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
        connection.execute("select set_config('chally.actor', %s, true)", [who.user["id"]])
        connection.execute("select set_config('chally.moderates', 'on', true)")
        tx = Tx(connection, Actor(UUID(who.user["id"]), uuid4()))
        tx._session = SessionState("moderator", clock.now(), True)
        reviews.submit_review(tx, UUID(club.proof["id"]), decision, "because", clock.now())  # type: ignore[arg-type]


class TestAppeal:
    def test_an_appeal_leads_to_a_review(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        response = club.member.post(f"{club.path}/appeal", {"message": "It is me, with a hat."})
        assert response.status == 200, response.text
        assert (response.json["status"], response.json["appeal"]) == ("needs_review", "It is me, with a hat.")
        mail = mails()[-1]  # the owner has decided, so a moderator gets the request
        assert (mail["template"], mail["user_id"]) == ("moderation_wanted", club.moderator.user["id"])
        assert club.review(club.owner, ACCEPT).json["status"] == "accepted"
        assert club.standing() == (10, 1, 0)

    def test_the_owner_reviews_an_appeal_against_a_verdict(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club({"kind": "number", "target": 5}, first=3)
        assert club.member.post(f"{club.path}/appeal", {"message": "Five, by another watch."}).status == 200
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("review_wanted", club.owner.user["id"])
        assert club.review(club.owner, REJECT).json["status"] == "rejected"

    def test_a_moderator_reviews_an_appeal_against_the_owner(self, make_club: Callable[..., Club]) -> None:
        """Owners can take part, so they do not decide on appeals against themselves."""
        club = make_club()
        club.review(club.owner, REJECT)
        club.member.post(f"{club.path}/appeal", {"message": "Please."})
        assert club.review(club.owner, REJECT).code == "own_decision"
        assert club.member.get(club.path).json["status"] == "needs_review"
        assert club.review(club.moderator, REJECT).json["status"] == "rejected"

    def test_the_owner_cannot_overrule_a_moderator(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.member.post(f"{club.path}/appeal", {"message": "Please."})
        club.review(club.moderator, ACCEPT)
        assert club.review(club.owner, REJECT).code == "moderator_decided"
        assert club.standing() == (10, 1, 0)
        club.review(club.moderator, REJECT)
        assert club.review(club.owner, ACCEPT).code == "moderator_decided"
        assert club.standing() == (0, 0, 0)

    def test_a_moderator_can_list_the_proofs_to_review(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.member.post(f"{club.path}/appeal", {"message": "Please."})
        found = club.moderator.get(f"/v1/challenges/{club.id}/proofs").json["items"]
        assert [(proof["id"], proof["status"]) for proof in found] == [(club.proof["id"], "needs_review")]

    def test_only_the_sender_and_reviewers_see_the_messages(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.member.post(f"{club.path}/appeal", {"message": "Please."})
        for who, appeal, reason in (
            (club.member, "Please.", REJECT["reason"]),
            (club.owner, "Please.", REJECT["reason"]),
            (club.moderator, "Please.", REJECT["reason"]),
            (club.friend, None, None),
        ):
            proof = who.get(club.path).json
            assert (proof["appeal"], proof["review"]["reason"]) == (appeal, reason)

    def test_a_proof_can_be_appealed_once(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        body = {"message": "Please."}
        club.member.post(f"{club.path}/appeal", body)
        assert club.member.post(f"{club.path}/appeal", body).code == "appealed_already"
        club.review(club.moderator, REJECT)
        assert club.member.post(f"{club.path}/appeal", body).code == "appealed_already"

    def test_only_a_rejected_proof_can_be_appealed(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.member.post(f"{club.path}/appeal", {"message": "More!"}).code == "not_appealable"

    def test_only_the_sender_can_appeal(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        for who, status in (
            (club.nobody, 401),
            (club.stranger, 404),
            (club.friend, 404),
            (club.owner, 404),
            (club.moderator, 404),
        ):
            assert who.post(f"{club.path}/appeal", {"message": "x"}).status == status
        assert club.member.get(club.path).json["status"] == "rejected"

    def test_a_proof_under_appeal_keeps_its_place(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.member.post(f"{club.path}/appeal", {"message": "Please."})
        response = club.member.post(f"/v1/challenges/{club.id}/proofs", {"value": "another"})
        assert response.code == "window_full"

    def test_a_proof_of_a_deleted_challenge_is_neither_appealed_nor_reviewed(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Nobody is left to whom it matters, and nobody gets mail about it."""
        club = make_club()
        club.review(club.owner, REJECT)
        assert club.owner.post(f"/v1/challenges/{club.id}/transitions", {"to": "deleted"}).status == 200
        told = len(mails())
        response = club.member.post(f"{club.path}/appeal", {"message": "Please."})
        assert (response.status, response.code) == (409, "not_appealable")
        assert "deleted" in response.json["detail"]
        assert club.review(club.moderator, ACCEPT).code == "not_reviewable"
        assert len(mails()) == told

    def test_a_proof_of_a_deleted_account_is_not_reviewed(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Its content is hidden, so a reviewer would decide on nothing."""
        club = make_club({"kind": "number", "target": 5}, first=3)
        club.member.post(f"{club.path}/appeal", {"message": "Five, by another watch."})
        assert club.member.delete("/v1/me", {"password": "long enough for us"}).status == 202
        told = len(mails())
        assert club.review(club.owner, ACCEPT).code == "not_reviewable"
        assert club.owner.get(f"/v1/challenges/{club.id}/proofs", status="needs_review").json["items"] == []
        assert len(mails()) == told

    @pytest.mark.parametrize("message", ["\u200b", "\u202e\u202c \n", "\u00a0"])
    def test_an_appeal_or_a_reason_that_shows_nothing_is_refused(
        self, make_club: Callable[..., Club], message: str
    ) -> None:
        club = make_club()
        assert club.review(club.owner, REJECT | {"reason": message}).status == 422
        club.review(club.owner, REJECT)
        assert club.member.post(f"{club.path}/appeal", {"message": message}).status == 422


class TestRemoval:
    def test_a_removed_proof_gives_back_its_place_and_points(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert club.member.delete(club.path).status == 204
        assert club.standing() == (0, 0, 0)
        assert club.member.get(club.path).status == 404
        club.send("the right one")
        assert club.standing() == (10, 1, 0)

    def test_removing_a_proof_twice_is_not_found(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.member.delete(club.path)
        assert club.member.delete(club.path).status == 404

    def test_a_proof_cannot_be_removed_after_its_window_closed(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        club.set(closes_at=clock.now(), opens_at=clock.now() - timedelta(hours=1))
        assert club.member.delete(club.path).code == "window_closed"
        assert club.standing() == (10, 1, 0)

    def test_only_the_sender_can_remove_a_proof(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        for who, status in (
            (club.nobody, 401),
            (club.stranger, 404),
            (club.friend, 404),
            (club.owner, 404),
            (club.moderator, 404),
        ):
            assert who.delete(club.path).status == status
        assert club.standing() == (10, 1, 0)

    def test_a_rejection_by_a_person_cannot_be_removed(self, make_club: Callable[..., Club]) -> None:
        """Otherwise the same could be sent again, as if nobody had decided."""
        club = make_club()
        club.review(club.owner, REJECT)
        response = club.member.delete(club.path)
        assert (response.status, response.code) == (409, "decided_by_person")
        assert club.member.get(club.path).json["review"]["reason"] == REJECT["reason"]

    def test_an_appeal_cannot_be_removed_before_or_after_its_decision(self, make_club: Callable[..., Club]) -> None:
        """Otherwise the same could be sent, rejected and appealed without end."""
        club = make_club({"kind": "number", "target": 5}, first=3)
        club.member.post(f"{club.path}/appeal", {"message": "Five, by another watch."})
        assert club.member.delete(club.path).code == "decided_by_person"
        club.review(club.owner, ACCEPT)
        assert club.member.delete(club.path).code == "decided_by_person"
        assert club.standing() == (10, 1, 0)

    def test_a_proof_that_a_person_accepted_can_be_removed(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.review(club.owner, REJECT)
        club.review(club.owner, ACCEPT)
        assert club.member.delete(club.path).status == 204
        assert club.standing() == (0, 0, 0)

    def test_the_objects_of_a_removed_proof_are_deleted_from_storage(
        self, make_club: Callable[..., Club], database: Database, at: Callable[[datetime], None]
    ) -> None:
        s3 = boto3.client("s3")
        s3.put_bucket_versioning(Bucket="uploads-test", VersioningConfiguration={"Status": "Enabled"})
        club = make_club()
        for key in ("uploads/a", "pictures/a/1.jpg", "uploads/ab"):
            s3.put_object(Bucket="uploads-test", Key=key, Body=b"x")
        database.execute(
            "update proofs.proofs set kind = 'photo', value_text = null, content_type = 'image/jpeg',"
            " content_length = 1, sha256 = sha256(''), object_key = 'uploads/a', picture_key = 'pictures/a/1.jpg'"
        )
        assert club.member.delete(club.path).status == 204
        assert removals_handler({}, LambdaContext()) == {"removed": 0}  # its upload may be in progress
        s3.put_object(Bucket="uploads-test", Key="pictures/a/2.jpg", Body=b"x")
        at(clock.now() + timedelta(minutes=16))
        assert removals_handler({}, LambdaContext()) == {"removed": 2}
        assert removals_handler({}, LambdaContext()) == {"removed": 0}
        left = s3.list_object_versions(Bucket="uploads-test")
        assert [version["Key"] for version in left["Versions"]] == ["uploads/ab"]
        assert "DeleteMarkers" not in left
