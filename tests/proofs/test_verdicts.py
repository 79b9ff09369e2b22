"""What verdicts rest on: former photos, the time of capture, what one window has already."""

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
        assert "already rejected" in again["reasons"][0]["detail"]
        assert codes(there.send(there.miro, PHOTO)) == ("rejected", ["duplicate_image"])
        expected = ("rejected", ["duplicate_image"]) if phash_check else ("accepted", [])
        assert codes(there.send(there.kari, self.COPIES["re-encoded"])) == expected

    def test_what_a_person_rejected_may_be_right_in_another_challenge(self, club: Callable[..., Club]) -> None:
        """They sent it to the wrong one; and no owner decides on what another challenge takes."""
        there = club()
        elsewhere = there.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        first = there.send(there.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a book, and we run."}
        assert there.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = there.ask(there.kari, PHOTO, challenge=elsewhere)
        assert decide(there.put(again, PHOTO)) == []
        assert codes(there.proof(again, there.kari)) == ("accepted", [])

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
