"""Overlays in photos are read as people show them, and are valid only for one participant and day."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID
from xml.etree import ElementTree as ET

import boto3
import numpy as np
import pytest
from aws_lambda_powertools.utilities import parameters
from numpy.typing import NDArray
from PIL import Image

from challenges import overlay as tokens
from challenges import overlay_key
from challenges.overlay import OverlayResult
from chally import clock, db
from proofs import fingerprints, images, overlay, qr_codes
from tests.support import qr_scenes
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.pictures import encoded
from tests.support.proof_uploads import BUCKET, Club, codes, decide
from tests.support.qr_scenes import Shot

TOKEN = tokens.issue(b"a key", UUID(int=7), date(2026, 11, 20))
TAG = "https://club.example/a-poster-on-the-wall"

SHOTS = {
    "plain": (Shot(), 85),
    "12 % of the width": (Shot(width=0.12), 60),
    "8 % of the width": (Shot(width=0.08), 60),
    "turned": (Shot(width=0.15, turned=37), 60),
    "upside down": (Shot(width=0.15, turned=180), 60),
    "from the side": (Shot(width=0.2, turned=15, tilt=0.4), 60),
    "a little blurred": (Shot(width=0.12, blur=1.5, turned=5), 60),
    "dark": (Shot(width=0.12, light=0.15), 60),
    "flat light": (Shot(width=0.12, contrast=0.15), 60),
    "in a mirror": (Shot(width=0.15, mirrored=True, turned=8), 60),
    "on a dark screen": (Shot(width=0.15, inverted=True), 60),
    "all at once": (Shot(width=0.15, turned=-20, tilt=0.2, blur=1.2, light=0.4, contrast=0.6), 60),
}


def found(data: bytes, declared_type: str = "image/jpeg") -> list[str]:
    legible = images.read_photo(data, declared_type, legible=True).legible
    assert legible is not None
    return qr_codes.read_codes(legible)


class TestReadCodes:
    @pytest.mark.parametrize(("shot", "quality"), SHOTS.values(), ids=list(SHOTS))
    def test_a_code_is_read_as_people_show_it(self, shot: Shot, quality: int) -> None:
        assert found(qr_scenes.photo((TOKEN, shot), quality=quality)) == [TOKEN]

    @pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
    def test_a_code_is_read_in_other_formats(self, file_format: str) -> None:
        data = encoded(qr_scenes.taken((TOKEN, Shot(width=0.15))), file_format=file_format)
        assert found(data, f"image/{file_format.lower()}") == [TOKEN]

    def test_a_code_is_read_in_the_orientation_a_phone_stores(self) -> None:
        """Stored sideways with an EXIF orientation: codes are read in any orientation."""
        exif = Image.Exif()
        exif[0x0112] = 6
        assert found(encoded(qr_scenes.taken((TOKEN, Shot(width=0.15))), quality=60, exif=exif)) == [TOKEN]

    def test_several_codes_are_read(self) -> None:
        left, right = Shot(width=0.2, at=(0.3, 0.5)), Shot(width=0.2, turned=20, at=(0.75, 0.5))
        assert sorted(found(qr_scenes.photo((TOKEN, left), (TAG, right)))) == sorted([TOKEN, TAG])

    def test_a_photo_without_a_code_has_no_text(self) -> None:
        assert found(qr_scenes.photo()) == []


class TestLegible:
    @pytest.mark.parametrize(
        ("size", "shape"), [((4032, 3024), (1512, 2016)), ((3000, 500), (341, 2048)), ((640, 480), (480, 640))]
    )
    def test_the_legible_luma_is_large_enough_and_no_larger(
        self, size: tuple[int, int], shape: tuple[int, int]
    ) -> None:
        legible = images.read_photo(encoded(Image.new("L", size, 200)), "image/jpeg", legible=True).legible
        assert legible is not None
        assert legible.shape == shape

    def test_a_legible_luma_does_not_change_the_fingerprint(self) -> None:
        """Within Meta's tolerance: whether a photo is a copy must not depend on reading codes."""
        data = encoded(qr_scenes.landscape(7, qr_scenes.SIZE))
        asked, plain = (
            fingerprints.fingerprint(images.read_photo(data, "image/jpeg", legible=each).luma) for each in (True, False)
        )
        assert asked.distance(plain) <= 10

    def test_the_legible_luma_is_kept_only_on_request(self) -> None:
        assert images.read_photo(encoded(Image.new("L", (64, 64))), "image/jpeg").legible is None


def tiled(pattern: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.tile(pattern, (side // len(pattern) + 1, side // len(pattern[0]) + 1))[:side, :side]


def finders(pixels: int, side: int = 1024) -> NDArray[np.uint8]:
    """Only the corner squares of QR codes, with `pixels` pixels a module."""
    square = np.full((9, 9), 255, np.uint8)
    square[1:8, 1:8], square[2:7, 2:7], square[3:6, 3:6] = 0, 255, 0
    return tiled(np.kron(square, np.ones((pixels, pixels), np.uint8)), side)


def hostile() -> dict[str, NDArray[np.uint8]]:
    chance = np.random.default_rng(3)
    grid = np.asarray(qr_scenes.code(TOKEN))
    torn = np.where(chance.random(grid.shape) < 0.2, 255 - grid, grid).astype(np.uint8)
    return {
        "noise": chance.integers(0, 256, (1024, 1024), np.uint8),
        "black and white noise": (chance.integers(0, 2, (1024, 1024)) * 255).astype(np.uint8),
        "one pixel": np.zeros((1, 1), np.uint8),
        "one line": np.zeros((1, 2048), np.uint8),
        "one column": np.zeros((2048, 1), np.uint8),
        "stripes": tiled(np.array([[0, 255]], np.uint8), 1024),
        "a chessboard": tiled(np.array([[0, 255], [255, 0]], np.uint8), 1024),
        "squares of corners": finders(1),
        "large squares of corners": finders(40),
        "huge modules": np.kron(grid[::16, ::16], np.ones((60, 60), np.uint8))[300:1500, 300:1500],
        "torn": torn,
        "half a code": grid[:, : grid.shape[1] // 2],
    }


HOSTILE = hostile()


class TestHostile:
    @pytest.mark.parametrize("luma", HOSTILE.values(), ids=list(HOSTILE))
    def test_artificial_pictures_have_no_codes(self, luma: NDArray[np.uint8]) -> None:
        assert qr_codes.read_codes(np.ascontiguousarray(luma)) == []

    @pytest.mark.parametrize(
        "said", ["\0\0", "CHALLY1:", "CHALLY1:" + "A" * 2000, "çédille", "日本語", "\x1b[31m", "CHALLY1:é"]
    )
    def test_codes_with_foreign_texts_are_read(self, said: str) -> None:
        (text,) = qr_codes.read_codes(np.asarray(qr_scenes.code(said)))
        assert tokens.check(text, [b"a key"], UUID(int=7), date(2026, 11, 20)) in ("foreign", "forged")

    def test_hundreds_of_codes_are_read(self) -> None:
        small = np.asarray(Image.fromarray(np.asarray(qr_scenes.code("A"))).resize((87, 87), Image.Resampling.NEAREST))
        assert set(qr_codes.read_codes(tiled(small, 1024))) == {"A"}


class TestOverlayReason:
    @pytest.mark.parametrize("others", [set(), {"foreign"}, {"forged", "other_window", "other_participant"}])
    def test_one_valid_code_is_enough(self, others: set[OverlayResult]) -> None:
        assert overlay.overlay_reason({"valid", *others}) is None

    @pytest.mark.parametrize("findings", [set(), {"foreign"}])
    def test_without_a_token_the_overlay_is_missing(self, findings: set[OverlayResult]) -> None:
        reason = overlay.overlay_reason(findings)
        assert reason is not None
        assert reason["code"] == "overlay_missing"

    @pytest.mark.parametrize("finding", ["forged", "other_window", "other_participant"])
    def test_a_wrong_code_has_a_reason_that_helps(self, finding: OverlayResult) -> None:
        reason = overlay.overlay_reason({finding, "foreign"})
        assert reason is not None
        assert reason["code"] == "overlay_invalid"
        assert "new photo" in reason["detail"]


@pytest.fixture
def club(person: SignUp, database: Database) -> Club:
    """A challenge that requires overlays."""
    boto3.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    owner, kari, miro = person("owner"), person("kari", "Europe/Oslo"), person("miro", "Europe/Oslo")
    body = challenge_body(clock.now())
    body["rules"]["anti_cheat"] = {"overlay": True}
    challenge = owner.post("/v1/challenges", body).json
    for who in (kari, miro):
        assert who.post(f"/v1/challenges/{challenge['invite_code']}/join").status == 201
    return Club(challenge["id"], owner, kari, miro, database)


def token(club: Club, who: Client) -> str:
    response = who.get(f"/v1/challenges/{club.id}/windows/current")
    assert response.status == 200, response.text
    given: dict[str, str] = response.json["overlay"]
    assert qr_codes.read_codes(drawn(given["qr"])) == [given["token"]]
    return given["token"]


def drawn(svg: str) -> NDArray[np.uint8]:
    """Renders the SVG: segno draws every run of dark modules as a stroke."""
    size = int(str(ET.fromstring(svg).get("width"))) // 4
    grid = np.full((size, size), 255, np.uint8)
    x = y = 0
    for command, first, second in re.findall(r"([Mmh])(-?\d+)(?: (-?[\d.]+))?", svg.rpartition(' d="')[2]):
        if command == "h":
            grid[y, x : x + int(first)] = 0
            x += int(first)
        else:
            x, y = (int(first), int(float(second))) if command == "M" else (x + int(first), y + int(second))
    return np.kron(grid, np.ones((4, 4), np.uint8))


def shot(*texts: str, seed: int = 7) -> bytes:
    places = [Shot(width=0.2, turned=10 * n, at=(0.2 + 0.3 * n, 0.5)) for n, _ in enumerate(texts)]
    return qr_scenes.photo(*zip(texts, places, strict=True), size=(1280, 960), quality=70, seed=seed)


class TestVerdict:
    def test_a_photo_with_its_own_token_is_accepted(self, club: Club) -> None:
        assert codes(club.send(club.kari, shot(token(club, club.kari)))) == ("accepted", [])
        assert club.accepted(club.kari) == 1

    def test_a_photo_without_a_code_is_rejected(self, club: Club) -> None:
        assert codes(club.send(club.kari, shot())) == ("rejected", ["overlay_missing"])
        assert codes(club.send(club.kari, shot(TAG))) == ("rejected", ["overlay_missing"])
        assert club.accepted(club.kari) == 0

    def test_another_participants_token_is_rejected(self, club: Club) -> None:
        proof = club.send(club.kari, shot(token(club, club.miro)))
        assert codes(proof) == ("rejected", ["overlay_invalid"])
        assert "another participant" in proof["reasons"][0]["detail"]

    def test_yesterdays_token_is_rejected(self, club: Club, at: Callable[..., None]) -> None:
        yesterdays = token(club, club.kari)
        at(clock.now() + timedelta(days=1))
        assert codes(club.send(club.kari, shot(yesterdays))) == ("rejected", ["overlay_invalid"])
        assert codes(club.send(club.kari, shot(token(club, club.kari)))) == ("accepted", [])

    def test_tampered_and_truncated_tokens_are_rejected(self, club: Club) -> None:
        own = token(club, club.kari)
        for wrong in (own[:-1] + ("A" if own[-1] != "A" else "B"), own[:-8], own[:8]):
            assert codes(club.send(club.kari, shot(wrong))) == ("rejected", ["overlay_invalid"])

    def test_a_valid_token_among_other_codes_is_accepted(self, club: Club) -> None:
        photo = shot(token(club, club.miro), TAG, token(club, club.kari))
        assert codes(club.send(club.kari, photo)) == ("accepted", [])

    def test_all_reasons_are_reported_together(self, club: Club) -> None:
        photo = shot(token(club, club.kari))
        assert codes(club.send(club.kari, photo)) == ("accepted", [])
        assert codes(club.send(club.miro, photo)) == ("rejected", ["overlay_invalid", "duplicate_image"])

    def test_a_file_that_is_not_a_picture_has_one_reason(self, club: Club) -> None:
        assert codes(club.send(club.kari, b"no picture")) == ("rejected", ["not_an_image"])

    def test_codes_are_not_read_unless_the_rules_require_an_overlay(
        self, club: Club, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        elsewhere = club.miro.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        monkeypatch.delattr(overlay, "check_codes")
        proof_id = club.ask(club.miro, photo := shot(), challenge=elsewhere)
        assert decide(club.put(proof_id, photo)) == []
        assert codes(club.proof(proof_id, club.miro)) == ("accepted", [])


class TestKeyIsReplaced:
    """The previous key stays valid, and cached keys do not prevent a rotation."""

    @staticmethod
    def replace(value: str) -> None:
        boto3.client("secretsmanager").put_secret_value(SecretId="overlay", SecretString=value)

    @staticmethod
    def forget() -> None:
        parameters.clear_caches()  # type: ignore[no-untyped-call]

    def test_a_token_of_the_previous_key_is_accepted(self, club: Club) -> None:
        photo = shot(token(club, club.kari))
        self.replace("the next key")
        self.forget()
        assert codes(club.send(club.kari, photo)) == ("accepted", [])

    def test_a_token_of_a_new_key_is_accepted_before_the_job_has_loaded_it(self, club: Club) -> None:
        token(club, club.kari)  # the job caches the old key
        self.replace("the next key")
        proof = club.send(club.kari, b"no picture")
        fresh = tokens.issue(b"the next key", UUID(proof["participant_id"]), date.fromisoformat(proof["local_date"]))
        assert codes(club.send(club.kari, shot(fresh))) == ("accepted", [])

    def test_a_token_of_a_key_replaced_twice_is_rejected(self, club: Club) -> None:
        photo = shot(token(club, club.kari))
        self.replace("the next key")
        self.replace("the key after that")
        self.forget()
        assert codes(club.send(club.kari, photo)) == ("rejected", ["overlay_invalid"])

    def test_the_key_is_loaded_outside_of_transactions(self, club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[set[str]] = []

        def watch(_: str) -> list[bytes]:
            seen.append(set(db._open))
            return [b"a key"]

        monkeypatch.setattr(overlay_key, "cached", lambda arn: watch(arn)[0])
        monkeypatch.setattr(overlay_key, "fetch_all", watch)
        club.send(club.kari, shot(TOKEN.replace("B", "C")))
        assert seen == [set(), set()]

    def test_without_the_key_there_is_no_verdict(self, club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
        """That is our failure, so SQS redelivers the event."""
        photo = shot(token(club, club.kari))
        proof_id = club.ask(club.kari, photo)
        event = club.put(proof_id, photo)
        with monkeypatch.context() as patch:
            patch.setattr(overlay_key, "cached", lambda _: overlay_key.fetch_all("gone")[0])
            assert decide(event) == [0]
        assert decide(event) == []
        assert codes(club.proof(proof_id)) == ("accepted", [])
