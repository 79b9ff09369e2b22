"""Verdicts by duplicates, capture time, and the other proofs of a window."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from chally import clock
from tests.support.challenges import challenge_body
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import FLAT, OTHER_PHOTO, PHOTO, PICTURE, SIZE, TEXT, Club, codes, decide


class TestDuplicates:
    COPIES = {
        "the same file": PHOTO,
        "re-encoded": encoded(PICTURE, quality=40),
        "resized": encoded(PICTURE.resize((300, 225))),
        "mirrored": encoded(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "turned": encoded(PICTURE.transpose(Image.Transpose.ROTATE_90)),
        "upside down": encoded(PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    }

    def test_another_participants_photo_is_a_duplicate(self, club: Callable[..., Club]) -> None:
        there = club()
        assert codes(there.send(there.kari, PHOTO)) == ("accepted", [])
        for name, copy in self.COPIES.items():
            assert codes(there.send(there.miro, copy)) == ("rejected", ["duplicate_image"]), name
        assert there.accepted(there.miro) == 0
        assert codes(there.send(there.miro, OTHER_PHOTO)) == ("accepted", [])

    def test_a_persons_photo_of_another_window_is_a_duplicate(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        there = club()
        there.send(there.kari, PHOTO)
        at(clock.now() + timedelta(days=1))
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["mirrored"]):
            assert codes(there.send(there.kari, copy)) == ("rejected", ["duplicate_image"])
        assert codes(there.send(there.kari, OTHER_PHOTO)) == ("accepted", [])
        assert there.accepted(there.kari) == 2

    def test_only_the_same_file_is_a_duplicate_across_challenges(self, club: Callable[..., Club]) -> None:
        there = club()
        elsewhere = there.miro.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        there.send(there.kari, PHOTO)
        same = there.ask(there.miro, PHOTO, challenge=elsewhere)
        similar = there.ask(there.miro, self.COPIES["re-encoded"], challenge=elsewhere)
        assert decide(there.put(same, PHOTO), there.put(similar, self.COPIES["re-encoded"])) == []
        assert codes(there.proof(same, there.miro)) == ("rejected", ["duplicate_image"])
        assert codes(there.proof(similar, there.miro)) == ("accepted", [])

    def test_a_persons_photo_in_another_challenge_is_a_duplicate(self, club: Callable[..., Club]) -> None:
        there = club()
        elsewhere = there.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        there.send(there.kari, PHOTO)
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["turned"]):
            proof_id = there.ask(there.kari, copy, challenge=elsewhere)
            assert decide(there.put(proof_id, copy)) == []
            assert codes(there.proof(proof_id, there.kari)) == ("rejected", ["duplicate_image"])

    def test_a_rejected_photo_is_no_duplicate(self, club: Callable[..., Club]) -> None:
        there = club()
        proof_id = there.ask(there.kari, PHOTO)
        decide(there.put(proof_id, PHOTO, time=clock.now() + timedelta(days=3)))
        assert codes(there.proof(proof_id)) == ("rejected", ["outside_window"])
        assert codes(there.send(there.miro, PHOTO)) == ("accepted", [])

    def test_photos_of_low_quality_are_not_compared(self, club: Callable[..., Club]) -> None:
        """PDQ cannot tell flat pictures apart."""
        there = club()
        assert codes(there.send(there.kari, encoded(FLAT))) == ("accepted", [])
        assert codes(there.send(there.miro, encoded(Image.new("RGB", SIZE, "maroon")))) == ("accepted", [])
        assert codes(there.send(there.owner, encoded(FLAT))) == ("rejected", ["duplicate_image"])

    def test_pictures_are_not_compared_unless_the_rules_require_it(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat={"phash_check": False})
        there.send(there.kari, PHOTO)
        assert codes(there.send(there.miro, PHOTO)) == ("accepted", [])
        assert codes(there.send(there.owner, self.COPIES["re-encoded"])) == ("accepted", [])

    @pytest.mark.parametrize("phash_check", [True, False])
    def test_a_photo_rejected_by_a_reviewer_is_rejected_again(
        self, club: Callable[..., Club], phash_check: bool
    ) -> None:
        """In the same window too, by any sender, and also if only files are compared."""
        there = club(anti_cheat={"phash_check": phash_check})
        first = there.send(there.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a picture of a film."}
        assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = there.send(there.kari, PHOTO)
        assert codes(again) == ("rejected", ["duplicate_image"])
        assert "already rejected" in again["reasons"][0]["detail"]
        assert codes(there.send(there.miro, PHOTO)) == ("rejected", ["duplicate_image"])
        expected = ("rejected", ["duplicate_image"]) if phash_check else ("accepted", [])
        assert codes(there.send(there.kari, self.COPIES["re-encoded"])) == expected

    def test_a_photo_rejected_by_a_reviewer_can_pass_in_another_challenge(self, club: Callable[..., Club]) -> None:
        """It may have been sent to the wrong challenge, and owners decide only for their own."""
        there = club()
        elsewhere = there.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        first = there.send(there.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a book, and we run."}
        assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = there.ask(there.kari, PHOTO, challenge=elsewhere)
        assert decide(there.put(again, PHOTO)) == []
        assert codes(there.proof(again, there.kari)) == ("accepted", [])

    def test_a_photo_passes_again_after_a_reviewer_accepted_it(self, club: Callable[..., Club]) -> None:
        there = club(proof={"max_per_window": 3})
        first = there.send(there.kari, PHOTO)
        for decision in ("reject", "accept"):
            review = {"decision": decision, "reason": "I looked again."}
            assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        assert codes(there.send(there.kari, self.COPIES["re-encoded"])) == ("accepted", [])
        assert there.proof(first["id"])["status"] == "replaced"


def taken(when: datetime, seed: int = 1, *, zone: str | None = None) -> bytes:
    """A photo taken at an instant, with the offset of `zone`, or without an offset and in UTC."""
    wall = when.astimezone(ZoneInfo(zone or "UTC"))
    exif = Image.Exif()
    offset = {Base.OffsetTimeOriginal: f"{wall:%:z}"} if zone else {}
    exif[IFD.Exif] = {Base.DateTimeOriginal: f"{wall:%Y:%m:%d %H:%M:%S}"} | offset
    return encoded(picture(seed, SIZE), exif=exif)


NOON = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "opens": "12:00", "closes": "12:30"}


class TestExifRequired:
    REQUIRED = {"exif_required": True}

    def test_a_photo_taken_in_the_window_is_accepted(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        assert codes(there.send(there.kari, taken(clock.now(), zone="America/Lima"))) == ("accepted", [])
        assert there.accepted(there.kari) == 1

    def test_a_photo_taken_outside_the_window_is_rejected(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        proof = there.send(there.kari, taken(clock.now() - timedelta(days=3), zone="Europe/Oslo"))
        assert codes(proof) == ("rejected", ["exif_time_mismatch"])
        assert "Europe/Oslo" in proof["reasons"][0]["detail"]
        assert there.accepted(there.kari) == 0

    def test_a_photo_without_a_time_is_rejected(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        assert codes(there.send(there.kari, PHOTO)) == ("rejected", ["exif_missing"])
        assert codes(there.send(there.kari, TEXT)) == ("rejected", ["not_an_image"])

    def test_the_clients_capture_time_does_not_count(self, club: Callable[..., Club]) -> None:
        there = club(anti_cheat=self.REQUIRED)
        proof_id = there.ask(there.kari, PHOTO, captured_at=clock.now().isoformat())
        assert decide(there.put(proof_id, PHOTO)) == []
        assert codes(there.proof(proof_id)) == ("rejected", ["exif_missing"])

    def test_a_time_without_an_offset_is_read_in_the_participants_zone(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Noon on the same day is in the window in Oslo and in Tokyo, each in their own zone."""
        there = club(anti_cheat=self.REQUIRED)
        for who, zone, seed in ((there.kari, "Europe/Oslo", 1), (there.miro, "Asia/Tokyo", 2)):
            noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo(zone)).replace(hour=12, minute=0)
            at(noon.astimezone(UTC))
            photo = taken(noon.replace(tzinfo=UTC), seed)
            assert codes(there.send(who, photo)) == ("accepted", [])

    def test_a_window_in_the_challenges_zone_reads_times_in_the_participants_zone(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """The window is at noon in Berlin, when Miro's camera in Tokyo shows 19:00 or 20:00."""
        there = club(anti_cheat=self.REQUIRED, schedule=NOON | {"scope": "challenge_tz"})
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Berlin")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        in_berlin, in_tokyo = (each.replace(tzinfo=UTC) for each in (noon, noon.astimezone(ZoneInfo("Asia/Tokyo"))))
        assert codes(there.send(there.miro, taken(in_berlin))) == ("rejected", ["exif_time_mismatch"])
        assert codes(there.send(there.miro, taken(in_tokyo))) == ("accepted", [])

    def test_a_changed_zone_does_not_move_an_open_window(
        self, club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Otherwise a changed zone could put any photo into the window."""
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

    def test_exif_is_not_read_unless_the_rules_require_it(self, club: Callable[..., Club]) -> None:
        there = club()
        assert codes(there.send(there.kari, taken(clock.now() - timedelta(days=900)))) == ("accepted", [])

    def test_the_location_is_neither_logged_nor_returned(
        self, club: Callable[..., Club], logs: Callable[[], str]
    ) -> None:
        there = club(anti_cheat=self.REQUIRED)
        exif = Image.Exif()
        exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSMapDatum: "DATUM-OF-A-PLACE"}
        proof = there.send(there.kari, encoded(PICTURE, exif=exif))
        assert codes(proof) == ("rejected", ["exif_missing"])
        assert "DATUM-OF-A-PLACE" not in logs() + json.dumps(proof)


class TestReplaced:
    def test_the_same_picture_in_the_same_window_replaces_the_first(self, club: Callable[..., Club]) -> None:
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

    def test_the_newest_photos_stay_when_a_window_has_too_many(self, club: Callable[..., Club]) -> None:
        there = club()
        photos = [PHOTO, OTHER_PHOTO, encoded(picture(3, SIZE))]
        asked = [there.ask(there.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(there.put(proof_id, photo)) == []
        assert [there.proof(proof_id)["status"] for proof_id in asked] == ["replaced", "replaced", "accepted"]
        assert there.accepted(there.kari) == 1

    def test_a_better_photo_replaces_only_the_same_picture(self, club: Callable[..., Club]) -> None:
        """A second photo of one scene, requested while there was room, replaces only the first."""
        there = club(proof={"kind": "photo", "max_per_window": 2})
        photos = [OTHER_PHOTO, PHOTO, encoded(PICTURE, quality=60)]
        asked = [there.ask(there.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(there.put(proof_id, photo)) == []
        assert [there.proof(proof_id)["status"] for proof_id in asked] == ["accepted", "replaced", "accepted"]

    def test_a_copy_of_a_replaced_photo_is_a_duplicate(self, club: Callable[..., Club]) -> None:
        there = club(proof={"kind": "photo", "max_per_window": 2})
        there.send(there.kari, PHOTO)
        there.send(there.kari, encoded(PICTURE, quality=60))
        assert codes(there.send(there.miro, PHOTO)) == ("rejected", ["duplicate_image"])
