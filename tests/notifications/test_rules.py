"""What the nightly reconciliation finds wrong with a reminder, without a database."""

from datetime import UTC, datetime, timedelta

from notifications.rules import ReminderState, ReminderWindow, due_instant, find_mismatch

OPENS = datetime(2026, 6, 3, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
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
