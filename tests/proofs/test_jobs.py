"""The verdicts, by the real handler: S3 as moto plays it, EventBridge's events as SQS carries them."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import boto3
import psycopg
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from chally import clock
from proofs import jobs, storage
from tests.api import Client, Context
from tests.conftest import Database, Join, challenge_body
from tests.factories import encoded, picture

BUCKET = "uploads-test"
SIZE = (400, 300)
PICTURE = picture(1, SIZE)
PHOTO = encoded(PICTURE)
OTHER_PHOTO = encoded(picture(2, SIZE))
TEXT = b"I did it, I promise.\n" * 20
FLAT = Image.new("RGB", SIZE, "navy")


@dataclass
class Club:
    """A challenge with three people in it, and what happens in storage."""

    id: str
    owner: Client
    kari: Client
    miro: Client
    database: Database
    sequence: int = 0
    keys: dict[str, str] = field(default_factory=dict)

    def ask(
        self, who: Client, data: bytes, content_type: str = "image/jpeg", challenge: str | None = None, **more: Any
    ) -> str:
        """Ask to send `data`; the proof's id."""
        body = {
            "content_type": content_type,
            "content_length": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            **more,
        }
        answer = who.post(f"/v1/challenges/{challenge or self.id}/proofs", body)
        assert answer.status == 201, answer.text
        proof_id: str = answer.json["proof"]["id"]
        self.keys[proof_id] = urlsplit(answer.json["upload"]["url"]).path.lstrip("/")
        return proof_id

    def put(self, proof_id: str, data: bytes, **event: Any) -> dict[str, Any]:
        """The upload arrives; the event that S3 sends."""
        stored = boto3.client("s3").put_object(Bucket=BUCKET, Key=self.keys[proof_id], Body=data)
        self.sequence += 1
        values = {"version_id": stored["VersionId"], "sequencer": f"{self.sequence:018X}"} | event
        return created(self.keys[proof_id], **values)

    def send(self, who: Client, data: bytes, content_type: str = "image/jpeg", **more: Any) -> dict[str, Any]:
        """Ask, upload and have it decided; the proof as it is then."""
        proof_id = self.ask(who, data, content_type, more.pop("challenge", None))
        assert decide(self.put(proof_id, data, **more)) == []
        return self.proof(proof_id)

    def proof(self, proof_id: str, who: Client | None = None) -> dict[str, Any]:
        answer = (who or self.owner).get(f"/v1/proofs/{proof_id}")
        assert answer.status == 200, answer.text
        proof: dict[str, Any] = answer.json
        return proof

    def accepted(self, who: Client) -> int:
        """How many accepted windows the standings give someone."""
        items = self.owner.get(f"/v1/challenges/{self.id}/standings").json["items"]
        (accepted,) = (item["accepted"] for item in items if item["username"] == who.user["username"])
        return int(accepted)


def created(key: str, *, sequencer: str, version_id: str | None = None, time: datetime | None = None) -> dict[str, Any]:
    """An "Object Created" event (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html)."""
    version = {"version-id": version_id} if version_id else {}
    return {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": f"{time or clock.now():%Y-%m-%dT%H:%M:%SZ}",
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {
            "version": "0",
            "bucket": {"name": BUCKET},
            "object": {"key": key, "size": 1, "etag": "0", "sequencer": sequencer, **version},
            "request-id": "0",
            "requester": "000000000000",
            "reason": "PutObject",
        },
    }


def batch(*events: dict[str, Any] | str) -> dict[str, Any]:
    """The events in a batch of SQS messages, whose ids are their places."""
    return {
        "Records": [
            {
                "messageId": str(place),
                "receiptHandle": "0",
                "body": event if isinstance(event, str) else json.dumps(event),
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "0",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:verdicts",
                "awsRegion": "us-east-1",
            }
            for place, event in enumerate(events)
        ]
    }


def decide(*events: dict[str, Any] | str) -> list[int]:
    """Hand the events to the function; the places of those that failed."""
    answer = jobs.verdicts_handler(batch(*events), Context())
    return [int(failure["itemIdentifier"]) for failure in answer["batchItemFailures"]]


@pytest.fixture
def club(person: Join, database: Database) -> Callable[..., Club]:
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def make(**rules: Any) -> Club:
        owner, kari, miro = person("owner"), person("kari", "Europe/Oslo"), person("miro", "Asia/Tokyo")
        body = challenge_body(clock.now())
        body["rules"] |= rules
        challenge = owner.post("/v1/challenges", body).json
        for who in (kari, miro):
            assert who.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
        return Club(challenge["id"], owner, kari, miro, database)

    return make


def codes(proof: dict[str, Any]) -> tuple[str, list[str]]:
    return proof["status"], [reason["code"] for reason in proof["reasons"]]


class TestAccepted:
    def test_everything_follows_in_one_go(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        proof = there.send(there.kari, PHOTO)
        assert codes(proof) == ("accepted", [])
        assert proof["stored_at"]
        assert proof["decided_at"]
        assert there.accepted(there.kari) == 1
        assert there.accepted(there.miro) == 0
        window = there.kari.get(f"/v1/challenges/{there.id}/windows/current").json
        assert window["state"] == "accepted"
        keys = {"participant": proof["participant_id"], "date": proof["local_date"]}
        cleared = database.execute(
            "select cleared_at is not null from notifications.reminders"
            " where participant_id = %(participant)s and local_date = %(date)s",
            **keys,
        )
        assert cleared == [(True,)]
        kept = database.execute("select proof_id::text, sha256, quality > 49 from proofs.fingerprints")
        assert kept == [(proof["id"], hashlib.sha256(PHOTO).digest(), True)]

    @pytest.mark.parametrize(("file_format", "content_type"), [("PNG", "image/png"), ("WEBP", "image/webp")])
    def test_other_formats(self, club: Callable[..., Club], file_format: str, content_type: str) -> None:
        there = club()
        proof = there.send(there.kari, encoded(PICTURE, file_format=file_format), content_type)
        assert codes(proof) == ("accepted", [])

    def test_uploaded_in_the_last_moment(
        self, club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        """What was asked for while the window was open may arrive as long as its URL lives, and undoes a miss."""
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        closes_at = datetime.fromisoformat(there.proof(proof_id)["closes_at"])
        database.execute("update challenges.windows set outcome = 'missed' where closes_at = %(at)s", at=closes_at)
        at(closes_at + timedelta(minutes=30))
        assert decide(there.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=9))) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])
        assert there.accepted(there.kari) == 1


class TestRejected:
    def test_text_renamed_to_jpg(self, club: Callable[..., Club]) -> None:
        there = club()
        proof = there.send(there.kari, TEXT)
        assert codes(proof) == ("rejected", ["not_an_image"])
        assert proof["reasons"][0]["detail"] == "This file is not a JPEG, PNG or WebP picture."
        assert there.accepted(there.kari) == 0

    def test_whatever_was_sent_is_a_verdict_and_no_failure(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        sent = {
            "truncated": (PHOTO[:2000], "image/jpeg", "not_an_image"),
            "another type than announced": (encoded(PICTURE, file_format="PNG"), "image/jpeg", "type_mismatch"),
            "a bomb": (encoded(Image.new("1", (8000, 4001)), file_format="PNG"), "image/png", "too_large"),
            "an animation": (animation(), "image/webp", "not_an_image"),
        }
        for data, content_type, code in sent.values():
            assert codes(there.send(there.kari, data, content_type)) == ("rejected", [code])
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]

    def test_larger_than_the_rules_allow(self, club: Callable[..., Club]) -> None:
        """Storage enforces the announced length; this holds even where it does not."""
        there = club(proof={"kind": "photo", "max_bytes": 3000})
        proof_id = there.ask(there.kari, TEXT)
        assert decide(there.put(proof_id, PHOTO)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["too_large"])

    def test_outside_the_window(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        closes_at = datetime.fromisoformat(there.proof(proof_id)["closes_at"])
        assert decide(there.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=11))) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["outside_window"])

    def test_a_rejected_one_can_be_followed_by_a_better_one(self, club: Callable[..., Club]) -> None:
        there = club()
        there.send(there.kari, TEXT)
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])


def animation() -> bytes:
    return encoded(PICTURE, file_format="WEBP", save_all=True, append_images=[picture(2, SIZE)])


class TestDuplicates:
    COPIES = {
        "the same file": PHOTO,
        "re-encoded": encoded(PICTURE, quality=40),
        "resized": encoded(PICTURE.resize((300, 225))),
        "mirrored": encoded(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "turned": encoded(PICTURE.transpose(Image.Transpose.ROTATE_90)),
        "upside down": encoded(PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    }

    def test_somebody_elses_photo(self, club: Callable[..., Club]) -> None:
        there = club()
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])
        for name, copy in self.COPIES.items():
            assert codes(there.send(there.miro, copy)) == ("rejected", ["duplicate_image"]), name
        assert there.accepted(there.miro) == 0
        assert codes(there.send(there.miro, OTHER_PHOTO)) == ("accepted", [])

    def test_ones_own_of_another_window(self, club: Callable[..., Club], at: Callable[[datetime], None]) -> None:
        there = club()
        there.send(there.kari, PHOTO)
        at(clock.now() + timedelta(days=1))
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["mirrored"]):
            assert codes(there.send(there.kari, copy)) == ("rejected", ["duplicate_image"])
        assert codes(there.send(there.kari, OTHER_PHOTO)) == ("accepted", [])
        assert there.accepted(there.kari) == 2

    def test_in_another_challenge_the_very_same_file_only(self, club: Callable[..., Club]) -> None:
        there = club()
        elsewhere = there.miro.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        there.send(there.kari, PHOTO)
        same = there.ask(there.miro, PHOTO, challenge=elsewhere)
        similar = there.ask(there.miro, self.COPIES["re-encoded"], challenge=elsewhere)
        assert decide(there.put(same, PHOTO), there.put(similar, self.COPIES["re-encoded"])) == []
        assert codes(there.proof(same, there.miro)) == ("rejected", ["duplicate_image"])
        assert codes(there.proof(similar, there.miro)) == ("accepted", [])

    def test_ones_own_in_another_challenge(self, club: Callable[..., Club]) -> None:
        there = club()
        elsewhere = there.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        there.send(there.kari, PHOTO)
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["turned"]):
            proof_id = there.ask(there.kari, copy, challenge=elsewhere)
            assert decide(there.put(proof_id, copy)) == []
            assert codes(there.proof(proof_id, there.kari)) == ("rejected", ["duplicate_image"])

    def test_a_rejected_photo_is_nobodys(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        decide(there.put(proof_id, PHOTO, time=clock.now() + timedelta(days=3)))
        assert codes(there.proof(proof_id)) == ("rejected", ["outside_window"])
        assert codes(there.send(there.miro, PHOTO)) == ("accepted", [])

    def test_pictures_that_show_too_little_are_not_compared(self, club: Callable[..., Club]) -> None:
        """All flat pictures are alike to PDQ."""
        there = club()
        assert codes(there.send(there.kari, encoded(FLAT))) == ("accepted", [])
        assert codes(there.send(there.miro, encoded(Image.new("RGB", SIZE, "maroon")))) == ("accepted", [])
        assert codes(there.send(there.owner, encoded(FLAT))) == ("rejected", ["duplicate_image"])

    def test_where_the_rules_do_not_ask_for_it_nothing_is_compared(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat={"phash_check": False})
        there.send(there.kari, PHOTO)
        assert codes(there.send(there.miro, PHOTO)) == ("accepted", [])
        assert codes(there.send(there.owner, self.COPIES["re-encoded"])) == ("accepted", [])

    @pytest.mark.parametrize("phash_check", [True, False])
    def test_what_a_person_rejected_does_not_pass_when_it_is_sent_again(
        self, club: Callable[..., Club], phash_check: bool
    ) -> None:
        """In the same window too, by anybody, and where files alone are known."""
        there = club(anti_cheat={"phash_check": phash_check})
        first = there.send(there.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a picture of a film."}
        assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = there.send(there.kari, PHOTO)
        assert codes(again) == ("rejected", ["duplicate_image"])
        assert "rejected it" in again["reasons"][0]["detail"]
        assert codes(there.send(there.miro, PHOTO)) == ("rejected", ["duplicate_image"])
        expected = ("rejected", ["duplicate_image"]) if phash_check else ("accepted", [])
        assert codes(there.send(there.kari, self.COPIES["re-encoded"])) == expected

    def test_and_passes_once_a_person_has_accepted_it(self, club: Callable[..., Club]) -> None:
        there = club(proof={"max_per_window": 3})
        first = there.send(there.kari, PHOTO)
        for decision in ("reject", "accept"):
            review = {"decision": decision, "reason": "I looked again."}
            assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        assert codes(there.send(there.kari, self.COPIES["re-encoded"])) == ("accepted", [])
        assert there.proof(first["id"])["status"] == "replaced"


def taken(when: datetime, seed: int = 1, *, zone: str | None = None) -> bytes:
    """A photo that says it was taken then, with the offset that `zone` had, or with none and the wall clock of UTC."""
    wall = when.astimezone(ZoneInfo(zone or "UTC"))
    exif = Image.Exif()
    offset = {Base.OffsetTimeOriginal: f"{wall:%:z}"} if zone else {}
    exif[IFD.Exif] = {Base.DateTimeOriginal: f"{wall:%Y:%m:%d %H:%M:%S}"} | offset
    return encoded(picture(seed, SIZE), exif=exif)


NOON = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "12:00", "closes": "12:30"}


class TestExifRequired:
    REQUIRED = {"exif_required": True}

    def test_a_time_in_the_window(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        assert codes(there.send(there.kari, taken(clock.now(), zone="America/Lima"))) == ("accepted", [])
        assert there.accepted(there.kari) == 1

    def test_a_time_outside_of_it(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        proof = there.send(there.kari, taken(clock.now() - timedelta(days=3), zone="Europe/Oslo"))
        assert codes(proof) == ("rejected", ["exif_time_mismatch"])
        assert "Europe/Oslo" in proof["reasons"][0]["detail"]
        assert there.accepted(there.kari) == 0

    def test_no_time(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        assert codes(there.send(there.kari, PHOTO)) == ("rejected", ["exif_missing"])
        assert codes(there.send(there.kari, TEXT)) == ("rejected", ["not_an_image"])

    def test_a_claim_by_the_client_is_no_evidence(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        proof_id = there.ask(there.kari, PHOTO, captured_at=clock.now().isoformat())
        assert decide(there.put(proof_id, PHOTO)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["exif_missing"])

    def test_without_an_offset_the_participants_clock_counts(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Noon of the same day, by the wall clock: in the window in Oslo and Tokyo, each by their own."""
        there = club(anti_cheat=self.REQUIRED)
        for who, zone, seed in ((there.kari, "Europe/Oslo", 1), (there.miro, "Asia/Tokyo", 2)):
            noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo(zone)).replace(hour=12, minute=0)
            at(noon.astimezone(UTC))
            photo = taken(noon.replace(tzinfo=UTC), seed)
            assert codes(there.send(who, photo)) == ("accepted", [])

    def test_by_the_challenges_clock_the_participants_still_counts(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """The window is of Berlin's noon; Miro's camera in Tokyo then shows seven or eight in the evening."""
        there = club(anti_cheat=self.REQUIRED, schedule=NOON | {"scope": "challenge_tz"})
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Berlin")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        in_berlin, in_tokyo = (each.replace(tzinfo=UTC) for each in (noon, noon.astimezone(ZoneInfo("Asia/Tokyo"))))
        assert codes(there.send(there.miro, taken(in_berlin))) == ("rejected", ["exif_time_mismatch"])
        assert codes(there.send(there.miro, taken(in_tokyo))) == ("accepted", [])

    def test_who_moves_meanwhile_is_held_to_the_zone_of_the_window(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Otherwise another zone would put any photo into the window."""
        there = club(anti_cheat=self.REQUIRED, schedule=NOON)
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Oslo")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        code = there.owner.get(f"/v1/challenges/{there.id}").json["invite_code"]
        early, now = noon.replace(hour=4, tzinfo=UTC), noon.replace(tzinfo=UTC)
        asked = [there.ask(there.kari, taken(early)), there.ask(there.kari, taken(now, 2))]
        assert there.kari.post(f"/v1/challenges/{code}/join", {"timezone": "America/New_York"}).status == 200
        for proof_id, photo in zip(asked, (taken(early), taken(now, 2)), strict=True):
            assert decide(there.put(proof_id, photo)) == []
        assert [codes(there.proof(proof_id)) for proof_id in asked] == [
            ("rejected", ["exif_time_mismatch"]),
            ("accepted", []),
        ]

    def test_where_it_is_not_asked_for_nothing_is_read(self, club: Callable[..., Club]) -> None:
        there = club()
        assert codes(there.send(there.kari, taken(clock.now() - timedelta(days=900)))) == ("accepted", [])

    def test_nothing_of_the_place_is_logged_or_answered(
        self, club: Callable[..., Club], logs: Callable[[], str]
    ) -> None:
        there = club(anti_cheat=self.REQUIRED)
        exif = Image.Exif()
        exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSMapDatum: "DATUM-OF-A-PLACE"}
        proof = there.send(there.kari, encoded(PICTURE, exif=exif))
        assert codes(proof) == ("rejected", ["exif_missing"])
        assert "DATUM-OF-A-PLACE" not in logs() + json.dumps(proof)


class TestReplaced:
    def test_the_same_picture_again_in_the_same_window(self, club: Callable[..., Club]) -> None:
        there = club(proof={"kind": "photo", "max_per_window": 3})
        first = there.send(there.kari, PHOTO)
        other = there.send(there.kari, OTHER_PHOTO)
        again = there.send(there.kari, encoded(PICTURE, quality=60))
        assert [codes(there.proof(each["id"])) for each in (first, other, again)] == [
            ("replaced", []),
            ("accepted", []),
            ("accepted", []),
        ]
        assert there.accepted(there.kari) == 1

    def test_the_newest_stay_where_more_were_asked_for_than_fit(self, club: Callable[..., Club]) -> None:
        there = club()
        photos = [PHOTO, OTHER_PHOTO, encoded(picture(3, SIZE))]
        asked = [there.ask(there.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(there.put(proof_id, photo)) == []
        assert [there.proof(proof_id)["status"] for proof_id in asked] == ["replaced", "replaced", "accepted"]
        assert there.accepted(there.kari) == 1

    def test_what_fits_beside_a_better_one_stays(self, club: Callable[..., Club]) -> None:
        """Asked for while there was room, a second photo of one scene takes that one's place and no other's."""
        there = club(proof={"kind": "photo", "max_per_window": 2})
        photos = [OTHER_PHOTO, PHOTO, encoded(PICTURE, quality=60)]
        asked = [there.ask(there.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(there.put(proof_id, photo)) == []
        assert [there.proof(proof_id)["status"] for proof_id in asked] == ["accepted", "replaced", "accepted"]

    def test_a_replaced_photo_stays_known(self, club: Callable[..., Club]) -> None:
        there = club(proof={"kind": "photo", "max_per_window": 2})
        there.send(there.kari, PHOTO)
        there.send(there.kari, encoded(PICTURE, quality=60))
        assert codes(there.send(there.miro, PHOTO)) == ("rejected", ["duplicate_image"])


class TestDelivery:
    """At least once, late, in any order."""

    def test_the_same_event_again(self, club: Callable[..., Club], at: Callable[[datetime], None]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        assert decide(event, event) == []
        decided = there.proof(proof_id)
        at(clock.now() + timedelta(hours=1))
        assert decide(event) == []
        assert there.proof(proof_id) == decided
        assert there.accepted(there.kari) == 1

    def test_overwritten_and_out_of_order(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        older = there.put(proof_id, TEXT)
        newer = there.put(proof_id, PHOTO)
        assert decide(newer, older, older) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    def test_overwritten_in_order(self, club: Callable[..., Club]) -> None:
        """Each event is about its own version, whatever lies on top of it by now."""
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        older = there.put(proof_id, TEXT)
        newer = there.put(proof_id, PHOTO)
        assert decide(older) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["not_an_image"])
        assert decide(newer) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize(("first", "then"), [("0A", "0A1"), ("09FF", "0A"), ("0055AED6", "0055AED6DCD90281E5")])
    def test_sequencers_of_different_lengths(self, club: Callable[..., Club], first: str, then: str) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        newer = there.put(proof_id, TEXT, sequencer=then)
        assert decide(newer, there.put(proof_id, PHOTO, sequencer=first)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["not_an_image"])

    def test_accepted_is_final(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        assert decide(there.put(proof_id, PHOTO), there.put(proof_id, TEXT)) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    def test_after_it_was_shown_as_expired(self, club: Callable[..., Club], at: Callable[[datetime], None]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        at(clock.now() + timedelta(hours=2))
        assert there.proof(proof_id)["status"] == "expired"
        assert decide(event) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize("kept", [True, False], ids=["by a mark", "for good"])
    def test_deleted_meanwhile(self, club: Callable[..., Club], kept: bool) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        version = {} if kept else {"VersionId": event["detail"]["object"]["version-id"]}
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=there.keys[proof_id], **version)
        assert decide(event) == []
        assert there.proof(proof_id)["status"] == ("accepted" if kept else "awaiting_upload")

    def test_an_object_that_is_no_proofs(self, club: Callable[..., Club]) -> None:
        club()
        assert decide(created("uploads/of-somebody", sequencer="1")) == []

    def test_a_participant_who_left(self, club: Callable[..., Club], database: Database) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        database.execute("delete from challenges.participants where user_id = %(user)s", user=there.kari.user["id"])
        assert decide(event) == []


class TestFailures:
    def test_only_what_failed_comes_again(self, club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch) -> None:
        there = club()
        asked = [there.ask(who, photo) for who, photo in ((there.kari, PHOTO), (there.miro, OTHER_PHOTO))]
        events = [there.put(asked[0], PHOTO), there.put(asked[1], OTHER_PHOTO)]
        read = storage.read

        def fail_once(bucket: str, key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
            if key == there.keys[asked[0]]:
                raise TimeoutError("S3 does not answer")
            return read(bucket, key, version_id, max_bytes=max_bytes)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "read", fail_once)
            assert decide(*events) == [0]
        assert [there.proof(each)["status"] for each in asked] == ["processing", "accepted"]
        assert decide(events[0]) == []
        assert there.proof(asked[0])["status"] == "accepted"

    def test_no_verdict_without_its_standing(
        self, club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        """All of it commits, or nothing."""

        def fail(*_: object) -> None:
            raise RuntimeError("in the middle of it")

        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        with monkeypatch.context() as patch:
            patch.setattr("proofs.verdicts.reminders.clear", fail)
            assert decide(event) == [0]
        assert there.proof(proof_id)["status"] == "processing"
        assert there.accepted(there.kari) == 0
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]
        assert decide(event) == []
        assert there.accepted(there.kari) == 1

    def test_a_message_that_is_no_event(self, club: Callable[..., Club]) -> None:
        club()
        assert decide("not json", "{}", json.dumps({"detail": {}})) == [0, 1, 2]


class TestAtOnce:
    def test_the_same_picture_from_two_people_is_accepted_once(
        self, club: Callable[..., Club], database: Database, tmp_path: Path
    ) -> None:
        """Two environments decide at the same moment: held at the lock until both are there, then let go."""
        there = club()
        photos = {there.kari.user["username"]: PHOTO, there.miro.user["username"]: encoded(PICTURE, quality=60)}
        asked = [there.ask(who, photos[who.user["username"]]) for who in (there.kari, there.miro)]
        program = (
            "import json, pathlib, sys; sys.path[:] = json.loads(sys.argv[1]);"
            "from proofs import jobs, storage; from tests.api import Context;"
            "storage.read = lambda *_, **__: pathlib.Path(sys.argv[2]).read_bytes();"
            "storage.keep_picture = lambda *_: 'pictures/one.jpg';"
            "print(json.dumps(jobs.verdicts_handler(json.loads(sys.argv[3]), Context())), file=sys.stderr)"
        )
        workers = []
        with psycopg.connect(database.url) as gate:
            gate.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [f"proofs of {there.id}"])
            for proof_id, data in zip(asked, photos.values(), strict=True):
                file = tmp_path / proof_id
                file.write_bytes(data)
                event = json.dumps(batch(created(there.keys[proof_id], sequencer="1")))
                arguments = [sys.executable, "-c", program, json.dumps(sys.path), str(file), event]
                workers.append(subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL))
            deadline = datetime.now(UTC) + timedelta(seconds=60)
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            while database.execute(waiting) != [(2,)]:
                assert datetime.now(UTC) < deadline
        for worker in workers:
            _, answer = worker.communicate(timeout=60)
            assert json.loads(answer.splitlines()[-1]) == {"batchItemFailures": []}, answer
        statuses = sorted(codes(there.proof(proof_id)) for proof_id in asked)
        assert statuses == [("accepted", []), ("rejected", ["duplicate_image"])]
        assert there.accepted(there.kari) + there.accepted(there.miro) == 1
