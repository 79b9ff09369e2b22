"""Proofs on the deployed system, from upload to verdict and beyond, with real photos if available."""

import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
import segno
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from infra.local import aws, database
from tests.support import corpora
from tests.support.challenges import challenge_body
from tests.support.deployed import DeployedPerson, DeployedSystem, Eventually, infra_local, verdict
from tests.support.pictures import encoded, photo, picture

pytestmark = pytest.mark.e2e

SAYS_WHERE = Image.Exif()
SAYS_WHERE[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (59.0, 54.0, 0.0)}
SAYS_WHERE[Base.Orientation] = 6


@pytest.fixture(scope="module")
def owner(person: Callable[[str], DeployedPerson]) -> DeployedPerson:
    return person("Europe/Oslo")


@pytest.fixture(scope="module")
def member(person: Callable[[str], DeployedPerson]) -> DeployedPerson:
    return person("Asia/Tokyo")


Open = Callable[..., dict[str, Any]]


@pytest.fixture
def challenge(owner: DeployedPerson, member: DeployedPerson) -> Open:
    """Create a challenge with a member."""

    def make(**rules: Any) -> dict[str, Any]:
        body = challenge_body(datetime.now(UTC))
        body["rules"] |= {"proof": {"max_per_window": 10}} | rules
        made = owner.call("POST", "/v1/challenges", body)
        assert made.status_code == 201, made.text
        opened: dict[str, Any] = made.json()
        assert member.call("POST", f"/v1/challenges/{opened['invite_code']}/join").status_code == 201
        return opened

    return make


@pytest.fixture
def send(eventually: Eventually) -> Callable[..., list[dict[str, Any]]]:
    """Upload all files, then wait for the verdicts."""

    def send(who: DeployedPerson, challenge: dict[str, Any], files: Sequence[bytes]) -> list[dict[str, Any]]:
        sent = [who.prove(challenge, data) for data in files]
        return [verdict(who, proof_id, eventually) for proof_id in sent]

    return send


Send = Callable[..., list[dict[str, Any]]]


def codes(proof: dict[str, Any]) -> tuple[str, list[str]]:
    return proof["status"], [reason["code"] for reason in proof["reasons"]]


def link(who: DeployedPerson, proof: dict[str, Any]) -> str:
    answer = who.call("GET", f"/v1/proofs/{proof['id']}/image")
    assert answer.status_code == 307, answer.text
    return answer.headers["location"]


def cleaned(who: DeployedPerson, proof: dict[str, Any]) -> Image.Image:
    """The published picture of a proof, which has no metadata."""
    found = httpx.get(link(who, proof))
    assert (found.status_code, found.headers["content-type"]) == (200, "image/jpeg")
    shown = Image.open(io.BytesIO(found.content))
    assert shown.format == "JPEG"
    assert not shown.getexif()
    assert b"Exif" not in found.content
    return shown


def accepted(who: DeployedPerson, challenge: dict[str, Any]) -> dict[str, int]:
    """Accepted windows per person, by the standings."""
    items = who.call("GET", f"/v1/challenges/{challenge['id']}/standings").json()["items"]
    return {item["username"]: item["accepted"] for item in items}


def dead_letters_url(system: DeployedSystem) -> str:
    """The dead-letter queue of verdicts."""
    sqs, url = aws.client(system.workspace, "sqs"), system.outputs["stack"]["VerdictsQueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
    name = json.loads(policy)["deadLetterTargetArn"].rsplit(":", 1)[1]
    return str(sqs.get_queue_url(QueueName=name)["QueueUrl"])


def dead_letters(system: DeployedSystem) -> int:
    dead = aws.client(system.workspace, "sqs").get_queue_attributes(
        QueueUrl=dead_letters_url(system), AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(dead["Attributes"]["ApproximateNumberOfMessages"])


@corpora.needed
class TestRealPhotos:
    def test_disguised_copies_are_duplicates_and_other_photos_are_not(
        self, owner: DeployedPerson, member: DeployedPerson, challenge: Open, send: Send
    ) -> None:
        there = challenge()
        bridge, *copies = (path.read_bytes() for path in corpora.files("near_duplicates/bridge-*.jpg"))
        (first,) = send(owner, there, [bridge])
        assert codes(first) == ("accepted", [])
        assert cleaned(member, first).size == (1600, 1004)

        with Image.open(io.BytesIO(bridge)) as image:
            copies += [
                bridge,
                encoded(image, quality=50),
                encoded(image.resize((800, 502))),
                encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
                encoded(image.transpose(Image.Transpose.ROTATE_90)),
            ]
        assert len(copies) >= 5
        for proof in send(member, there, copies):
            assert codes(proof) == ("rejected", ["duplicate_image"])
        others = [path.read_bytes() for path in corpora.files("near_duplicates/unrelated-*.jpg")]
        for proof in send(member, there, others):
            assert codes(proof) == ("accepted", [])

    def test_invalid_files_are_rejected_with_a_reason(
        self, system: DeployedSystem, member: DeployedPerson, challenge: Open, send: Send
    ) -> None:
        """Their metadata is broken: they are pictures, but do not pass where a capture time is required."""
        files = [path.read_bytes() for path in corpora.files("invalid/*")]
        strict = challenge(anti_cheat={"exif_required": True})
        for proof in send(member, strict, files):
            assert codes(proof) == ("rejected", ["exif_missing"])
            assert proof["reasons"][0]["detail"].endswith("send the original file from your camera.")
        for proof in send(member, challenge(), files):
            assert codes(proof) == ("accepted", [])
        for proof in send(member, strict, [data[: len(data) // 2] for data in files]):
            assert codes(proof) == ("rejected", ["not_an_image"])
        assert dead_letters(system) == 0


def test_texts_and_numbers_get_their_verdict_at_once(
    owner: DeployedPerson, member: DeployedPerson, challenge: Open
) -> None:
    def tell(there: dict[str, Any], value: object) -> tuple[str, list[str]]:
        answer = member.call("POST", f"/v1/challenges/{there['id']}/proofs", {"value": value})
        assert answer.status_code == 201, answer.text
        assert answer.json()["upload"] is None
        return codes(answer.json()["proof"])

    diary = challenge(proof={"kind": "text", "min_length": 10})
    assert tell(diary, "Ten pages of Hamsun.") == ("accepted", [])
    steps = challenge(proof={"kind": "number", "unit": "steps", "target": 10_000})
    assert tell(steps, 9_999) == ("rejected", ["below_target"])
    assert tell(steps, 10_000) == ("accepted", [])
    for there in (diary, steps):
        assert accepted(owner, there)[member.username] == 1


def test_a_photo_is_published_reviewed_and_appealed_and_another_deleted(
    system: DeployedSystem,
    owner: DeployedPerson,
    member: DeployedPerson,
    challenge: Open,
    send: Send,
    eventually: Eventually,
) -> None:
    there = challenge()
    (proof,) = send(member, there, [encoded(picture(61), exif=SAYS_WHERE)])
    assert codes(proof) == ("accepted", [])
    assert cleaned(owner, proof).size == (768, 1024)  # upright
    path = f"/v1/proofs/{proof['id']}"

    def mailed(who: DeployedPerson, words: str) -> bool:
        return any(words in mail["BodyText"] for mail in system.mails(who.email))

    rejection = {"decision": "reject", "reason": "This is last year's snow."}
    assert member.call("POST", f"{path}/review", rejection).status_code == 403
    rejected = owner.call("POST", f"{path}/review", rejection)
    assert (rejected.status_code, rejected.json()["status"]) == (200, "rejected")
    assert accepted(owner, there)[member.username] == 0
    eventually(lambda: mailed(member, "This is last year's snow."), "the mail about the review")

    appeal = {"message": "It snowed this morning."}
    appealed = member.call("POST", f"{path}/appeal", appeal)
    assert (appealed.status_code, appealed.json()["status"]) == (200, "needs_review")
    assert member.call("POST", f"{path}/appeal", appeal).json()["code"] == "appealed_already"
    assert owner.call("GET", path).json()["appeal"] == "It snowed this morning."
    again = owner.call("POST", f"{path}/review", {"decision": "accept", "reason": "So it did."})
    assert (again.status_code, again.json()["status"]) == (200, "accepted")
    assert accepted(owner, there)[member.username] == 1

    decided = member.call("DELETE", path)
    assert (decided.status_code, decided.json()["code"]) == (409, "decided_by_person")

    elsewhere = challenge()
    (other,) = send(member, elsewhere, [photo(62)])
    path = f"/v1/proofs/{other['id']}"
    shown = link(owner, other)
    assert owner.call("DELETE", path).status_code == 404
    assert member.call("DELETE", path).status_code == 204
    assert owner.call("GET", path).status_code == 404
    assert accepted(owner, elsewhere)[member.username] == 0
    with psycopg.connect(database.urls(system.workspace).owner, autocommit=True) as connection:
        # as if 15 minutes had passed: its upload might have been in progress
        connection.execute("update proofs.removals set added_at = added_at - interval '16 minutes'")
    infra_local(system.workspace, "invoke", "proof-removals")
    assert httpx.get(shown).status_code == 404


def test_a_picture_must_show_the_code_of_its_window(
    owner: DeployedPerson, member: DeployedPerson, challenge: Open, send: Send
) -> None:
    there = challenge(anti_cheat={"overlay": True})

    def with_code(who: DeployedPerson, seed: int) -> bytes:
        window = who.call("GET", f"/v1/challenges/{there['id']}/windows/current").json()
        code = io.BytesIO()
        segno.make(window["overlay"]["token"], error="Q", micro=False).save(code, kind="png", scale=4)
        scene = picture(seed)
        with Image.open(code) as drawn:
            scene.paste(drawn.convert("RGB").rotate(8, expand=True, fillcolor="white"), (500, 300))
        return encoded(scene)

    sent = [photo(71), with_code(owner, 72), with_code(member, 73)]
    assert [codes(proof) for proof in send(member, there, sent)] == [
        ("rejected", ["overlay_missing"]),
        ("rejected", ["overlay_invalid"]),
        ("accepted", []),
    ]


def test_a_redriven_dead_letter_gets_its_verdict(
    system: DeployedSystem, member: DeployedPerson, challenge: Open, send: Send, eventually: Eventually
) -> None:
    (proof,) = send(member, challenge(), [photo(81)])
    with psycopg.connect(database.urls(system.workspace).owner, autocommit=True) as connection:
        # as if its event had failed until it became a dead letter
        key, sequencer = connection.execute(
            "update proofs.proofs p set status = 'processing', decided_at = null, sequencer = null, reasons = '[]'"
            " from proofs.proofs former where former.id = p.id and p.id = %s"
            " returning p.object_key, former.sequencer", [proof["id"]],
        ).fetchone() or (None, None)  # fmt: skip
    event = {
        "source": "aws.s3", "detail-type": "Object Created", "time": proof["stored_at"],
        "detail": {"object": {"key": key, "sequencer": sequencer}},
    }  # fmt: skip
    sqs = aws.client(system.workspace, "sqs")
    sqs.send_message(QueueUrl=dead_letters_url(system), MessageBody=json.dumps(event))
    assert member.call("GET", f"/v1/proofs/{proof['id']}").json()["status"] == "processing"
    infra_local(system.workspace, "redrive", "verdicts")
    assert codes(verdict(member, proof["id"], eventually)) == ("accepted", [])
    assert dead_letters(system) == 0
