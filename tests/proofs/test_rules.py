"""The rules of proofs: which can be sent, reviewed and appealed, and the verdict on one."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from challenges.language import NumberProof, PhotoProof
from chally.errors import InvalidRequest
from proofs.rules import submission
from proofs.rules.review import AlreadyAppealed, NotAppealable, NotReviewable, check_appeal, check_review
from proofs.rules.status import (
    EXPIRES_AFTER,
    UPLOAD_LIFE,
    NotDecided,
    ProofStatus,
    ShownStatus,
    check_decided,
    shown_status,
    shows_picture,
)
from proofs.rules.verdict import (
    Doubt,
    MatchKind,
    Reason,
    ReasonCode,
    check_duplicate,
    decide_photo,
    infected_verdict,
    is_comparable,
    too_large,
)

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
    @pytest.mark.parametrize("status", ["expired", "rejected", "replaced"])
    def test_rejected_proofs_and_expired_uploads_do_not_count(self, status: ShownStatus) -> None:
        submission.check_room([status] * 5, 1)

    def test_requested_uploads_take_a_place_of_which_two_are_spare(self) -> None:
        requested: list[ShownStatus] = ["awaiting_upload"] * 3
        accepted: list[ShownStatus] = ["accepted"]
        submission.check_room(requested[:2], 1)
        submission.check_room([*requested, *accepted], 3)
        for proofs, places in ((requested, 1), (requested + accepted * 2, 3)):
            with pytest.raises(submission.WindowFull, match="You have requested 3 uploads for this window"):
                submission.check_room(proofs, places)

    @pytest.mark.parametrize("status", ["processing", "accepted", "needs_review"])
    def test_other_proofs_count(self, status: ShownStatus) -> None:
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

    @pytest.mark.parametrize("content_type", ["image/heic", "image/heif"])
    def test_a_challenge_without_heic_says_how_to_take_jpegs(self, content_type: str) -> None:
        with pytest.raises(InvalidRequest) as caught:
            submission.check_announced(content_type, 1, self.RULES)
        (error,) = caught.value.errors
        assert error["message"].startswith("This is an HEIC picture. This challenge accepts image/jpeg. ")
        assert "Most Compatible" in error["message"]

    @pytest.mark.parametrize("content_type", ["image/heic", "image/heif"])
    def test_a_challenge_that_accepts_one_name_of_heic_accepts_both(self, content_type: str) -> None:
        submission.check_announced(content_type, 1, PhotoProof(types=["image/heic"]))


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

    @pytest.mark.parametrize(
        ("status", "shown"), [("awaiting_upload", "awaiting upload"), ("processing", "processing")]
    )
    def test_an_undecided_proof_has_no_verdict(self, status: ProofStatus, shown: str) -> None:
        with pytest.raises(NotDecided, match=f"it is {shown}"):
            check_decided(status, OPENS, OPENS)

    def test_an_expired_proof_has_no_verdict(self) -> None:
        with pytest.raises(NotDecided, match="it is expired"):
            check_decided("awaiting_upload", OPENS, OPENS + EXPIRES_AFTER)

    @pytest.mark.parametrize("status", ["accepted", "rejected", "needs_review", "replaced"])
    def test_a_decided_proof_has_a_verdict(self, status: ProofStatus) -> None:
        check_decided(status, OPENS, OPENS)

    def test_only_pictures_of_accepted_proofs_are_shown_without_details(self) -> None:
        assert shows_picture("replaced", shows_details=False)
        assert shows_picture("rejected", shows_details=True)
        assert not shows_picture("rejected", shows_details=False)


class TestSecondLook:
    """Two pictures near each other that are of low quality, or flat graphics."""

    @pytest.mark.parametrize("distance", [0, 23, 31])
    @pytest.mark.parametrize("rejected", [False, True])
    def test_a_near_picture_of_low_quality_is_for_a_person(self, distance: int, rejected: bool) -> None:
        for look in (None, "same", "unclear"):
            found = check_duplicate("picture", distance, rejected=rejected, comparable=False, look=look)
            assert isinstance(found, Doubt)

    def test_the_same_file_of_low_quality_is_rejected(self) -> None:
        found = check_duplicate("file", 0, comparable=False, look="different")
        assert found is not None
        assert not isinstance(found, Doubt)

    def test_graphics_that_differ_are_no_duplicates(self) -> None:
        assert check_duplicate("picture", 0, look="different") is None
        assert check_duplicate("picture", 0, rejected=True, look="different") is None

    def test_graphics_that_may_differ_are_for_a_person(self) -> None:
        assert isinstance(check_duplicate("picture", 0, look="unclear"), Doubt)
        assert isinstance(check_duplicate("picture", 0, rejected=True, look="unclear"), Doubt)

    @pytest.mark.parametrize(("distance", "is_certain"), [(23, True), (24, False)])
    def test_graphics_that_are_the_same_are_judged_by_their_distance(self, distance: int, is_certain: bool) -> None:
        found = check_duplicate("picture", distance, look="same")
        assert found is not None
        assert isinstance(found, Doubt) != is_certain


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

    def test_a_file_that_is_too_large_or_infected_has_its_reason(self) -> None:
        assert too_large(10)["code"] == "too_large"
        infected = infected_verdict("Win.Test.EICAR_HDB-1")
        assert (infected.status, infected.reasons[0]["code"]) == ("rejected", "malware")
        assert "Win.Test.EICAR_HDB-1" in infected.reasons[0]["detail"]


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

    def test_a_copy_of_a_photo_rejected_by_a_reviewer_is_a_reason(self) -> None:
        found = check_duplicate("picture", 23, rejected=True)
        assert isinstance(found, dict)
        assert "already rejected" in found["detail"]


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

    def test_a_file_without_a_picture_cannot_be_appealed(self) -> None:
        for reasons, can_be_seen in (([], False), ([Reason(code="malware", detail="")], True)):
            with pytest.raises(NotAppealable, match="no picture"):
                check_appeal(
                    "rejected", reasons, can_be_seen=can_be_seen, appealed=False, decided_at=CLOSES, now=CLOSES
                )

    def test_storage_is_limited_to_the_quota(self) -> None:
        submission.check_storage(2**30 - 5, 5)
        with pytest.raises(submission.StorageFull):
            submission.check_storage(2**30 - 5, 6)

    def test_a_number_is_accepted_where_a_number_is_asked_for(self) -> None:
        terms = NumberProof(kind="number", unit="km")
        submission.check_value(5.5, terms)
        with pytest.raises(InvalidRequest):
            submission.check_value("far", terms)
