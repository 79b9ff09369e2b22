"""Verdicts by duplicates, capture time, and the other proofs of a window."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageFilter
from PIL.ExifTags import GPS, IFD, Base

from chally import clock
from chally.zones import ZoneInfo
from proofs.rules.verdict import CERTAIN_DISTANCE
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.pictures import encoded, picture
from tests.support.proof_uploads import OTHER_PHOTO, PHOTO, PICTURE, SIZE, TEXT, Club, codes, decide
from tests.support.screens import CLOSE_RUNS, screen


class TestDuplicates:
    COPIES = {
        "the same file": PHOTO,
        "re-encoded": encoded(PICTURE, quality=40),
        "resized": encoded(PICTURE.resize((300, 225))),
        "mirrored": encoded(PICTURE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        "turned": encoded(PICTURE.transpose(Image.Transpose.ROTATE_90)),
        "upside down": encoded(PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    }

    def test_another_participants_photo_is_a_duplicate(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert codes(club.send(club.kari, PHOTO)) == ("accepted", [])
        for name, copy in self.COPIES.items():
            assert codes(club.send(club.miro, copy)) == ("rejected", ["duplicate_image"]), name
        assert club.accepted(club.miro) == 0
        assert codes(club.send(club.miro, OTHER_PHOTO)) == ("accepted", [])

    def test_a_persons_photo_of_another_window_is_a_duplicate(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club()
        club.send(club.kari, PHOTO)
        at(clock.now() + timedelta(days=1))
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["mirrored"]):
            assert codes(club.send(club.kari, copy)) == ("rejected", ["duplicate_image"])
        assert codes(club.send(club.kari, OTHER_PHOTO)) == ("accepted", [])
        assert club.accepted(club.kari) == 2

    def test_only_the_same_file_is_a_duplicate_across_challenges(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        elsewhere = club.miro.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        club.send(club.kari, PHOTO)
        same = club.ask(club.miro, PHOTO, challenge=elsewhere)
        similar = club.ask(club.miro, self.COPIES["re-encoded"], challenge=elsewhere)
        assert decide(club.put(same, PHOTO), club.put(similar, self.COPIES["re-encoded"])) == []
        assert codes(club.proof(same, club.miro)) == ("rejected", ["duplicate_image"])
        assert codes(club.proof(similar, club.miro)) == ("accepted", [])

    def test_a_persons_photo_in_another_challenge_is_a_duplicate(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        elsewhere = club.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        club.send(club.kari, PHOTO)
        for copy in (PHOTO, self.COPIES["re-encoded"], self.COPIES["turned"]):
            proof_id = club.ask(club.kari, copy, challenge=elsewhere)
            assert decide(club.put(proof_id, copy)) == []
            assert codes(club.proof(proof_id, club.kari)) == ("rejected", ["duplicate_image"])

    def test_a_rejected_photo_is_no_duplicate(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        proof_id = club.ask(club.kari, PHOTO)
        decide(club.put(proof_id, PHOTO, time=clock.now() + timedelta(days=3)))
        assert codes(club.proof(proof_id)) == ("rejected", ["outside_window"])
        assert codes(club.send(club.miro, PHOTO)) == ("accepted", [])

    @pytest.mark.parametrize("contrast", [0.1, 0.2])
    @pytest.mark.parametrize("first", ["the original", "the copy"])
    def test_a_copy_without_contrast_goes_to_a_person(
        self, make_club: Callable[..., Club], contrast: float, first: str
    ) -> None:
        """PDQ calls it too flat to compare, but it keeps the bits of the original."""
        club = make_club()
        copy = encoded(ImageEnhance.Contrast(PICTURE).enhance(contrast))
        photos = [PHOTO, copy] if first == "the original" else [copy, PHOTO]
        assert codes(club.send(club.kari, photos[0])) == ("accepted", [])
        held = club.send(club.miro, photos[1])
        assert codes(held) == ("needs_review", ["duplicate_image"])
        assert club.accepted(club.miro) == 0
        assert codes(club.send(club.owner, photos[1])) == ("rejected", ["duplicate_image"])  # the same file

    def test_a_copy_without_contrast_of_a_rejected_photo_goes_to_a_person(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        first = club.send(club.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a picture of a film."}
        assert club.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        copy = encoded(ImageEnhance.Contrast(PICTURE).enhance(0.15))
        assert codes(club.send(club.kari, copy)) == ("needs_review", ["duplicate_image"])

    def test_screens_of_two_days_are_no_duplicates(self, make_club: Callable[..., Club], database: Database) -> None:
        """Their layout is the same, and their fingerprints are 10 bits apart; their figures differ."""
        club = make_club()
        one, two = (encoded(screen("run", seed)) for seed in CLOSE_RUNS)
        assert codes(club.send(club.kari, one)) == ("accepted", [])
        assert codes(club.send(club.miro, two)) == ("accepted", [])
        assert codes(club.send(club.owner, encoded(screen("run", CLOSE_RUNS[0]), quality=40))) == (
            "rejected",
            ["duplicate_image"],
        )
        ((bits,),) = database.execute(
            "select bit_count(a.pdq # b.pdq) from proofs.fingerprints a join proofs.fingerprints b on a.proof_id <"
            " b.proof_id join proofs.proofs p on p.id = a.proof_id join proofs.proofs q on q.id = b.proof_id"
            " where p.status = 'accepted' and q.status = 'accepted'"
        )
        assert bits <= CERTAIN_DISTANCE  # the fingerprints alone would have rejected it

    def test_a_blurred_copy_of_a_screen_goes_to_a_person(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        original = screen("steps", 3)
        club.send(club.kari, encoded(original))
        blurred = encoded(original.filter(ImageFilter.GaussianBlur(4)))
        assert codes(club.send(club.miro, blurred)) == ("needs_review", ["duplicate_image"])

    def test_a_copy_of_a_screen_is_found_behind_nearer_ones_of_other_days(
        self, make_club: Callable[..., Club], database: Database
    ) -> None:
        club = make_club()
        first = club.send(club.kari, encoded(screen("run", CLOSE_RUNS[0])))
        other = club.send(club.owner, encoded(screen("run", CLOSE_RUNS[1])))
        # as if the other day were the nearest
        database.execute(
            "update proofs.fingerprints set pdq = (select pdq from proofs.fingerprints where proof_id = %(first)s)"
            " where proof_id = %(other)s", first=first["id"], other=other["id"],
        )  # fmt: skip
        copy = encoded(screen("run", CLOSE_RUNS[0]), quality=50)
        assert codes(club.send(club.miro, copy)) == ("rejected", ["duplicate_image"])

    def test_two_screens_of_one_window_do_not_replace_each_other(self, make_club: Callable[..., Club]) -> None:
        club = make_club(proof={"kind": "photo", "max_per_window": 2})
        sent = [club.send(club.kari, encoded(screen("run", seed))) for seed in CLOSE_RUNS]
        assert [club.proof(each["id"])["status"] for each in sent] == ["accepted", "accepted"]

    def test_pictures_are_not_compared_unless_the_rules_require_it(self, make_club: Callable[..., Club]) -> None:
        club = make_club(anti_cheat={"phash_check": False})
        club.send(club.kari, PHOTO)
        assert codes(club.send(club.miro, PHOTO)) == ("accepted", [])
        assert codes(club.send(club.owner, self.COPIES["re-encoded"])) == ("accepted", [])

    @pytest.mark.parametrize("phash_check", [True, False])
    def test_a_photo_rejected_by_a_reviewer_is_rejected_again(
        self, make_club: Callable[..., Club], phash_check: bool
    ) -> None:
        """In the same window too, by any sender, and also if only files are compared."""
        club = make_club(anti_cheat={"phash_check": phash_check})
        first = club.send(club.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a picture of a film."}
        assert club.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = club.send(club.kari, PHOTO)
        assert codes(again) == ("rejected", ["duplicate_image"])
        assert "already rejected" in again["reasons"][0]["detail"]
        assert codes(club.send(club.miro, PHOTO)) == ("rejected", ["duplicate_image"])
        expected = ("rejected", ["duplicate_image"]) if phash_check else ("accepted", [])
        assert codes(club.send(club.kari, self.COPIES["re-encoded"])) == expected

    def test_a_photo_rejected_by_a_reviewer_is_appealed_once(
        self, make_club: Callable[..., Club], mails: Callable[[], list[dict[str, Any]]]
    ) -> None:
        """Sending it again begins no new appeal; another sender has their own."""
        club = make_club()
        first = club.send(club.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a picture of a film."}
        club.owner.post(f"/v1/proofs/{first['id']}/review", review)
        assert club.kari.delete(f"/v1/proofs/{first['id']}").code == "decided_by_person"
        again = club.send(club.kari, self.COPIES["mirrored"])
        assert codes(again) == ("rejected", ["duplicate_image"])
        assert mails()[-1]["values"]["appeal_until_at"] is None
        response = club.kari.post(f"/v1/proofs/{again['id']}/appeal", {"message": "It is me."})
        assert response.code == "not_appealable"
        assert first["id"] in response.json["detail"]
        theirs = club.send(club.miro, PHOTO)
        assert mails()[-1]["values"]["appeal_until_at"]
        assert club.miro.post(f"/v1/proofs/{theirs['id']}/appeal", {"message": "Mine."}).status == 200
        assert club.kari.post(f"/v1/proofs/{first['id']}/appeal", {"message": "It is me."}).status == 200

    def test_a_photo_rejected_by_a_reviewer_can_pass_in_another_challenge(self, make_club: Callable[..., Club]) -> None:
        """It may have been sent to the wrong challenge, and owners decide only for their own."""
        club = make_club()
        elsewhere = club.kari.post("/v1/challenges", challenge_body(clock.now())).json["id"]
        first = club.send(club.kari, PHOTO)
        review = {"decision": "reject", "reason": "This is a book, and we run."}
        assert club.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        again = club.ask(club.kari, PHOTO, challenge=elsewhere)
        assert decide(club.put(again, PHOTO)) == []
        assert codes(club.proof(again, club.kari)) == ("accepted", [])

    def test_a_photo_passes_again_after_a_reviewer_accepted_it(self, make_club: Callable[..., Club]) -> None:
        club = make_club(proof={"max_per_window": 3})
        first = club.send(club.kari, PHOTO)
        for decision in ("reject", "accept"):
            review = {"decision": decision, "reason": "I looked again."}
            assert club.owner.post(f"/v1/proofs/{first['id']}/review", review).status == 200
        assert codes(club.send(club.kari, self.COPIES["re-encoded"])) == ("accepted", [])
        assert club.proof(first["id"])["status"] == "replaced"


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

    def test_a_photo_taken_in_the_window_is_accepted(self, make_club: Callable[..., Club]) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        assert codes(club.send(club.kari, taken(clock.now(), zone="America/Lima"))) == ("accepted", [])
        assert club.accepted(club.kari) == 1

    def test_a_photo_taken_outside_the_window_is_rejected(self, make_club: Callable[..., Club]) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        proof = club.send(club.kari, taken(clock.now() - timedelta(days=3), zone="Europe/Oslo"))
        assert codes(proof) == ("rejected", ["exif_time_mismatch"])
        assert "Europe/Oslo" in proof["reasons"][0]["detail"]
        assert club.accepted(club.kari) == 0

    def test_a_photo_without_a_time_is_rejected(self, make_club: Callable[..., Club]) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        assert codes(club.send(club.kari, PHOTO)) == ("rejected", ["exif_missing"])
        assert codes(club.send(club.kari, TEXT)) == ("rejected", ["not_an_image"])

    def test_the_clients_capture_time_does_not_count(self, make_club: Callable[..., Club]) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        proof_id = club.ask(club.kari, PHOTO, captured_at=clock.now().isoformat())
        assert decide(club.put(proof_id, PHOTO)) == []
        assert codes(club.proof(proof_id)) == ("rejected", ["exif_missing"])

    def test_a_time_without_an_offset_is_read_in_the_participants_zone(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Noon on the same day is in the window in Oslo and in Tokyo, each in their own zone."""
        club = make_club(anti_cheat=self.REQUIRED)
        for who, zone, seed in ((club.kari, "Europe/Oslo", 1), (club.miro, "Asia/Tokyo", 2)):
            noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo(zone)).replace(hour=12, minute=0)
            at(noon.astimezone(UTC))
            photo = taken(noon.replace(tzinfo=UTC), seed)
            assert codes(club.send(who, photo)) == ("accepted", [])

    def test_a_time_without_an_offset_is_read_by_the_rules_that_the_window_follows(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None], person: SignUp
    ) -> None:
        """Morocco has changed its rules: older releases of the zones, which machines have, are an hour off."""
        club = make_club(anti_cheat=self.REQUIRED, schedule=NOON)
        amina = person("amina", "Africa/Casablanca")
        code = club.owner.get(f"/v1/challenges/{club.id}").json["invite_code"]
        assert amina.post(f"/v1/challenges/{code}/join").status == 201
        window = amina.get(f"/v1/challenges/{club.id}/windows/current").json
        opens_at = datetime.fromisoformat(window["opens_at"])
        at(opens_at + timedelta(minutes=10))
        wall = datetime.combine(date.fromisoformat(window["local_date"]), time(12, 10), tzinfo=UTC)
        proof = club.send(amina, taken(wall.replace(hour=8)))
        assert "your window was from 12:00 on" in proof["reasons"][0]["detail"]
        assert codes(club.send(amina, taken(wall, 2))) == ("accepted", [])

    def test_a_window_in_the_challenges_zone_reads_times_in_the_participants_zone(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """The window is at noon in Berlin, when Miro's camera in Tokyo shows 19:00 or 20:00."""
        club = make_club(anti_cheat=self.REQUIRED, schedule=NOON | {"scope": "challenge_tz"})
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Berlin")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        in_berlin, in_tokyo = (each.replace(tzinfo=UTC) for each in (noon, noon.astimezone(ZoneInfo("Asia/Tokyo"))))
        assert codes(club.send(club.miro, taken(in_berlin))) == ("rejected", ["exif_time_mismatch"])
        assert codes(club.send(club.miro, taken(in_tokyo))) == ("accepted", [])

    def test_a_person_who_moved_after_the_window_opened_may_have_changed_the_cameras_clock(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Kari flies from Oslo to New York, where it is morning when the window is open."""
        club = make_club(anti_cheat=self.REQUIRED, schedule=NOON, proof={"max_per_window": 3})
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Oslo")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        there = noon.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=UTC)
        here = noon.replace(tzinfo=UTC)
        assert codes(club.send(club.kari, taken(there, 1))) == ("rejected", ["exif_time_mismatch"])
        assert club.kari.patch("/v1/me", {"timezone": "America/New_York"}).status == 200
        assert codes(club.send(club.kari, taken(there, 2))) == ("accepted", [])
        assert codes(club.send(club.kari, taken(here, 3))) == ("accepted", [])
        proof = club.send(club.kari, taken(here + timedelta(hours=8), 4))
        assert codes(proof) == ("rejected", ["exif_time_mismatch"])
        for zone in ("Europe/Oslo", "America/New_York"):
            assert zone in proof["reasons"][0]["detail"]

    def test_a_photo_of_the_first_minutes_of_a_day_that_the_phone_counts_as_hour_24_is_accepted(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        night = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Oslo")).replace(hour=0, minute=5)
        at(night.astimezone(UTC))
        exif = Image.Exif()
        exif[IFD.Exif] = {Base.DateTimeOriginal: f"{night:%Y:%m:%d} 24:05:00"}
        assert codes(club.send(club.kari, encoded(picture(1, SIZE), exif=exif))) == ("accepted", [])

    def test_a_changed_zone_does_not_move_an_open_window(
        self, make_club: Callable[..., Club], at: Callable[[datetime], None]
    ) -> None:
        """Otherwise a changed zone could put any photo into the window."""
        club = make_club(anti_cheat=self.REQUIRED, schedule=NOON)
        noon = (clock.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Oslo")).replace(hour=12, minute=10)
        at(noon.astimezone(UTC))
        code = club.owner.get(f"/v1/challenges/{club.id}").json["invite_code"]
        early, now = noon.replace(hour=4, tzinfo=UTC), noon.replace(tzinfo=UTC)
        asked = [club.ask(club.kari, taken(early)), club.ask(club.kari, taken(now, 2))]
        assert club.kari.post(f"/v1/challenges/{code}/join", {"timezone": "America/New_York"}).status == 200
        for proof_id, photo in zip(asked, (taken(early), taken(now, 2)), strict=True):
            assert decide(club.put(proof_id, photo)) == []
        assert [codes(club.proof(proof_id)) for proof_id in asked] == [
            ("rejected", ["exif_time_mismatch"]),
            ("accepted", []),
        ]

    def test_exif_is_not_read_unless_the_rules_require_it(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        assert codes(club.send(club.kari, taken(clock.now() - timedelta(days=900)))) == ("accepted", [])

    def test_the_location_is_neither_logged_nor_returned(
        self, make_club: Callable[..., Club], logs: Callable[[], str]
    ) -> None:
        club = make_club(anti_cheat=self.REQUIRED)
        exif = Image.Exif()
        exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSMapDatum: "DATUM-OF-A-PLACE"}
        proof = club.send(club.kari, encoded(PICTURE, exif=exif))
        assert codes(proof) == ("rejected", ["exif_missing"])
        assert "DATUM-OF-A-PLACE" not in logs() + json.dumps(proof)


class TestBlank:
    @pytest.mark.parametrize(
        "nothing",
        [
            Image.new("RGB", SIZE, "black"),
            Image.new("RGB", SIZE, "navy"),
            Image.new("L", SIZE, 255),
            Image.new("RGBA", SIZE, (200, 20, 20, 0)),
            Image.new("RGB", (1, 1), "red"),
            PICTURE.resize((20, 15)),
            Image.eval(PICTURE, lambda value: value // 64),
        ],
        ids=["black", "navy", "white", "transparent", "one pixel", "an icon", "a covered lens"],
    )
    def test_a_picture_that_shows_nothing_is_rejected(
        self, make_club: Callable[..., Club], nothing: Image.Image
    ) -> None:
        club = make_club()
        proof = club.send(club.kari, encoded(nothing, file_format="PNG"), "image/png")
        assert codes(proof) == ("rejected", ["blank_image"])
        assert proof["reasons"][0]["detail"].startswith("This picture ")

    @pytest.mark.parametrize("contrast", [0.1, 0.2])
    def test_a_pale_photo_is_not_blank(self, make_club: Callable[..., Club], contrast: float) -> None:
        """Fog, dusk and snow have little contrast."""
        pale = Image.eval(PICTURE, lambda value: int(120 + contrast * (value - 128)))
        assert codes((club := make_club()).send(club.kari, encoded(pale))) == ("accepted", [])


class TestReplaced:
    def test_the_same_picture_in_the_same_window_replaces_the_first(self, make_club: Callable[..., Club]) -> None:
        club = make_club(proof={"kind": "photo", "max_per_window": 3})
        first = club.send(club.kari, PHOTO)
        other = club.send(club.kari, OTHER_PHOTO)
        again = club.send(club.kari, encoded(PICTURE, quality=60))
        assert [codes(club.proof(each["id"])) for each in (first, other, again)] == [
            ("replaced", []),
            ("accepted", []),
            ("accepted", []),
        ]
        assert club.accepted(club.kari) == 1

    def test_the_newest_photos_stay_when_a_window_has_too_many(self, make_club: Callable[..., Club]) -> None:
        club = make_club()
        photos = [PHOTO, OTHER_PHOTO, encoded(picture(3, SIZE))]
        asked = [club.ask(club.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(club.put(proof_id, photo)) == []
        assert [club.proof(proof_id)["status"] for proof_id in asked] == ["replaced", "replaced", "accepted"]
        assert club.accepted(club.kari) == 1

    def test_a_better_photo_replaces_only_the_same_picture(self, make_club: Callable[..., Club]) -> None:
        """A second photo of one scene, requested while there was room, replaces only the first."""
        club = make_club(proof={"kind": "photo", "max_per_window": 2})
        photos = [OTHER_PHOTO, PHOTO, encoded(PICTURE, quality=60)]
        asked = [club.ask(club.kari, photo) for photo in photos]
        for proof_id, photo in zip(asked, photos, strict=True):
            assert decide(club.put(proof_id, photo)) == []
        assert [club.proof(proof_id)["status"] for proof_id in asked] == ["accepted", "replaced", "accepted"]

    def test_a_copy_of_a_replaced_photo_is_a_duplicate(self, make_club: Callable[..., Club]) -> None:
        club = make_club(proof={"kind": "photo", "max_per_window": 2})
        club.send(club.kari, PHOTO)
        club.send(club.kari, encoded(PICTURE, quality=60))
        assert codes(club.send(club.miro, PHOTO)) == ("rejected", ["duplicate_image"])
