"""Whether a photo was taken in its window, by the time in its EXIF."""

from datetime import UTC, datetime, timedelta

import pytest

from chally.zones import ZoneInfo
from proofs import capture
from proofs.capture_time import CaptureTime
from proofs.rules.verdict import Doubt

OPENS = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
CLOSES = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
OSLO, TOKYO = ZoneInfo("Europe/Oslo"), ZoneInfo("Asia/Tokyo")
APIA, KATHMANDU = ZoneInfo("Pacific/Apia"), ZoneInfo("Asia/Kathmandu")


def taken(wall: str, offset: float | None = None) -> CaptureTime:
    return CaptureTime(datetime.fromisoformat(wall), None if offset is None else timedelta(hours=offset))


class TestCheckCapture:
    """The window is from 5:00 to 8:00 UTC on 20 November 2026, from 6:00 to 9:00 in Oslo."""

    @staticmethod
    def check(captured: CaptureTime | None, zone: ZoneInfo = OSLO, account_zone: ZoneInfo | None = None) -> str | None:
        found = capture.check_capture_time(captured, OPENS, CLOSES, CLOSES, zone, account_zone)
        if isinstance(found, Doubt):
            assert found.reason["code"] == "exif_time_mismatch"
            return "unsure"
        return found and found["code"]

    def test_a_photo_without_a_time_is_rejected(self) -> None:
        assert self.check(None) == "exif_missing"

    @pytest.mark.parametrize(
        ("wall", "offset"),
        [
            ("2026-11-20T06:00:00", 1),
            ("2026-11-20T08:59:59", 1),
            ("2026-11-20T14:30:00", 9),  # in Tokyo, which need not be the participant's zone
            ("2026-11-19T20:30:00", -9.5),
            ("2026-11-20T10:45:00", 5.75),
            ("2026-11-20T05:55:00", 1),  # a camera's clock can be five minutes off
            ("2026-11-20T09:04:59", 1),
        ],
    )
    def test_a_time_with_an_offset_inside_the_window_passes(self, wall: str, offset: float) -> None:
        assert self.check(taken(wall, offset)) is None

    @pytest.mark.parametrize(
        ("wall", "offset"),
        [
            ("2026-11-20T05:54:59", 1),
            ("2026-11-20T09:05:00", 1),
            ("2026-11-20T07:30:00", 9),  # in the window only if read in the participant's zone
            ("2026-11-19T07:30:00", 1),
            ("2025-11-20T07:30:00", 1),
        ],
    )
    def test_a_time_with_an_offset_outside_the_window_is_rejected(self, wall: str, offset: float) -> None:
        assert self.check(taken(wall, offset)) == "exif_time_mismatch"

    @pytest.mark.parametrize(
        ("wall", "zone"),
        [
            ("2026-11-20T06:00:00", OSLO),
            ("2026-11-20T08:59:59", OSLO),
            ("2026-11-20T18:00:00", APIA),
            ("2026-11-20T10:45:00", KATHMANDU),
        ],
    )
    def test_a_time_without_an_offset_is_read_in_the_participants_zone(self, wall: str, zone: ZoneInfo) -> None:
        assert self.check(taken(wall), zone) is None

    @pytest.mark.parametrize(
        ("wall", "expected"),
        [
            ("2026-11-20T06:00:00", None),  # before the journey
            ("2026-11-20T08:59:59", None),
            ("2026-11-20T14:00:00", None),  # after it
            ("2026-11-20T16:59:59", None),
            ("2026-11-20T11:59:59", "unsure"),
            ("2026-11-20T19:59:59", "unsure"),
            ("2026-11-20T02:59:59", "exif_time_mismatch"),
            ("2026-11-20T20:00:00", "exif_time_mismatch"),
        ],
    )
    def test_a_travellers_time_is_read_in_the_windows_zone_and_in_the_accounts(
        self, wall: str, expected: str | None
    ) -> None:
        """From 6:00 to 9:00 in Oslo, from 14:00 to 17:00 in Tokyo."""
        assert self.check(taken(wall), OSLO, TOKYO) == self.check(taken(wall), TOKYO, OSLO) == expected
        assert self.check(taken("2026-11-20T14:30:00", 1), OSLO, TOKYO) == "exif_time_mismatch"  # it has an offset

    @pytest.mark.parametrize(
        ("wall", "detail"),
        [
            (
                "2026-11-20T02:10:00",
                "This photo says that it was taken at 02:10 on 2026-11-20, but your window was from 06:00 on 2026-11-20"
                " to 09:00 on 2026-11-20 (Europe/Oslo), which is 14:00 on 2026-11-20 to 17:00 on 2026-11-20"
                " (Asia/Tokyo). Set your camera's clock and time zone, and send a photo taken in the window.",
            ),
            (
                "2026-11-20T13:30:00",
                "This photo says that it was taken at 13:30 on 2026-11-20, but your window was from 06:00 on 2026-11-20"
                " to 09:00 on 2026-11-20 (Europe/Oslo), which is 14:00 on 2026-11-20 to 17:00 on 2026-11-20"
                " (Asia/Tokyo). It does not give a time zone, so it needs manual review.",
            ),
        ],
    )
    def test_the_reason_names_both_zones_of_a_traveller(self, wall: str, detail: str) -> None:
        found = capture.check_capture_time(taken(wall), OPENS, CLOSES, CLOSES, OSLO, TOKYO)
        assert found is not None
        assert (found.reason if isinstance(found, Doubt) else found)["detail"] == detail

    def test_the_reason_names_both_zones_also_of_a_photo_with_an_offset(self) -> None:
        captured = CaptureTime(datetime.fromisoformat("2026-11-20T18:10:00"), timedelta(hours=9))
        found = capture.check_capture_time(captured, OPENS, CLOSES, CLOSES, OSLO, TOKYO)
        assert found is not None
        assert not isinstance(found, Doubt)
        assert found["detail"] == (
            "This photo says that it was taken at 10:10 on 2026-11-20 (Europe/Oslo), which is 18:10 on 2026-11-20"
            " (Asia/Tokyo), but your window was from 06:00 on 2026-11-20 to 09:00 on 2026-11-20 (Europe/Oslo), which is"
            " 14:00 on 2026-11-20 to 17:00 on 2026-11-20 (Asia/Tokyo). Set your camera's clock and time zone, and send"
            " a photo taken in the window."
        )

    def test_the_reason_names_one_zone_if_the_clocks_are_the_same(self) -> None:
        found = capture.check_capture_time(
            taken("2026-11-20T02:10:00"), OPENS, CLOSES, CLOSES, OSLO, ZoneInfo("Europe/Berlin")
        )
        assert isinstance(found, dict)
        assert "09:00 on 2026-11-20 (Europe/Oslo). Set" in found["detail"]

    @pytest.mark.parametrize(
        "wall",
        ["2026-11-20T05:59:59", "2026-11-20T03:00:00", "2026-11-20T09:00:00", "2026-11-20T11:59:59"],
    )
    def test_a_time_without_an_offset_near_the_window_is_a_doubt(self, wall: str) -> None:
        assert self.check(taken(wall)) == "unsure"

    @pytest.mark.parametrize(
        "wall", ["2026-11-20T02:59:59", "2026-11-20T12:00:00", "2026-11-19T07:00:00", "2099-11-20T07:00:00"]
    )
    def test_a_time_without_an_offset_far_from_the_window_is_rejected(self, wall: str) -> None:
        assert self.check(taken(wall)) == "exif_time_mismatch"

    @pytest.mark.parametrize(
        "opens", [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)]
    )
    def test_a_repeated_wall_time_is_read_both_ways(self, opens: datetime) -> None:
        """2:40 in Oslo was at 0:40 and at 1:40 UTC."""
        closes = opens + timedelta(minutes=20)
        assert capture.check_capture_time(taken("2026-10-25T02:40:00"), opens, closes, closes, OSLO) is None

    @pytest.mark.parametrize(
        "opens", [datetime(2026, 3, 29, 0, 30, tzinfo=UTC), datetime(2026, 3, 29, 1, 30, tzinfo=UTC)]
    )
    def test_a_skipped_wall_time_is_read_both_ways(self, opens: datetime) -> None:
        """Clocks in Oslo went from 2:00 to 3:00: 2:40 is 1:40 UTC in winter time, 0:40 in summer time."""
        closes = opens + timedelta(minutes=20)
        assert capture.check_capture_time(taken("2026-03-29T02:40:00"), opens, closes, closes, OSLO) is None

    def test_the_reason_gives_both_times_in_the_participants_zone(self) -> None:
        reason = capture.check_capture_time(taken("2026-11-19T23:30:00", -9), OPENS, CLOSES, CLOSES, OSLO)
        assert isinstance(reason, dict)
        assert reason["detail"] == (
            "This photo says that it was taken at 09:30 on 2026-11-20, but your window was from 06:00 on 2026-11-20"
            " to 09:00 on 2026-11-20 (Europe/Oslo). Set your camera's clock and time zone, and send a photo taken"
            " in the window."
        )

    @pytest.mark.parametrize(
        ("wall", "offset", "expected"),
        [
            ("2026-11-20T07:00:00", 1, None),
            ("2026-11-20T07:05:00", 1, None),  # a fast clock
            ("2026-11-20T07:04:59", None, None),
            ("2026-11-20T07:11:00", 1, "exif_time_mismatch"),
            ("2026-11-20T08:59:00", 1, "exif_time_mismatch"),
            ("2026-11-20T08:59:00", None, "unsure"),  # or the clock of a zone in the east
        ],
    )
    def test_a_photo_cannot_be_taken_after_it_was_stored(
        self, wall: str, offset: float | None, expected: str | None
    ) -> None:
        """Stored at 7:00 in Oslo."""
        stored_at = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
        found = capture.check_capture_time(taken(wall, offset), OPENS, CLOSES, stored_at, OSLO)
        reason = found.reason if isinstance(found, Doubt) else found
        assert ("unsure" if isinstance(found, Doubt) else reason and reason["code"]) == expected
        if reason is not None:
            assert "sent before that, at 07:00 on 2026-11-20" in reason["detail"]
