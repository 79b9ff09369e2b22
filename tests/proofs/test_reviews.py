"""After the verdict: review, appeal, taking a proof back; who may, and what it does to the standings."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import boto3
import psycopg
import pytest

from chally import clock
from proofs.jobs import removals_handler
from tests.support.api import Client, LambdaContext, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

REJECT = {"decision": "reject", "reason": "This is not you."}
ACCEPT = {"decision": "accept", "reason": "I was there and saw it."}


@dataclass
class Club:
    """A challenge of texts; a member's proof."""

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
        answer = (who or self.member).post(f"/v1/challenges/{self.id}/proofs", {"value": value})
        assert answer.status == 201, answer.text
        proof: dict[str, Any] = answer.json["proof"]
        return proof

    def review(self, who: Client, body: dict[str, str]) -> Response:
        return who.post(f"{self.path}/review", body)

    def standing(self) -> tuple[int, int, int]:
        """Points, accepted, missed of the member."""
        items = self.owner.get(f"/v1/challenges/{self.id}/standings").json["items"]
        (of,) = (item for item in items if item["username"] == "member")
        return of["points"], of["accepted"], of["missed"]

    def set(self, **columns: object) -> None:
        """Give the proof what only the job writes."""
        names = ", ".join(f"{name} = %({name})s" for name in columns)
        self.database.execute(f"update proofs.proofs set {names} where id = %(id)s", **columns, id=self.proof["id"])


@pytest.fixture
def club(person: SignUp, nobody: Client, database: Database) -> Callable[..., Club]:
    def make(proof: dict[str, Any] | None = None, *, first: str | float = "I ran", **changes: Any) -> Club:
        owner, member, friend, stranger = (person(name) for name in ("owner", "member", "friend", "stranger"))
        moderator = person("moderator")
        database.execute(
            "update identity.users set role = 'moderator' where username = 'moderator'",
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
        there = Club(created.json["id"], owner, member, friend, stranger, nobody, moderator, database)
        there.proof = there.send(first)
        return there

    return make


class TestReview:
    def test_the_owner_rejects_what_was_accepted(
        self, club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]], database: Database
    ) -> None:
        there = club()
        assert there.standing() == (10, 1, 0)
        answer = there.review(there.owner, REJECT)
        assert answer.status == 200, answer.text
        assert answer.json["status"] == "rejected"
        assert answer.json["review"]["reason"] == "This is not you."
        assert there.standing() == (0, 0, 0)
        window = there.member.get(f"/v1/challenges/{there.id}/windows/current").json
        assert window["state"] == "open"  # another proof may still be sent
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("proof_reviewed", there.member.user["id"])
        assert mail["values"]["reason"] == "This is not you."
        audits = database.execute("select actor_id::text, detail from core.audit where action = 'proof_reviewed'")
        assert [actor for actor, _ in audits] == [there.owner.user["id"]]
        assert audits[0][1] == {"proof_id": there.proof["id"], "former": "accepted", "decision": "reject"}

    def test_and_accepts_it_again(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        assert there.review(there.owner, ACCEPT).json["status"] == "accepted"
        assert there.standing() == (10, 1, 0)

    def test_the_same_decision_again_changes_nothing(
        self, club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        there = club()
        there.review(there.owner, REJECT)
        told = len(mails())
        assert there.review(there.owner, REJECT | {"reason": "Still not."}).json["review"]["reason"] == REJECT["reason"]
        assert len(mails()) == told

    def test_of_two_accepted_the_other_still_counts(self, club: Callable[..., Club]) -> None:
        there = club({"kind": "text", "max_per_window": 2})
        there.send("I swam as well")
        there.review(there.owner, REJECT)
        assert there.standing() == (10, 1, 0)

    def test_accepting_needs_room(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        there.send("the true one")
        answer = there.review(there.owner, ACCEPT)
        assert answer.code == "window_full"
        assert "reject another" in answer.json["detail"]
        assert there.standing() == (10, 1, 0)

    def test_after_the_window_it_was_missed(
        self, club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        there = club()
        closed = datetime.fromisoformat(there.proof["closes_at"])
        # as if it lay behind us: tokens are of the real clock
        database.execute("update challenges.windows set opens_at = opens_at - interval '2 days', closes_at = %(at)s",
                         at=clock.now() - timedelta(hours=1))  # fmt: skip
        assert closed > clock.now()
        there.review(there.owner, REJECT)
        assert there.standing() == (0, 0, 1)

    def test_who_may(self, club: Callable[..., Club]) -> None:
        there = club(visibility="public")
        for who, expected in (
            (there.nobody, (401, "unauthenticated")),
            (there.stranger, (404, "not_found")),
            (there.friend, (403, "not_reviewer")),
            (there.member, (403, "own_proof")),
        ):
            answer = there.review(who, REJECT)
            assert (answer.status, answer.code) == expected
        assert there.standing() == (10, 1, 0)
        assert there.review(there.moderator, REJECT).status == 200
        assert there.standing() == (0, 0, 0)

    def test_a_moderator_without_a_second_factor(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        database.execute("update identity.sessions set second_factor = false")
        assert there.review(there.moderator, REJECT).status == 404  # sees no more than anybody
        assert there.moderator.get(there.path).status == 404

    def test_nobody_reviews_their_own(self, club: Callable[..., Club]) -> None:
        there = club()
        there.proof = there.send(who=there.owner)
        assert there.review(there.owner, REJECT).code == "own_proof"
        assert there.review(there.moderator, REJECT).status == 200

    def test_who_left_is_nobody_there(self, club: Callable[..., Club]) -> None:
        there = club()
        there.friend.post(f"/v1/challenges/{there.id}/leave")
        assert there.review(there.friend, REJECT).status == 404

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
    def test_what_is_wrong_with_it(self, club: Callable[..., Club], body: dict[str, str], pointer: str) -> None:
        there = club()
        answer = there.review(there.owner, body)
        assert answer.status == 422
        assert [error["pointer"] for error in answer.json["errors"]] == [pointer]

    def test_a_virus_is_nobodys_to_accept(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        there.review(there.owner, REJECT)
        database.execute('update proofs.proofs set reasons = \'[{"code": "malware", "detail": "x"}]\'')
        assert there.review(there.owner, ACCEPT).code == "not_reviewable"
        assert there.standing() == (0, 0, 0)

    def test_two_reviewers_at_once(self, club: Callable[..., Club], database: Database) -> None:
        """Each waits for the other, and the standing is what the last one said."""
        there = club()
        with psycopg.connect(database.url) as holder, ThreadPoolExecutor(2) as two:
            holder.execute("select from proofs.proofs for update")
            sent = [two.submit(review_directly, database, there, who, what)
                    for who, what in ((there.owner, "reject"), (there.moderator, "accept"))]  # fmt: skip
            while database.execute("select count(*) from pg_locks where not granted") < [(2,)]:
                pass
            holder.rollback()
            for each in sent:
                each.result(60)
        status = there.member.get(there.path).json["status"]
        assert there.standing() == ((10, 1, 0) if status == "accepted" else (0, 0, 0))


def review_directly(database: Database, there: Club, who: Client, decision: str) -> None:
    from chally.actor import Actor, SessionState
    from chally.db import Tx
    from proofs import reviews

    with psycopg.connect(database.system, autocommit=True) as connection, connection.transaction():
        connection.execute("select set_config('chally.actor', %s, true)", [who.user["id"]])
        connection.execute("select set_config('chally.moderates', 'on', true)")
        tx = Tx(connection, Actor(UUID(who.user["id"]), uuid4()))
        tx._session = SessionState("moderator", clock.now(), True)
        reviews.submit_review(tx, UUID(there.proof["id"]), decision, "because", clock.now())  # type: ignore[arg-type]


class TestAppeal:
    def test_once_and_then_a_person_decides(
        self, club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        there = club()
        there.review(there.owner, REJECT)
        answer = there.member.post(f"{there.path}/appeal", {"message": "It is me, with a hat."})
        assert answer.status == 200, answer.text
        assert (answer.json["status"], answer.json["appeal"]) == ("needs_review", "It is me, with a hat.")
        mail = mails()[-1]  # the owner has decided, and is not asked again
        assert (mail["template"], mail["user_id"]) == ("moderation_wanted", there.moderator.user["id"])
        assert there.review(there.owner, ACCEPT).json["status"] == "accepted"
        assert there.standing() == (10, 1, 0)

    def test_against_a_verdict_the_owner_decides(
        self, club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        there = club({"kind": "number", "target": 5}, first=3)
        assert there.member.post(f"{there.path}/appeal", {"message": "Five, by another watch."}).status == 200
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("review_wanted", there.owner.user["id"])
        assert there.review(there.owner, REJECT).json["status"] == "rejected"

    def test_against_the_owners_decision_a_moderator_decides(self, club: Callable[..., Club]) -> None:
        """Owners take part themselves: they do not judge twice."""
        there = club()
        there.review(there.owner, REJECT)
        there.member.post(f"{there.path}/appeal", {"message": "Please."})
        assert there.review(there.owner, REJECT).code == "own_decision"
        assert there.member.get(there.path).json["status"] == "needs_review"
        assert there.review(there.moderator, REJECT).json["status"] == "rejected"

    def test_what_a_moderator_decided_the_owner_does_not_undo(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        there.member.post(f"{there.path}/appeal", {"message": "Please."})
        there.review(there.moderator, ACCEPT)
        assert there.review(there.owner, REJECT).code == "moderator_decided"
        assert there.standing() == (10, 1, 0)
        there.review(there.moderator, REJECT)
        assert there.review(there.owner, ACCEPT).code == "moderator_decided"
        assert there.standing() == (0, 0, 0)

    def test_a_moderator_finds_what_waits(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        there.member.post(f"{there.path}/appeal", {"message": "Please."})
        found = there.moderator.get(f"/v1/challenges/{there.id}/proofs").json["items"]
        assert [(proof["id"], proof["status"]) for proof in found] == [(there.proof["id"], "needs_review")]

    def test_what_was_said_is_for_the_two_of_them(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        there.member.post(f"{there.path}/appeal", {"message": "Please."})
        for who, appeal, reason in (
            (there.member, "Please.", REJECT["reason"]),
            (there.owner, "Please.", REJECT["reason"]),
            (there.moderator, "Please.", REJECT["reason"]),
            (there.friend, None, None),
        ):
            proof = who.get(there.path).json
            assert (proof["appeal"], proof["review"]["reason"]) == (appeal, reason)

    def test_not_twice(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        body = {"message": "Please."}
        there.member.post(f"{there.path}/appeal", body)
        assert there.member.post(f"{there.path}/appeal", body).code == "appealed_already"
        there.review(there.moderator, REJECT)
        assert there.member.post(f"{there.path}/appeal", body).code == "appealed_already"

    def test_only_what_was_rejected(self, club: Callable[..., Club]) -> None:
        there = club()
        assert there.member.post(f"{there.path}/appeal", {"message": "More!"}).code == "not_appealable"

    def test_who_may(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        for who, status in (
            (there.nobody, 401),
            (there.stranger, 404),
            (there.friend, 404),
            (there.owner, 404),
            (there.moderator, 404),
        ):
            assert who.post(f"{there.path}/appeal", {"message": "x"}).status == status
        assert there.member.get(there.path).json["status"] == "rejected"

    def test_no_other_proof_takes_its_place_meanwhile(self, club: Callable[..., Club]) -> None:
        there = club()
        there.review(there.owner, REJECT)
        there.member.post(f"{there.path}/appeal", {"message": "Please."})
        answer = there.member.post(f"/v1/challenges/{there.id}/proofs", {"value": "another"})
        assert answer.code == "window_full"


class TestTakingBack:
    def test_leaves_its_place_and_its_points(self, club: Callable[..., Club]) -> None:
        there = club()
        assert there.member.delete(there.path).status == 204
        assert there.standing() == (0, 0, 0)
        assert there.member.get(there.path).status == 404
        there.send("the right one")
        assert there.standing() == (10, 1, 0)

    def test_again_is_not_found(self, club: Callable[..., Club]) -> None:
        there = club()
        there.member.delete(there.path)
        assert there.member.delete(there.path).status == 404

    def test_not_once_its_window_has_closed(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        there.set(closes_at=clock.now(), opens_at=clock.now() - timedelta(hours=1))
        assert there.member.delete(there.path).code == "window_closed"
        assert there.standing() == (10, 1, 0)

    def test_who_may(self, club: Callable[..., Club]) -> None:
        there = club()
        for who, status in (
            (there.nobody, 401),
            (there.stranger, 404),
            (there.friend, 404),
            (there.owner, 404),
            (there.moderator, 404),
        ):
            assert who.delete(there.path).status == status
        assert there.standing() == (10, 1, 0)

    def test_its_objects_are_deleted_from_storage(
        self, club: Callable[..., Club], database: Database, at: Callable[[datetime], None]
    ) -> None:
        s3 = boto3.client("s3")
        s3.put_bucket_versioning(Bucket="uploads-test", VersioningConfiguration={"Status": "Enabled"})
        there = club()
        for key in ("uploads/a", "pictures/a/1.jpg", "uploads/ab"):
            s3.put_object(Bucket="uploads-test", Key=key, Body=b"x")
        database.execute(
            "update proofs.proofs set kind = 'photo', value_text = null, content_type = 'image/jpeg',"
            " content_length = 1, sha256 = sha256(''), object_key = 'uploads/a', picture_key = 'pictures/a/1.jpg'"
        )
        assert there.member.delete(there.path).status == 204
        assert removals_handler({}, LambdaContext()) == {"removed": 0}  # its upload may be under way
        s3.put_object(Bucket="uploads-test", Key="pictures/a/2.jpg", Body=b"x")
        at(clock.now() + timedelta(minutes=16))
        assert removals_handler({}, LambdaContext()) == {"removed": 2}
        assert removals_handler({}, LambdaContext()) == {"removed": 0}
        left = s3.list_object_versions(Bucket="uploads-test")
        assert [version["Key"] for version in left["Versions"]] == ["uploads/ab"]
        assert "DeleteMarkers" not in left
