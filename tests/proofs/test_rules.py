from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from challenges.language import PhotoProof
from chally.errors import InvalidRequest
from proofs import capture
from proofs.capture import CaptureTime
from proofs.rules import submission
from proofs.rules.review import AlreadyAppealed, NotAppealable, NotReviewable, check_appeal, check_review
from proofs.rules.status import EXPIRES_AFTER, UPLOAD_LIFE, ProofStatus, shown_status
from proofs.rules.verdict import Doubt, MatchKind, Reason, ReasonCode, check_duplicate, decide_photo, is_comparable

OPENS = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
CLOSES = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Window:
    opens_at: datetime = OPENS
    closes_at: datetime = CLOSES


class TestCheckWindow:
    @pytest.mark.parametrize("now", [OPENS, CLOSES - MOMENT])
    def test_an_open_window_is_returned(self, now: datetime) -> None:
        window = Window()
        assert submission.check_window(window, "active", now) is window

    @pytest.mark.parametrize("now", [OPENS - MOMENT, CLOSES, CLOSES + timedelta(days=1)])
    def test_a_window_that_is_not_open_is_refused(self, now: datetime) -> None:
        with pytest.raises(submission.WindowClosed):
            submission.check_window(Window(), "active", now)

    def test_the_error_says_when_the_window_opens(self) -> None:
        with pytest.raises(submission.WindowClosed, match="2026-11-20T05:00:00Z"):
            submission.check_window(Window(), "active", OPENS - timedelta(hours=1))

    def test_a_participant_without_windows_is_refused(self) -> None:
        with pytest.raises(submission.WindowClosed):
            submission.check_window(None, "active", OPENS)

    @pytest.mark.parametrize("status", ["draft", "paused", "canceled", "archived"])
    def test_a_challenge_that_is_not_active_is_refused(self, status: str) -> None:
        with pytest.raises(submission.WindowClosed, match=status):
            submission.check_window(Window(), status, OPENS)


class TestCheckRoom:
    @pytest.mark.parametrize("status", ["awaiting_upload", "rejected", "replaced"])
    def test_rejected_and_missing_proofs_do_not_count(self, status: ProofStatus) -> None:
        submission.check_room([status] * 5, 1)

    @pytest.mark.parametrize("status", ["processing", "accepted", "needs_review"])
    def test_other_proofs_count(self, status: ProofStatus) -> None:
        submission.check_room([status], 2)
        with pytest.raises(submission.WindowFull):
            submission.check_room([status], 1)
        with pytest.raises(submission.WindowFull):
            submission.check_room([status, "accepted", "rejected"], 2)


class TestCheckAnnounced:
    RULES = PhotoProof(max_bytes=5000, types=["image/jpeg"])

    def test_an_announcement_within_the_rules_passes(self) -> None:
        submission.check_announced("image/jpeg", 5000, self.RULES)

    @pytest.mark.parametrize(
        ("content_type", "content_length", "pointers"),
        [
            ("image/png", 1, ["/content_type"]),
            ("text/html", 1, ["/content_type"]),
            ("image/jpeg", 5001, ["/content_length"]),
            ("IMAGE/JPEG", 5001, ["/content_type", "/content_length"]),
        ],
    )
    def test_each_wrong_field_is_named(self, content_type: str, content_length: int, pointers: list[str]) -> None:
        with pytest.raises(InvalidRequest) as caught:
            submission.check_announced(content_type, content_length, self.RULES)
        assert [error["pointer"] for error in caught.value.errors] == pointers


class TestShownStatus:
    def test_a_proof_without_an_upload_expires(self) -> None:
        after = OPENS + EXPIRES_AFTER
        assert shown_status("awaiting_upload", OPENS, after - MOMENT) == "awaiting_upload"
        assert shown_status("awaiting_upload", OPENS, after) == "expired"

    @pytest.mark.parametrize("status", ["processing", "accepted", "rejected", "needs_review", "replaced"])
    def test_an_uploaded_proof_does_not_expire(self, status: ProofStatus) -> None:
        assert shown_status(status, OPENS, OPENS + timedelta(days=365)) == status

    def test_the_upload_url_expires_before_the_proof(self) -> None:
        assert UPLOAD_LIFE < EXPIRES_AFTER


class TestIsComparable:
    def test_fingerprints_above_metas_quality_limit_are_comparable(self) -> None:
        assert not is_comparable(49)
        assert is_comparable(50)


class TestDecidePhoto:
    UNREADABLE = Reason(code="not_an_image", detail="This file is not a JPEG, PNG or WebP picture.")
    MISSING = Reason(code="exif_missing", detail="This photo does not say when it was taken.")
    DOUBT = Doubt(Reason(code="exif_time_mismatch", detail="This photo says that it was taken at another time."))

    def verdict(
        self, *found: Reason | Doubt | None, stored_at: datetime = CLOSES - MOMENT
    ) -> tuple[str, list[ReasonCode]]:
        decided = decide_photo(closes_at=CLOSES, stored_at=stored_at, results=found)
        return decided.status, [reason["code"] for reason in decided.reasons]

    def test_a_photo_that_passes_every_check_is_accepted(self) -> None:
        assert self.verdict() == ("accepted", [])
        assert self.verdict(None, None) == ("accepted", [])

    def test_a_failed_check_rejects(self) -> None:
        assert self.verdict(self.UNREADABLE, None) == ("rejected", ["not_an_image"])
        assert self.verdict(self.MISSING, self.UNREADABLE) == ("rejected", ["exif_missing", "not_an_image"])

    def test_an_upload_in_progress_at_the_close_is_accepted(self) -> None:
        assert self.verdict(stored_at=CLOSES + UPLOAD_LIFE) == ("accepted", [])

    def test_a_late_upload_is_rejected(self) -> None:
        late = CLOSES + UPLOAD_LIFE + MOMENT
        assert self.verdict(stored_at=late) == ("rejected", ["outside_window"])
        assert self.verdict(self.UNREADABLE, stored_at=late) == ("rejected", ["outside_window", "not_an_image"])
        assert self.verdict(self.DOUBT, stored_at=late) == ("rejected", ["outside_window"])

    def test_a_doubt_needs_a_review(self) -> None:
        assert self.verdict(self.DOUBT, None) == ("needs_review", ["exif_time_mismatch"])

    def test_a_reason_outweighs_a_doubt(self) -> None:
        assert self.verdict(self.DOUBT, self.MISSING) == ("rejected", ["exif_missing"])


class TestCheckDuplicate:
    def test_without_a_match_there_is_no_reason(self) -> None:
        assert check_duplicate(None, 0) is None

    @pytest.mark.parametrize(("used_before", "distance"), [("file", 0), ("picture", 0), ("picture", 23)])
    def test_a_near_match_is_a_reason(self, used_before: MatchKind, distance: int) -> None:
        found = check_duplicate(used_before, distance)
        assert isinstance(found, dict)
        assert found["code"] == "duplicate_image"

    @pytest.mark.parametrize("distance", [24, 31])
    def test_a_less_near_match_is_a_doubt(self, distance: int) -> None:
        found = check_duplicate("picture", distance)
        assert isinstance(found, Doubt)
        assert found.reason["code"] == "duplicate_image"


class TestReview:
    @pytest.mark.parametrize("status", ["accepted", "rejected", "needs_review"])
    def test_decided_proofs_can_be_reviewed(self, status: ProofStatus) -> None:
        check_review(status, [], can_be_seen=True)

    @pytest.mark.parametrize("status", ["awaiting_upload", "processing", "replaced"])
    def test_undecided_and_replaced_proofs_cannot_be_reviewed(self, status: ProofStatus) -> None:
        with pytest.raises(NotReviewable, match=status.replace("_", " ")):
            check_review(status, [], can_be_seen=True)

    def test_files_without_a_picture_cannot_be_reviewed(self) -> None:
        with pytest.raises(NotReviewable, match="no picture"):
            check_review("rejected", [], can_be_seen=False)
        with pytest.raises(NotReviewable, match="virus"):
            check_review("rejected", [Reason(code="malware", detail="")], can_be_seen=True)

    def test_a_verdict_can_be_appealed_for_a_week(self) -> None:
        def appeal(now: datetime, *, appealed: bool = False, status: ProofStatus = "rejected") -> None:
            check_appeal(status, [], can_be_seen=True, appealed=appealed, decided_at=CLOSES, now=now)

        appeal(CLOSES + timedelta(days=7))
        with pytest.raises(NotAppealable, match="7 days"):
            appeal(CLOSES + timedelta(days=7) + MOMENT)
        with pytest.raises(AlreadyAppealed):
            appeal(CLOSES, appealed=True)
        with pytest.raises(NotAppealable):
            appeal(CLOSES, status="accepted")

    def test_storage_is_limited_to_the_quota(self) -> None:
        submission.check_storage(2**30 - 5, 5)
        with pytest.raises(submission.StorageFull):
            submission.check_storage(2**30 - 5, 6)


OSLO, APIA, KATHMANDU = ZoneInfo("Europe/Oslo"), ZoneInfo("Pacific/Apia"), ZoneInfo("Asia/Kathmandu")


def taken(wall: str, offset: float | None = None) -> CaptureTime:
    return CaptureTime(datetime.fromisoformat(wall), None if offset is None else timedelta(hours=offset))


class TestCheckCapture:
    """The window is from 5:00 to 8:00 UTC on 20 November 2026, from 6:00 to 9:00 in Oslo."""

    @staticmethod
    def check(captured: CaptureTime | None, zone: ZoneInfo = OSLO) -> str | None:
        found = capture.check_capture_time(captured, OPENS, CLOSES, CLOSES, zone)
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
