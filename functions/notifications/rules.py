"""When a reminder is due, and whether a recorded reminder is right.

This is a second calculation, with zoneinfo, of what the database plans in SQL. A job compares the two every night.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal

from chally.zones import ZoneInfo, first_instant, last_instant

LATE = timedelta(seconds=90)
# A reminder waits for the end of quiet hours if at least this much of its window is left then. The SQL function
# `notifications.due_instant` has the same constant: the two calculations are independent on purpose.
ENOUGH = timedelta(minutes=5)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QuietSchedule:
    """Daily quiet hours on the wall clock of a zone. If `ends` is not after `begins`, it is on the next day."""

    zone: str
    begins: time
    ends: time

    def span_around(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """The beginning and end of the quiet hours that contain an instant; None if there are none."""
        spans = list(self._spans(instant.astimezone(ZoneInfo(self.zone)).date()))
        found = next((span for span in spans if span[0] <= instant < span[1]), None)
        if found is None:
            return None
        # Where clocks change, two spans can touch or overlap: they count as one.
        for _ in spans:
            touching = [span for span in spans if span[0] <= found[1] and found[0] <= span[1]]
            found = min(begins for begins, _ in touching), max(ends for _, ends in touching)
        return found

    def _spans(self, today: date) -> Iterator[tuple[datetime, datetime]]:
        zone = ZoneInfo(self.zone)
        for days in range(-2, 3):
            day = today + days * DAY
            begins = first_instant(zone, datetime.combine(day, self.begins))
            ends = last_instant(zone, datetime.combine(day + DAY if self.ends <= self.begins else day, self.ends))
            if begins < ends:
                yield begins, ends


@dataclass(frozen=True, slots=True)
class ReminderWindow:
    """When a window is open, and how long before its close its reminder is due."""

    opens_at: datetime
    closes_at: datetime
    before_close: timedelta

    @property
    def nominal(self) -> datetime:
        return max(self.opens_at, self.closes_at - self.before_close)


def due_instant(window: ReminderWindow, quiet: QuietSchedule | None, planned_at: datetime) -> datetime | None:
    """When a reminder that is planned at an instant is due; None: never."""
    if window.closes_at <= planned_at:
        return None
    instant = max(window.nominal, planned_at)
    span = quiet.span_around(instant) if quiet else None
    if span is None:
        return instant
    begins, ends = span
    if window.closes_at - ends >= ENOUGH:
        return ends
    return begins if begins >= max(window.opens_at, planned_at) else None


MismatchKind = Literal["missing", "late", "not as calculated", "not rescheduled", "in quiet hours"]


@dataclass(frozen=True, slots=True)
class ReminderState:
    """The row of a reminder. `planned_at`: when its due instant was computed; None for rows without that column."""

    planned_at: datetime | None
    due_at: datetime | None
    sent_at: datetime | None
    cleared_at: datetime | None
    skipped: str | None


def find_mismatch(
    window: ReminderWindow,
    quiet: QuietSchedule | None,
    quiet_since: datetime | None,
    reminder: ReminderState | None,
    now: datetime,
) -> MismatchKind | None:
    """What is wrong with a reminder whose nominal instant is past. `quiet` applies since `quiet_since`.

    A reminder cannot be sent twice: a window has one row, with one `sent_at`.
    """
    if reminder is None:
        return "missing"
    due_at, planned_at, sent_at = reminder.due_at, reminder.planned_at, reminder.sent_at
    if sent_at is not None and quiet is not None and (quiet_since is None or quiet_since <= sent_at):
        span = quiet.span_around(sent_at)
        if span is not None and sent_at - span[0] > LATE:  # it can be due the moment quiet hours begin
            return "in quiet hours"
    if due_at is not None and _settled_at(reminder, window, now) - due_at > LATE:
        return "late"
    if planned_at is None:
        return None
    since = quiet_since or planned_at
    if since > planned_at:
        # Quiet hours changed after planning: unless the reminder was due or over by then, it had to be planned again.
        was_due = due_at is not None and due_at <= since
        was_over = reminder.cleared_at is not None or window.closes_at <= since
        return None if was_due or was_over else "not rescheduled"
    return None if due_at == due_instant(window, quiet, planned_at) else "not as calculated"


def _settled_at(reminder: ReminderState, window: ReminderWindow, now: datetime) -> datetime:
    """When a reminder stopped waiting: it was sent, cleared by a proof, or skipped (which has no recorded time)."""
    if reminder.sent_at is not None:
        return reminder.sent_at
    if reminder.skipped == "closed" and reminder.due_at is not None:
        return window.closes_at
    if reminder.skipped is not None and reminder.due_at is not None:
        return reminder.due_at
    return reminder.cleared_at or now
