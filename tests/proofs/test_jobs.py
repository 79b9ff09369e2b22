"""Verdicts by the real handler, for events that are repeated, late, out of order, broken or unrelated."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psycopg
import pytest
from PIL import Image

from chally import aws, clock
from proofs import jobs, storage
from tests.support.api import LambdaContext
from tests.support.database import Database
from tests.support.heic import heic
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
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        proof = club.send(club.kari, PHOTO)
        assert codes(proof) == ("accepted", [])
        assert proof["stored_at"]
        assert proof["decided_at"]
        assert club.accepted(club.kari) == 1
        assert club.accepted(club.miro) == 0
        window = club.kari.get(f"/v1/challenges/{club.id}/windows/current").json
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
    def test_png_and_webp_are_accepted(
        self, make_club: Callable[..., Club], file_format: str, content_type: str
    ) -> None:
        club = make_club()
        proof = club.send(club.kari, encoded(PICTURE, file_format=file_format), content_type)
        assert codes(proof) == ("accepted", [])

    @pytest.mark.parametrize("content_type", ["image/heic", "image/heif"])
    def test_heic_is_accepted_and_others_see_a_jpeg(self, make_club: Callable[..., Club], content_type: str) -> None:
        club = make_club()
        proof = club.send(club.kari, heic(PICTURE), content_type)
        assert codes(proof) == ("accepted", [])
        link = club.miro.get(f"/v1/proofs/{proof['id']}/image").headers["location"]
        key = urlsplit(link).path.lstrip("/")
        copy = aws.client("s3").get_object(Bucket=BUCKET, Key=key)
        assert copy["ContentType"] == "image/jpeg"
        assert copy["Body"].read().startswith(b"\xff\xd8\xff")

    def test_heic_named_jpg_is_told_how_to_send_it(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof = club.send(club.kari, heic(PICTURE))
        assert codes(proof) == ("rejected", ["type_mismatch"])
        assert proof["reasons"][0]["detail"].startswith("This is an HEIC picture, but image/jpeg was announced.")
        assert "Most Compatible" in proof["reasons"][0]["detail"]

    def test_a_challenge_without_heic_says_so_before_the_upload(self, make_club: Callable[..., Club]) -> None:
        club = make_club(proof={"kind": "photo", "types": ["image/jpeg"]})
        body = {"content_type": "image/heic", "content_length": 9, "sha256": "0" * 64}
        response = club.kari.post(f"/v1/challenges/{club.id}/proofs", body)
        assert response.status == 422
        assert "This is an HEIC picture. This challenge accepts image/jpeg." in response.text

    def test_an_upload_after_the_close_is_accepted_while_its_url_is_valid(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None], database: Database
    ) -> None:
        """An upload requested in the window counts while its URL is valid, and replaces a missed outcome."""
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        closes_at = datetime.fromisoformat(club.proof(proof_id)["closes_at"])
        database.execute("update challenges.windows set outcome = 'missed' where closes_at = %(at)s", at=closes_at)
        at(closes_at + timedelta(minutes=30))
        assert decide(club.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=9))) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])
        assert club.accepted(club.kari) == 1


class TestRejected:
    def test_a_text_file_named_jpg_is_rejected(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof = club.send(club.kari, TEXT)
        assert codes(proof) == ("rejected", ["not_an_image"])
        assert proof["reasons"][0]["detail"] == "This file is not a JPEG, PNG, WebP or HEIC picture."
        assert club.accepted(club.kari) == 0

    def test_any_content_gets_a_verdict_and_is_no_failure(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        sent = {
            "truncated": (PHOTO[:2000], "image/jpeg", "not_an_image"),
            "another type than announced": (encoded(PICTURE, file_format="PNG"), "image/jpeg", "type_mismatch"),
            "a bomb": (encoded(Image.new("1", (8000, 4001)), file_format="PNG"), "image/png", "too_large"),
            "an animation": (animation(), "image/webp", "not_an_image"),
        }
        for data, content_type, code in sent.values():
            assert codes(club.send(club.kari, data, content_type)) == ("rejected", [code])
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]

    def test_a_file_larger_than_the_rules_allow_is_rejected(self, make_club: Callable[..., Club]) -> None:
        """S3 enforces the announced length; the verdict checks it again."""
        club = make_club(proof={"kind": "photo", "max_bytes": 3000})
        proof_id = club.ask(club.kari, TEXT)
        assert decide(club.put(proof_id, PHOTO)) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["too_large"])

    def test_an_upload_long_after_the_window_is_rejected(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        closes_at = datetime.fromisoformat(club.proof(proof_id)["closes_at"])
        assert decide(club.put(proof_id, PHOTO, time=closes_at + timedelta(minutes=11))) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["outside_window"])

    def test_a_rejected_photo_can_be_followed_by_a_better_one(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        club.send(club.kari, TEXT)
        assert codes(club.send(club.kari, PHOTO)) == ("accepted", [])


def animation() -> bytes:
    return encoded(PICTURE, file_format="WEBP", save_all=True, append_images=[picture(2, SIZE)])


class TestDelivery:
    """Events arrive at least once, late and in any order."""

    def test_a_repeated_event_changes_nothing(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        assert decide(event, event) == []
        decided = club.proof(proof_id)
        at(clock.now() + timedelta(hours=1))
        assert decide(event) == []
        assert club.proof(proof_id) == decided
        assert club.accepted(club.kari) == 1

    def test_the_newest_version_wins_when_events_come_out_of_order(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        older = club.put(proof_id, TEXT)
        newer = club.put(proof_id, PHOTO)
        assert decide(newer, older, older) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])

    def test_each_event_is_about_its_own_version(self, make_club: Callable[..., Club]) -> None:
        """A newer version does not change the verdict on an older one's event."""
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        older = club.put(proof_id, TEXT)
        newer = club.put(proof_id, PHOTO)
        assert decide(older) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["not_an_image"])
        assert decide(newer) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize(("first", "then"), [("0A", "0A1"), ("09FF", "0A"), ("0055AED6", "0055AED6DCD90281E5")])
    def test_sequencers_of_different_lengths_are_compared_padded(
        self, make_club: Callable[..., Club], first: str, then: str
    ) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        newer = club.put(proof_id, TEXT, sequencer=then)
        assert decide(newer, club.put(proof_id, PHOTO, sequencer=first)) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["not_an_image"])

    def test_an_accepted_proof_is_final(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        assert decide(club.put(proof_id, PHOTO), club.put(proof_id, TEXT)) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])

    def test_a_late_event_decides_an_expired_proof(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        at(clock.now() + timedelta(hours=2))
        assert club.proof(proof_id)["status"] == "expired"
        assert decide(event) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])

    @pytest.mark.parametrize("kept", [True, False], ids=["delete marker", "permanently"])
    def test_a_deleted_version_leaves_its_proof_waiting(self, make_club: Callable[..., Club], kept: bool) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        version = {} if kept else {"VersionId": event["detail"]["object"]["version-id"]}
        boto3.client("s3").delete_object(Bucket=BUCKET, Key=club.keys[proof_id], **version)
        assert decide(event) == []
        assert club.proof(proof_id)["status"] == ("accepted" if kept else "awaiting_upload")

    def test_an_object_without_a_proof_is_ignored(self, make_club: Callable[..., Club]) -> None:
        make_club()
        assert decide(created("uploads/of-somebody", sequencer="1")) == []

    def test_the_upload_of_a_deleted_participant_is_ignored(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        database.execute("delete from challenges.participants where user_id = %(user)s", user=club.kari.user["id"])
        assert decide(event) == []


class TestFailures:
    def test_only_failed_events_are_redelivered(
        self, make_club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        club = make_club()
        asked = [club.ask(who, photo) for who, photo in ((club.kari, PHOTO), (club.miro, OTHER_PHOTO))]
        events = [club.put(asked[0], PHOTO), club.put(asked[1], OTHER_PHOTO)]
        read = storage.read_version

        def fail_once(bucket: str, key: str, version_id: str | None, *, max_bytes: int) -> bytes | None:
            if key == club.keys[asked[0]]:
                raise TimeoutError("S3 does not answer")
            return read(bucket, key, version_id, max_bytes=max_bytes)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "read_version", fail_once)
            assert decide(*events) == [0]
        assert [club.proof(each)["status"] for each in asked] == ["processing", "accepted"]
        assert decide(events[0]) == []
        assert club.proof(asked[0])["status"] == "accepted"

    def test_a_verdict_is_not_written_without_its_standing(
        self, make_club: Callable[..., Club], monkeypatch: pytest.MonkeyPatch, database: Database
    ) -> None:
        """Verdict and standing commit together or not at all."""

        def fail(*_: object) -> None:
            raise RuntimeError("in the middle of it")

        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        event = club.put(proof_id, PHOTO)
        with monkeypatch.context() as patch:
            patch.setattr("proofs.verdicts.reminders.clear", fail)
            assert decide(event) == [0]
        assert club.proof(proof_id)["status"] == "processing"
        assert club.accepted(club.kari) == 0
        assert database.execute("select count(*) from proofs.fingerprints") == [(0,)]
        assert decide(event) == []
        assert club.accepted(club.kari) == 1

    def test_events_without_enough_time_left_are_redelivered(self, make_club: Callable[..., Club]) -> None:
        """If Lambda stopped the function, it would redeliver the whole batch, again and again."""

        class NearlyOver(LambdaContext):
            left = iter((60_000, 5_000))

            def get_remaining_time_in_millis(self) -> int:
                return next(self.left)

        club = make_club()
        asked = [club.ask(who, photo) for who, photo in ((club.kari, PHOTO), (club.miro, OTHER_PHOTO))]
        events = [club.put(asked[0], PHOTO), club.put(asked[1], OTHER_PHOTO)]
        answer = jobs.verdicts_handler(batch(*events), NearlyOver())
        assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
        assert [club.proof(each)["status"] for each in asked] == ["accepted", "awaiting_upload"]
        assert decide(events[1]) == []
        assert codes(club.proof(asked[1])) == ("accepted", [])

    def test_a_message_that_is_not_an_event_is_a_failure(self, make_club: Callable[..., Club]) -> None:
        make_club()
        assert decide("not json", "{}", json.dumps({"detail": {}})) == [0, 1, 2]


class TestConcurrency:
    def test_the_same_picture_from_two_people_is_accepted_once(
        self, make_club: Callable[..., Club], database: Database, tmp_path: Path
    ) -> None:
        """Two environments decide at once: both wait at a lock that the test releases."""
        club = make_club()
        photos = {club.kari.user["username"]: PHOTO, club.miro.user["username"]: encoded(PICTURE, quality=60)}
        asked = [club.ask(who, photos[who.user["username"]]) for who in (club.kari, club.miro)]
        program = (
            "import json, pathlib, sys; sys.path[:] = json.loads(sys.argv[1]);"
            "from proofs import jobs, storage; from tests.support.api import LambdaContext;"
            "storage.read_version = lambda *_, **__: pathlib.Path(sys.argv[2]).read_bytes();"
            "storage.save_picture = lambda *_: 'pictures/one.jpg';"
            "print(json.dumps(jobs.verdicts_handler(json.loads(sys.argv[3]), LambdaContext())), file=sys.stderr)"
        )
        workers = []
        with psycopg.connect(database.url) as gate:
            gate.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [f"proofs of {club.id}"])
            for proof_id, data in zip(asked, photos.values(), strict=True):
                file = tmp_path / proof_id
                file.write_bytes(data)
                event = json.dumps(batch(created(club.keys[proof_id], sequencer="1")))
                arguments = [sys.executable, "-c", program, json.dumps(sys.path), str(file), event]
                workers.append(subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL))
            deadline = datetime.now(UTC) + timedelta(seconds=60)
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            while database.execute(waiting) != [(2,)]:
                assert datetime.now(UTC) < deadline
        for worker in workers:
            _, response = worker.communicate(timeout=60)
            assert json.loads(response.splitlines()[-1]) == {"batchItemFailures": []}, response
        statuses = sorted(codes(club.proof(proof_id)) for proof_id in asked)
        assert statuses == [("accepted", []), ("rejected", ["duplicate_image"])]
        assert club.accepted(club.kari) + club.accepted(club.miro) == 1
