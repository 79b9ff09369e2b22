"""Verdicts by the real handler, for events that are repeated, late, out of order, broken or unrelated."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import psycopg
import pytest
from PIL import Image

from chally import clock
from proofs import storage
from tests.support.database import Database
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import (
    BUCKET,
    OTHER_PHOTO,
    PHOTO,
    PICTURE,
    SIZE,
    TEXT,
    Club,
    batch,
    codes,
    created,
    decide,
)


class TestAccepted:
    def test_an_accepted_photo_updates_standing_reminder_and_fingerprint(
        self, club: Callable[..., Club], database: Database
    ) -> None:
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
        kept = database.execute("select proof_id::text, sha256, comparable from proofs.fingerprints")
        assert kept == [(proof["id"], hashlib.sha256(PHOTO).digest(), True)]

    @pytest.mark.parametrize(("file_format", "content_type"), [("PNG", "image/png"), ("WEBP", "image/webp")])
    def test_png_and_webp_are_accepted(self, club: Callable[..., Club], file_format: str, content_type: str) -> None:
        there = club()
        proof = there.send(there.kari, encoded(PICTURE, file_format=file_format), content_type)
        assert codes(proof) == ("accepted", [])

    def test_an_upload_after_the_close_is_accepted_while_its_url_is_valid(
        self, club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        """An upload requested in the window counts while its URL is valid, and replaces a missed outcome."""
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        closes_at = datetime.fromisoformat(there.proof(proof_id)["closes_at"])
        database.execute("update challenges.windows set outcome = 'missed' where closes_at = %(at)s", at=closes_at)
        at(closes_at + timedelta(minutes=30))
        assert decide(there.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=9))) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])
        assert there.accepted(there.kari) == 1


class TestRejected:
    def test_a_text_file_named_jpg_is_rejected(self, club: Callable[..., Club]) -> None:
        there = club()
        proof = there.send(there.kari, TEXT)
        assert codes(proof) == ("rejected", ["not_an_image"])
        assert proof["reasons"][0]["detail"] == "This file is not a JPEG, PNG or WebP picture."
        assert there.accepted(there.kari) == 0

    def test_any_content_gets_a_verdict_and_is_no_failure(self, club: Callable[..., Club], database: Database) -> None:
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

    def test_a_file_larger_than_the_rules_allow_is_rejected(self, club: Callable[..., Club]) -> None:
        """S3 enforces the announced length; the verdict checks it again."""
        there = club(proof={"kind": "photo", "max_bytes": 3000})
        proof_id = there.ask(there.kari, TEXT)
        assert decide(there.put(proof_id, PHOTO)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["too_large"])

    def test_an_upload_long_after_the_window_is_rejected(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        closes_at = datetime.fromisoformat(there.proof(proof_id)["closes_at"])
        assert decide(there.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=11))) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["outside_window"])

    def test_a_rejected_photo_can_be_followed_by_a_better_one(self, club: Callable[..., Club]) -> None:
        there = club()
        there.send(there.kari, TEXT)
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])


def animation() -> bytes:
    return encoded(PICTURE, file_format="WEBP", save_all=True, append_images=[picture(2, SIZE)])


class TestDelivery:
    """Events arrive at least once, late and in any order."""

    def test_a_repeated_event_changes_nothing(self, club: Callable[..., Club], at: Callable[[datetime], None]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        assert decide(event, event) == []
        decided = there.proof(proof_id)
        at(clock.now() + timedelta(hours=1))
        assert decide(event) == []
        assert there.proof(proof_id) == decided
        assert there.accepted(there.kari) == 1

    def test_the_newest_version_wins_when_events_come_out_of_order(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        older = there.put(proof_id, TEXT)
        newer = there.put(proof_id, PHOTO)
        assert decide(newer, older, older) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    def test_each_event_is_about_its_own_version(self, club: Callable[..., Club]) -> None:
        """A newer version does not change the verdict on an older one's event."""
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        older = there.put(proof_id, TEXT)
        newer = there.put(proof_id, PHOTO)
        assert decide(older) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["not_an_image"])
        assert decide(newer) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize(("first", "then"), [("0A", "0A1"), ("09FF", "0A"), ("0055AED6", "0055AED6DCD90281E5")])
    def test_sequencers_of_different_lengths_are_compared_padded(
        self, club: Callable[..., Club], first: str, then: str
    ) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        newer = there.put(proof_id, TEXT, sequencer=then)
        assert decide(newer, there.put(proof_id, PHOTO, sequencer=first)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["not_an_image"])

    def test_an_accepted_proof_is_final(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        assert decide(there.put(proof_id, PHOTO), there.put(proof_id, TEXT)) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    def test_a_late_event_decides_an_expired_proof(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        at(clock.now() + timedelta(hours=2))
        assert there.proof(proof_id)["status"] == "expired"
        assert decide(event) == []
        assert codes(there.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize("kept", [True, False], ids=["by a mark", "for good"])
    def test_a_deleted_version_leaves_its_proof_waiting(self, club: Callable[..., Club], kept: bool) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        version = {} if kept else {"VersionId": event["detail"]["object"]["version-id"]}
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=there.keys[proof_id], **version)
        assert decide(event) == []
        assert there.proof(proof_id)["status"] == ("accepted" if kept else "awaiting_upload")

    def test_an_object_without_a_proof_is_ignored(self, club: Callable[..., Club]) -> None:
        club()
        assert decide(created("uploads/of-somebody", sequencer="1")) == []

    def test_the_upload_of_a_deleted_participant_is_ignored(
        self, club: Callable[..., Club], database: Database
    ) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        event = there.put(proof_id, PHOTO)
        database.execute("delete from challenges.participants where user_id = %(user)s", user=there.kari.user["id"])
        assert decide(event) == []


class TestFailures:
    def test_only_failed_events_are_redelivered(
        self, club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = club()
        asked = [there.ask(who, photo) for who, photo in ((there.kari, PHOTO), (there.miro, OTHER_PHOTO))]
        events = [there.put(asked[0], PHOTO), there.put(asked[1], OTHER_PHOTO)]
        read = storage.read_version

        def fail_once(bucket: str, key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
            if key == there.keys[asked[0]]:
                raise TimeoutError("S3 does not answer")
            return read(bucket, key, version_id, max_bytes=max_bytes)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "read_version", fail_once)
            assert decide(*events) == [0]
        assert [there.proof(each)["status"] for each in asked] == ["processing", "accepted"]
        assert decide(events[0]) == []
        assert there.proof(asked[0])["status"] == "accepted"

    def test_a_verdict_is_not_written_without_its_standing(
        self, club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        """Verdict and standing commit together or not at all."""

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

    def test_a_message_that_is_not_an_event_is_a_failure(self, club: Callable[..., Club]) -> None:
        club()
        assert decide("not json", "{}", json.dumps({"detail": {}})) == [0, 1, 2]


class TestAtOnce:
    def test_the_same_picture_from_two_people_is_accepted_once(
        self, club: Callable[..., Club], database: Database, tmp_path: Path
    ) -> None:
        """Two environments decide at once: both wait at a lock that the test releases."""
        there = club()
        photos = {there.kari.user["username"]: PHOTO, there.miro.user["username"]: encoded(PICTURE, quality=60)}
        asked = [there.ask(who, photos[who.user["username"]]) for who in (there.kari, there.miro)]
        program = (
            "import json, pathlib, sys; sys.path[:] = json.loads(sys.argv[1]);"
            "from proofs import jobs, storage; from tests.support.api import LambdaContext;"
            "storage.read_version = lambda *_, **__: pathlib.Path(sys.argv[2]).read_bytes();"
            "storage.save_picture = lambda *_: 'pictures/one.jpg';"
            "print(json.dumps(jobs.verdicts_handler(json.loads(sys.argv[3]), LambdaContext())), file=sys.stderr)"
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
