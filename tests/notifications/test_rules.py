"""What the nightly reconciliation finds wrong with a reminder, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from notifications.rules import ENOUGH, LATE, QuietSchedule, ReminderState, ReminderWindow, due_instant, find_mismatch

OPENS = datetime(2026, 6, 3, 6, tzinfo=UTC)
HOUR, MOMENT = timedelta(hours=1), timedelta(microseconds=1)
WINDOW = ReminderWindow(OPENS, OPENS + 4 * HOUR, HOUR)
NOW = OPENS + 24 * HOUR


def state(planned_at: datetime | None, *, skipped: str | None = None) -> ReminderState:
    """A reminder that was due and not sent."""
    due_at = due_instant(WINDOW, None, OPENS - HOUR)
    return ReminderState(planned_at, due_at, None, None, skipped)


def test_a_reminder_without_a_planning_time_is_compared_with_nothing() -> None:
    sent = state(None)
    assert sent.due_at is not None
    sent = ReminderState(None, sent.due_at, sent.due_at, None, None)
    assert find_mismatch(WINDOW, None, None, sent, NOW) is None


def test_a_reminder_skipped_when_it_was_due_is_not_late() -> None:
    assert find_mismatch(WINDOW, None, None, state(OPENS - HOUR, skipped="unwanted"), NOW) is None


def test_a_reminder_that_is_still_waiting_is_late() -> None:
    assert find_mismatch(WINDOW, None, None, state(OPENS - HOUR), NOW) == "late"


DUE = OPENS + 3 * HOUR
PLANNED = OPENS - HOUR
SENT = ReminderState(PLANNED, DUE, DUE, None, None)


@pytest.mark.parametrize(("delay", "kind"), [(LATE, None), (LATE + MOMENT, "late"), (timedelta(0), None)])
class TestLate:
    def test_a_reminder_is_late_if_it_was_sent_more_than_the_limit_after_it_was_due(
        self, delay: timedelta, kind: str | None
    ) -> None:
        assert find_mismatch(WINDOW, None, None, replace(SENT, sent_at=DUE + delay), NOW) == kind

    def test_it_is_late_if_it_was_due_that_long_before_a_proof_cleared_it(
        self, delay: timedelta, kind: str | None
    ) -> None:
        cleared = replace(SENT, sent_at=None, cleared_at=DUE + delay)
        assert find_mismatch(WINDOW, None, None, cleared, NOW) == kind

    def test_it_is_late_if_it_still_waits_after_that(self, delay: timedelta, kind: str | None) -> None:
        assert find_mismatch(WINDOW, None, None, replace(SENT, sent_at=None), DUE + delay) == kind

    def test_it_is_late_if_it_was_skipped_because_its_window_closed_that_long_after_it_was_due(
        self, delay: timedelta, kind: str | None
    ) -> None:
        window = ReminderWindow(OPENS, DUE + delay, HOUR)
        planned = due_instant(window, None, DUE)  # planned when it was due already, so it was due at once
        skipped = ReminderState(DUE, planned or DUE, None, None, "closed")
        assert find_mismatch(window, None, None, skipped, NOW) == (kind or (None if planned else "not as calculated"))


QUIET = QuietSchedule("UTC", time(9), time(9, 30))


class TestQuietHours:
    """The reminder would be due at 9:00, when quiet hours begin that end at 9:30."""

    @pytest.mark.parametrize(
        ("sent_at", "kind"),
        [
            (DUE - MOMENT, "not as calculated"),
            (DUE + LATE, "not as calculated"),  # sent as they began: due at 9:30, but never within them
            (DUE + LATE + MOMENT, "in quiet hours"),
            (DUE + HOUR / 2 - MOMENT, "in quiet hours"),
            (DUE + HOUR / 2, None),
        ],
    )
    def test_a_reminder_must_not_be_sent_within_them(self, sent_at: datetime, kind: str | None) -> None:
        due_at = DUE + HOUR / 2 if kind is None else min(sent_at, DUE)
        sent = ReminderState(PLANNED, due_at, sent_at, None, None)
        assert find_mismatch(WINDOW, QUIET, PLANNED, sent, NOW) in (kind, "late" if kind != "in quiet hours" else kind)
        assert (find_mismatch(WINDOW, QUIET, PLANNED, sent, NOW) == "in quiet hours") == (kind == "in quiet hours")

    @pytest.mark.parametrize(("since", "found"), [(timedelta(0), "in quiet hours"), (MOMENT, None)])
    def test_only_those_count_that_were_set_when_it_was_sent(self, since: timedelta, found: str | None) -> None:
        sent_at = DUE + timedelta(minutes=10)
        sent = ReminderState(sent_at, sent_at, sent_at, None, None)
        assert find_mismatch(WINDOW, QUIET, sent_at + since, sent, NOW) == found

    @pytest.mark.parametrize(
        ("state", "closes_after", "kind"),
        [
            # changed before it was due, while the window was open: it had to be planned again
            (ReminderState(PLANNED, DUE, None, None, "unwanted"), HOUR, "not rescheduled"),
            # cleared by a proof, or its window was closed by then: nothing to plan
            (ReminderState(PLANNED, DUE, None, DUE - HOUR, None), HOUR, None),
            (ReminderState(PLANNED, None, None, None, "quiet"), timedelta(0), None),
            (ReminderState(PLANNED, None, None, None, "quiet"), MOMENT, "not rescheduled"),
        ],
    )
    def test_a_change_replans_a_reminder_that_is_neither_due_nor_over(
        self, state: ReminderState, closes_after: timedelta, kind: str | None
    ) -> None:
        changed_at = DUE - HOUR / 2
        window = ReminderWindow(OPENS, changed_at + closes_after, HOUR)
        assert find_mismatch(window, QUIET, changed_at, state, NOW) == kind

    @pytest.mark.parametrize(("changed_at", "kind"), [(DUE, None), (DUE - MOMENT, "not rescheduled")])
    def test_a_reminder_that_was_due_when_they_changed_stays(self, changed_at: datetime, kind: str | None) -> None:
        skipped = ReminderState(PLANNED, DUE, None, None, "unwanted")
        assert find_mismatch(WINDOW, QUIET, changed_at, skipped, NOW) == kind

    @pytest.mark.parametrize(("changed_at", "kind"), [(PLANNED, None), (PLANNED + MOMENT, "not rescheduled")])
    def test_a_reminder_planned_as_they_changed_is_compared_with_the_calculation(
        self, changed_at: datetime, kind: str | None
    ) -> None:
        sent = ReminderState(PLANNED, DUE + HOUR / 2, DUE + HOUR / 2, None, None)
        assert find_mismatch(WINDOW, QUIET, changed_at, sent, NOW) == kind

    @pytest.mark.parametrize(
        ("closes_at", "due_at"),
        [
            (DUE + HOUR / 2 + ENOUGH, DUE + HOUR / 2),  # enough of the window is left when they end
            (DUE + HOUR / 2 + ENOUGH - MOMENT, DUE),  # not enough: when they begin
        ],
    )
    def test_it_waits_for_their_end_if_enough_of_the_window_is_left(
        self, closes_at: datetime, due_at: datetime
    ) -> None:
        window = ReminderWindow(OPENS, closes_at, timedelta(minutes=20))
        assert due_instant(window, QUIET, PLANNED) == due_at

    @pytest.mark.parametrize(
        ("opens_at", "planned_at", "due_at"),
        [
            (DUE, PLANNED, DUE),
            (DUE + MOMENT, PLANNED, None),  # the window opens after they begin
            (OPENS, DUE, DUE),
            (OPENS, DUE + MOMENT, None),
        ],
    )
    def test_it_is_due_when_they_begin_if_that_is_ahead_and_the_window_is_open(
        self, opens_at: datetime, planned_at: datetime, due_at: datetime | None
    ) -> None:
        window = ReminderWindow(opens_at, DUE + HOUR / 2, timedelta(minutes=20))
        assert due_instant(window, QUIET, planned_at) == due_at

    @pytest.mark.parametrize(
        ("nominal", "due_at"),
        [
            (DUE - MOMENT, DUE - MOMENT),
            (DUE, DUE + HOUR / 2),
            (DUE + HOUR / 2 - MOMENT, DUE + HOUR / 2),
            (DUE + HOUR / 2, DUE + HOUR / 2),
            (DUE + HOUR / 2 + MOMENT, DUE + HOUR / 2 + MOMENT),
        ],
    )
    def test_they_begin_with_their_first_moment_and_end_before_their_last(
        self, nominal: datetime, due_at: datetime
    ) -> None:
        assert due_instant(ReminderWindow(OPENS, nominal + HOUR, HOUR), QUIET, PLANNED) == due_at


@pytest.mark.parametrize(("planned_at", "due_at"), [(NOW, None), (NOW - MOMENT, NOW - MOMENT)])
def test_a_window_that_has_closed_when_it_is_planned_has_no_reminder(
    planned_at: datetime, due_at: datetime | None
) -> None:
    assert due_instant(ReminderWindow(OPENS, NOW, HOUR), None, planned_at) == due_at


def test_a_window_shorter_than_the_notice_has_its_reminder_when_it_opens() -> None:
    assert ReminderWindow(OPENS, OPENS + HOUR, 2 * HOUR).nominal == OPENS
