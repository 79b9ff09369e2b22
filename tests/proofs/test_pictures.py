"""Cleaned pictures, photos that need a review, and limits on storage."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from PIL import Image

from chally import clock
from proofs.jobs import removals_handler
from tests.support.api import Client, LambdaContext
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import BUCKET, OTHER_PHOTO, PHOTO, PICTURE, SIZE, Club, codes, decide

MakeClub = Callable[..., Club]


def with_exif(**tags: str) -> bytes:
    """A photo with a camera model and a location in its EXIF."""
    exif = Image.Exif()
    exif[0x010F] = tags.get("make", "Chamonix")
    exif[0x8825] = {1: "N", 2: (59.0, 54.0, 0.0), 3: "E", 4: (10.0, 45.0, 0.0)}
    file = io.BytesIO()
    picture(7, SIZE).save(file, "JPEG", exif=exif)
    return file.getvalue()


def stored(url: str) -> bytes:
    key = urlsplit(url).path.lstrip("/")
    body: bytes = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return body


class TestPicture:
    def test_participants_see_the_cleaned_picture(self, make_club: MakeClub) -> None:
        club = make_club()
        data = with_exif()
        assert b"Chamonix" in data
        proof = club.send(club.kari, data)
        assert proof["status"] == "accepted"
        for who in (club.kari, club.miro, club.owner):
            response = who.get(f"/v1/proofs/{proof['id']}/image")
            assert response.status == 307, response.text
            url = urlsplit(response.headers["location"])
            query = parse_qs(url.query)
            assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
            assert query["X-Amz-Expires"] == ["300"]
            assert url.path.startswith("/pictures/")
        seen = stored(response.headers["location"])
        assert b"Chamonix" not in seen
        with Image.open(io.BytesIO(seen)) as image:
            assert image.format == "JPEG"
            assert not image.getexif()

    @pytest.mark.parametrize(
        ("accept", "is_json"),
        [
            ("application/json", True),
            ("application/json, text/plain, */*", True),
            ("application/json;q=0.9, text/html", True),
            ("*/*", False),
            (None, False),
            ("image/avif,image/webp,*/*;q=0.8", False),
            ("image/*, application/json;q=0.5", False),
            ("application/json;q=0", False),
            ("application/json;q=lots", False),
        ],
    )
    def test_scripts_get_the_link_as_json_and_others_are_redirected(
        self, make_club: MakeClub, accept: str | None, is_json: bool
    ) -> None:
        """A script cannot follow a redirect to storage: the browser would send `Origin: null`."""
        club = make_club()
        data = encoded(picture(7, (600, 400)))
        proof = club.send(club.kari, data)
        headers = {} if accept is None else {"accept": accept}
        response = club.miro.call("GET", f"/v1/proofs/{proof['id']}/image", headers=headers)
        assert response.headers["vary"] == "Accept"
        if not is_json:
            assert (response.status, response.text) == (307, "")
            return
        assert response.status == 200, response.text
        assert response.headers["cache-control"] == "no-store"  # the link is a credential
        found = response.json
        assert found.keys() == {"url", "expires_at", "width", "height", "content_type"}
        assert (found["width"], found["height"], found["content_type"]) == (600, 400, "image/jpeg")
        life = datetime.fromisoformat(found["expires_at"]) - clock.now()
        assert timedelta(minutes=4) < life <= timedelta(minutes=5)
        with Image.open(io.BytesIO(stored(found["url"]))) as image:
            assert image.size == (600, 400)

    def test_nobody_but_participants_sees_the_picture(
        self, make_club: MakeClub, person: SignUp, nobody: Client
    ) -> None:
        club = make_club()
        proof = club.send(club.kari, PHOTO)
        path = f"/v1/proofs/{proof['id']}/image"
        assert nobody.get(path).status == 401
        assert person("stranger").get(path).status == 404
        club.miro.post(f"/v1/challenges/{club.id}/leave")
        assert club.miro.get(path).status == 404

    def test_only_the_sender_and_reviewers_see_the_picture_of_a_rejected_proof(self, make_club: MakeClub) -> None:
        club = make_club()
        club.send(club.kari, PHOTO)
        proof = club.send(club.miro, PHOTO)
        assert codes(proof) == ("rejected", ["duplicate_image"])
        path = f"/v1/proofs/{proof['id']}/image"
        assert [who.get(path).status for who in (club.miro, club.owner, club.kari)] == [307, 307, 404]

    def test_an_unreadable_upload_has_no_picture(self, make_club: MakeClub) -> None:
        club = make_club()
        proof = club.send(club.kari, b"no picture at all" * 10)
        assert club.owner.get(f"/v1/proofs/{proof['id']}/image").status == 404
        assert club.kari.post(f"/v1/proofs/{proof['id']}/appeal", {"message": "x"}).code == "not_appealable"

    def test_a_missing_upload_has_no_picture(self, make_club: MakeClub) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        assert club.kari.get(f"/v1/proofs/{proof_id}/image").status == 404

    def test_only_the_sender_and_reviewers_see_the_picture_during_a_review(self, make_club: MakeClub) -> None:
        """An appeal must not publish what the owner rejected."""
        club = make_club()
        proof = club.send(club.kari, PHOTO)
        path = f"/v1/proofs/{proof['id']}"
        club.owner.post(f"{path}/review", {"decision": "reject", "reason": "Not here."})
        club.kari.post(f"{path}/appeal", {"message": "Why not?"})
        assert [who.get(f"{path}/image").status for who in (club.kari, club.owner, club.miro)] == [307, 307, 404]

    def test_the_pictures_of_every_version_are_deleted_with_the_proof(
        self, make_club: MakeClub, database: Database, at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        club.send(club.miro, PHOTO)
        proof_id = club.ask(club.kari, PHOTO)
        for _ in range(3):
            assert decide(club.put(proof_id, PHOTO)) == []
        assert club.kari.delete(f"/v1/proofs/{proof_id}").status == 204
        at(clock.now() + timedelta(minutes=16))
        removals_handler({}, LambdaContext())
        name = club.keys[proof_id].removeprefix("uploads/")
        left = boto3.client("s3").list_object_versions(Bucket=BUCKET).get("Versions", [])
        assert [version["Key"] for version in left if name in version["Key"]] == []


class TestDeletedAccounts:
    """What a deleted account sent is hidden at once, from reviewers too, and comes back if the deletion is canceled."""

    HIDDEN = ("note", "sha256", "captured_at", "value", "appeal")

    def seen(self, club: Club, proof_id: str) -> list[tuple[int, set[str]]]:
        """The status of the picture and the fields that are shown, for each of the others, read alone and in a list."""
        found = []
        for who in (club.owner, club.miro):
            listed = who.get(f"/v1/challenges/{club.id}/proofs").json["items"]
            for proof in (club.proof(proof_id, who), *(each for each in listed if each["id"] == proof_id)):
                shown = {name for name in self.HIDDEN if proof[name] is not None}
                found.append((who.get(f"/v1/proofs/{proof_id}/image").status, shown))
        return found

    def test_the_picture_the_note_and_the_hash_are_hidden(
        self, make_club: MakeClub, database: Database, nobody: Client
    ) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO, note="At Frognerparken!", captured_at="2026-11-20T06:00:00Z")
        decide(club.put(proof_id, PHOTO))
        before = self.seen(club, proof_id)
        owners = {"note", "sha256", "captured_at"}
        assert before == [(307, owners), (307, owners), (307, {"note"}), (307, {"note"})]
        password = {"password": "long enough for us"}
        assert club.kari.delete("/v1/me", password).status == 202
        assert self.seen(club, proof_id) == [(404, set())] * 4
        proof = club.proof(proof_id)
        assert proof["user"]["username"].startswith("deleted_")
        assert (proof["status"], proof["reasons"]) == ("accepted", [])
        assert nobody.post("/v1/auth/login", {"login": "kari", **password}).status == 200
        assert self.seen(club, proof_id) == before

    def test_a_text_a_review_and_an_appeal_are_hidden(self, make_club: MakeClub, database: Database) -> None:
        club = make_club(proof={"kind": "text"})
        sent = club.kari.post(f"/v1/challenges/{club.id}/proofs", {"value": "I swam to Hovedøya"}).json["proof"]
        path = f"/v1/proofs/{sent['id']}"
        club.owner.post(f"{path}/review", {"decision": "reject", "reason": "Kari, that is too far."})
        club.kari.post(f"{path}/appeal", {"message": "I have witnesses."})
        club.kari.delete("/v1/me", {"password": "long enough for us"})
        proof = club.proof(sent["id"])
        assert (proof["value"], proof["appeal"], proof["review"]["reason"]) == (None, None, None)


class TestSimilarPhotos:
    """A photo that is similar to another: 24 to 31 bits away."""

    def near(self, club: Club, database: Database, bits: int) -> tuple[dict[str, Any], dict[str, Any]]:
        first = club.send(club.kari, PHOTO)
        # makes the first one a different photo of the same scene
        database.execute("update proofs.fingerprints set pdq = pdq # (repeat('0', 256 - %(bits)s)"
                         " || repeat('1', %(bits)s))::bit(256), sha256 = sha256('another')", bits=bits)  # fmt: skip
        return first, club.send(club.miro, PHOTO)

    @pytest.mark.parametrize(
        ("bits", "status"), [(23, "rejected"), (24, "needs_review"), (31, "needs_review"), (32, "accepted")]
    )
    def test_the_distance_decides_between_rejection_and_review(
        self, make_club: MakeClub, database: Database, bits: int, status: str
    ) -> None:
        _, proof = self.near(make_club(), database, bits)
        assert proof["status"] == status

    def test_only_reviewers_see_the_similar_proof(
        self, make_club: MakeClub, database: Database, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club()
        first, proof = self.near(club, database, 27)
        assert codes(proof) == ("needs_review", ["duplicate_image"])
        assert proof["match"] == {"proof_id": first["id"], "distance": 27}  # the owner's view
        assert club.proof(proof["id"], club.miro)["match"] is None
        assert club.proof(proof["id"], club.kari)["match"] is None
        for each in (first, proof):
            assert club.owner.get(f"/v1/proofs/{each['id']}/image").status == 307
        mail = mails()[-1]
        assert (mail["template"], mail["user_id"]) == ("review_wanted", club.owner.user["id"])
        assert club.accepted(club.miro) == 0
        path = f"/v1/challenges/{club.id}/proofs"
        for query, ids in (({}, [proof["id"], first["id"]]), ({"status": "needs_review"}, [proof["id"]])):
            assert [item["id"] for item in club.owner.get(path, **query).json["items"]] == ids
        assert club.owner.get(path, status="undecided").status == 422
        club.owner.post(f"/v1/proofs/{proof['id']}/review", {"decision": "accept", "reason": "Two people, one view."})
        assert club.accepted(club.miro) == 1
        assert codes(club.proof(proof["id"])) == ("accepted", [])  # accepting it removes the doubt

    def test_the_owner_does_not_see_what_their_own_proof_resembles(
        self, make_club: MakeClub, database: Database
    ) -> None:
        club = make_club()
        club.send(club.kari, PHOTO)
        database.execute(
            "update proofs.fingerprints set pdq = pdq # (repeat('0', 229) || repeat('1', 27))::bit(256),"
            " sha256 = sha256('another')"
        )
        proof = club.send(club.owner, PHOTO)
        assert (proof["status"], proof["match"]) == ("needs_review", None)

    @pytest.mark.parametrize("is_looked_after", [True, False])
    def test_moderators_review_a_photo_similar_to_one_of_another_challenge(
        self,
        make_club: MakeClub,
        database: Database,
        mails: Callable[[], list[dict[str, Any]]],
        person: SignUp,
        is_looked_after: bool,
    ) -> None:
        """Owners do not see proofs of other challenges: moderators, if there are any, get the review request."""
        club = make_club()
        moderator = person("judge")
        if is_looked_after:
            database.execute("update identity.users set role = 'moderator' where username = 'judge'")
        elsewhere = club.kari.post("/v1/challenges", challenge_body(clock.now())).json
        first = club.ask(club.kari, PHOTO, challenge=elsewhere["id"])
        assert decide(club.put(first, PHOTO)) == []
        assert club.proof(first, club.kari)["status"] == "accepted"
        database.execute(
            "update proofs.fingerprints set pdq = pdq # (repeat('0', 229) || repeat('1', 27))::bit(256),"
            " sha256 = sha256('another')"
        )
        proof = club.send(club.kari, PHOTO)
        assert proof["status"] == "needs_review"
        assert proof["match"] is None
        asked = moderator if is_looked_after else club.owner
        assert mails()[-1]["user_id"] == asked.user["id"]

    def test_a_copy_of_a_photo_under_review_is_recognised(self, make_club: MakeClub, database: Database) -> None:
        club = make_club()
        self.near(club, database, 27)
        assert codes(club.send(club.owner, encoded(PICTURE, quality=70)))[0] == "rejected"


class TestRoom:
    def test_photos_beyond_the_quota_are_refused(self, make_club: MakeClub, database: Database) -> None:
        club = make_club()
        club.send(club.kari, PHOTO)
        database.execute("update proofs.proofs set content_length = %(much)s", much=2**30 - 10)
        body = {"content_type": "image/jpeg", "content_length": 11, "sha256": "0" * 64}
        path = f"/v1/challenges/{club.id}/proofs"
        database.execute("update proofs.proofs set status = 'rejected'")  # rejected photos use storage as well
        assert club.kari.post(path, body).code == "storage_full"
        assert club.kari.post(path, body | {"content_length": 10}).status == 201
        assert club.miro.post(path, body).status == 201

    def test_expired_uploads_do_not_count_towards_the_quota(self, make_club: MakeClub, database: Database) -> None:
        club = make_club()
        club.ask(club.kari, PHOTO)
        database.execute(
            "update proofs.proofs set content_length = %(much)s, created_at = created_at - interval '16 minutes'",
            much=2**30,
        )
        club.ask(club.kari, OTHER_PHOTO)

    def test_proofs_are_rate_limited_per_day(self, make_club: MakeClub, database: Database) -> None:
        club = make_club()
        database.execute("update core.limits set quantity = 2 where name = 'proof'")
        body = {"content_type": "image/jpeg", "content_length": 11, "sha256": "0" * 64}
        responses = [club.kari.post(f"/v1/challenges/{club.id}/proofs", body) for _ in range(3)]
        assert [response.status for response in responses] == [201, 201, 429]
        assert int(responses[-1].headers["retry-after"]) > 3600

    def test_only_five_versions_of_an_upload_get_a_verdict(
        self, make_club: MakeClub, mails: Callable[[], list[dict[str, Any]]], database: Database
    ) -> None:
        """An upload URL is valid for ten minutes: repeated uploads use the sender's quota and cause no more mails."""
        club = make_club()
        club.send(club.miro, PHOTO)
        proof_id = club.ask(club.kari, PHOTO)
        for _ in range(7):
            assert decide(club.put(proof_id, PHOTO)) == []
        assert len([mail for mail in mails() if mail["template"] == "proof_rejected"]) == 5
        body = {"content_type": "image/jpeg", "content_length": 2**30 - 5 * len(PHOTO), "sha256": "0" * 64}
        database.execute("update core.limits set quantity = 1000 where name like 'proof%%'")
        terms = f"/v1/challenges/{club.id}/proofs"
        assert club.kari.post(terms, body | {"content_length": 2**30}).status == 422  # more than any photo can have
        database.execute("update proofs.proofs set content_length = %(much)s where id = %(id)s",
                         much=2**30 // 4, id=proof_id)  # fmt: skip
        assert club.kari.post(terms, body | {"content_length": 10}).code == "storage_full"


class TestMails:
    def test_a_mail_says_why_a_photo_was_rejected(
        self, make_club: MakeClub, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club()
        club.send(club.kari, b"no picture at all" * 10)
        (mail,) = [mail for mail in mails() if mail["template"] == "proof_rejected"]
        assert mail["user_id"] == club.kari.user["id"]
        assert mail["values"]["appeal_until_at"] is None  # an appeal would be refused: there is no picture
        assert mail["values"]["reasons"] == ["This file is not a JPEG, PNG, WebP or HEIC picture."]

    def test_a_mail_offers_an_appeal_only_if_one_is_possible(
        self, make_club: MakeClub, mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        club = make_club()
        club.send(club.miro, PHOTO)
        proof = club.send(club.kari, PHOTO)
        offered = mails()[-1]
        review = f"/v1/proofs/{proof['id']}/review"
        club.owner.post(review, {"decision": "accept", "reason": "Twins."})
        accepted = mails()[-1]
        club.owner.post(review, {"decision": "reject", "reason": "No twins."})
        rejected = mails()[-1]
        club.kari.post(f"/v1/proofs/{proof['id']}/appeal", {"message": "Twins!"})
        club.owner.post(review, {"decision": "accept", "reason": "So be it."})
        told = [(mail["template"], "appeal_until_at" in mail["values"]) for mail in (offered, accepted, rejected)]
        assert told == [("proof_rejected", True), ("proof_reviewed", False), ("proof_reviewed", True)]
