from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from challenges.language import PhotoProof
from chally.errors import Invalid
from proofs import rules
from proofs.rules import Reason

OPENS = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
CLOSES = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Window:
    opens_at: datetime = OPENS
    closes_at: datetime = CLOSES


class TestCheckWindow:
    @pytest.mark.parametrize("now", [OPENS, CLOSES - MOMENT])
    def test_open(self, now: datetime) -> None:
        window = Window()
        assert rules.check_window(window, "active", now) is window

    @pytest.mark.parametrize("now", [OPENS - MOMENT, CLOSES, CLOSES + timedelta(days=1)])
    def test_not_open(self, now: datetime) -> None:
        with pytest.raises(rules.WindowClosed):
            rules.check_window(Window(), "active", now)

    def test_says_when_it_opens(self) -> None:
        with pytest.raises(rules.WindowClosed, match="2026-11-20T05:00:00Z"):
            rules.check_window(Window(), "active", OPENS - timedelta(hours=1))

    def test_no_window_any_more(self) -> None:
        with pytest.raises(rules.WindowClosed):
            rules.check_window(None, "active", OPENS)

    @pytest.mark.parametrize("status", ["draft", "paused", "canceled", "archived"])
    def test_a_challenge_that_does_not_run(self, status: str) -> None:
        with pytest.raises(rules.WindowClosed, match=status):
            rules.check_window(Window(), status, OPENS)


class TestCheckRoom:
    @pytest.mark.parametrize("status", ["awaiting_upload", "rejected", "replaced"])
    def test_what_came_to_nothing_takes_no_place(self, status: rules.Status) -> None:
        rules.check_room([status] * 5, 1)

    @pytest.mark.parametrize("status", ["processing", "accepted", "needs_review"])
    def test_what_may_count_takes_one(self, status: rules.Status) -> None:
        rules.check_room([status], 2)
        with pytest.raises(rules.WindowFull):
            rules.check_room([status], 1)
        with pytest.raises(rules.WindowFull):
            rules.check_room([status, "accepted", "rejected"], 2)


class TestCheckAnnounced:
    RULES = PhotoProof(max_bytes=5000, types=["image/jpeg"])

    def test_within_the_rules(self) -> None:
        rules.check_announced("image/jpeg", 5000, self.RULES)

    @pytest.mark.parametrize(
        ("content_type", "content_length", "pointers"),
        [
            ("image/png", 1, ["/content_type"]),
            ("text/html", 1, ["/content_type"]),
            ("image/jpeg", 5001, ["/content_length"]),
            ("IMAGE/JPEG", 5001, ["/content_type", "/content_length"]),
        ],
    )
    def test_says_what_is_wrong(self, content_type: str, content_length: int, pointers: list[str]) -> None:
        with pytest.raises(Invalid) as caught:
            rules.check_announced(content_type, content_length, self.RULES)
        assert [error["pointer"] for error in caught.value.errors] == pointers


class TestShownStatus:
    def test_expires_when_nobody_uploads(self) -> None:
        after = OPENS + rules.EXPIRES_AFTER
        assert rules.shown_status("awaiting_upload", OPENS, after - MOMENT) == "awaiting_upload"
        assert rules.shown_status("awaiting_upload", OPENS, after) == "expired"

    @pytest.mark.parametrize("status", ["processing", "accepted", "rejected", "needs_review", "replaced"])
    def test_what_was_uploaded_does_not(self, status: rules.Status) -> None:
        assert rules.shown_status(status, OPENS, OPENS + timedelta(days=365)) == status

    def test_the_url_dies_first(self) -> None:
        assert rules.UPLOAD_LIFE < rules.EXPIRES_AFTER


class TestComparable:
    def test_the_gate_is_where_meta_puts_it(self) -> None:
        assert not rules.comparable(49)
        assert rules.comparable(50)


class TestDecide:
    UNREADABLE = Reason(code="not_an_image", detail="No.")

    def verdict(
        self,
        stored_at: datetime = OPENS,
        unreadable: Reason | None = None,
        used_before: rules.UsedBefore | None = None,
    ) -> tuple[str, list[str]]:
        decided = rules.decide(closes_at=CLOSES, stored_at=stored_at, unreadable=unreadable, used_before=used_before)
        assert all(reason["detail"].endswith(".") for reason in decided.reasons)
        return decided.status, [reason["code"] for reason in decided.reasons]

    def test_nothing_wrong(self) -> None:
        assert self.verdict() == ("accepted", [])

    def test_an_upload_asked_for_in_time_may_arrive_as_long_as_its_url_lives(self) -> None:
        latest = CLOSES + rules.UPLOAD_LIFE
        assert self.verdict(stored_at=latest) == ("accepted", [])
        assert self.verdict(stored_at=latest + MOMENT) == ("rejected", ["outside_window"])

    def test_unreadable(self) -> None:
        assert self.verdict(unreadable=self.UNREADABLE) == ("rejected", ["not_an_image"])

    @pytest.mark.parametrize("used_before", ["file", "picture"])
    def test_used_before(self, used_before: rules.UsedBefore) -> None:
        assert self.verdict(used_before=used_before) == ("rejected", ["duplicate_image"])

    def test_every_reason_is_told(self) -> None:
        late = CLOSES + timedelta(hours=1)
        assert self.verdict(late, self.UNREADABLE) == ("rejected", ["outside_window", "not_an_image"])
        assert self.verdict(late, used_before="file") == ("rejected", ["outside_window", "duplicate_image"])
