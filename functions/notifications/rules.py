"""What is right of a reminder: when it is due, and whether what is recorded of it can be.

A second calculation, by zoneinfo, of what the database plans by itself: reminders are held to it every night.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

LATE = timedelta(seconds=90)
# What must be left of a window when quiet hours end, for a reminder to wait for that.
ENOUGH = timedelta(minutes=5)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """On the wall clock of a zone. `ends` at or before `begins` is on the next day."""

    zone: str
    begins: time
    ends: time

    def around(self, instant: datetime) -> tuple[datetime, datetime] | None:
        """When the quiet hours that an instant lies in begin and end; None where it lies in none."""
        spans = list(self._spans(instant.astimezone(ZoneInfo(self.zone)).date()))
        found = next((span for span in spans if span[0] <= instant < span[1]), None)
        if found is None:
            return None
        # where clocks change two may meet: no break between them is a break
        for _ in spans:
            touching = [span for span in spans if span[0] <= found[1] and found[0] <= span[1]]
            found = min(begins for begins, _ in touching), max(ends for _, ends in touching)
        return found

    def _spans(self, today: date) -> Iterator[tuple[datetime, datetime]]:
        for days in range(-2, 3):
            day = today + days * DAY
            begins = self._instants(day, self.begins)[0]
            ends = self._instants(day + DAY if self.ends <= self.begins else day, self.ends)[1]
            if begins < ends:
                yield begins, ends

    def _instants(self, day: date, wall: time) -> tuple[datetime, datetime]:
        """The first and the last time that clocks read this; in a gap, both as long after as it is into the gap."""
        first, second = (
            datetime.combine(day, wall, ZoneInfo(self.zone)).replace(fold=fold).astimezone(UTC) for fold in (0, 1)
        )
        return first, max(first, second)


@dataclass(frozen=True, slots=True)
class Window:
    """When it is open, and how long before its close one is to be reminded of it."""

    opens_at: datetime
    closes_at: datetime
    before_close: timedelta

    @property
    def nominal(self) -> datetime:
        return max(self.opens_at, self.closes_at - self.before_close)


def due(window: Window, quiet: QuietHours | None, planned_at: datetime) -> datetime | None:
    """When to remind, as seen from an instant; None: never."""
    if window.closes_at <= planned_at:
        return None
    instant = max(window.nominal, planned_at)
    span = quiet.around(instant) if quiet else None
    if span is None:
        return instant
    begins, ends = span
    if window.closes_at - ends >= ENOUGH:
        return ends
    return begins if begins >= max(window.opens_at, planned_at) else None


Wrong = Literal["missing", "late", "not as calculated", "not rescheduled", "in quiet hours"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a reminder. `planned_at`: when its due instant was decided, None for those older than that."""

    planned_at: datetime | None
    due_at: datetime | None
    sent_at: datetime | None
    cleared_at: datetime | None
    skipped: str | None


def judge(
    window: Window,
    quiet: QuietHours | None,
    quiet_since: datetime | None,
    recorded: Recorded | None,
    now: datetime,
) -> Wrong | None:
    """What is wrong with a reminder whose nominal instant is past, by the quiet hours that count since an instant.

    That none is sent twice needs no look: a window has one row, with one instant of sending.
    """
    if recorded is None:
        return "missing"
    due_at, planned_at, sent_at = recorded.due_at, recorded.planned_at, recorded.sent_at
    if sent_at is not None and quiet is not None and (quiet_since is None or quiet_since <= sent_at):
        span = quiet.around(sent_at)
        if span is not None and sent_at - span[0] > LATE:  # it may be due the moment they begin
            return "in quiet hours"
    if due_at is not None and _settled(recorded, window, now) - due_at > LATE:
        return "late"
    if planned_at is None:
        return None
    since = quiet_since or planned_at
    if since > planned_at:
        # it had come due, or been cleared, when they changed; else it should have followed
        came = due_at is not None and due_at <= since
        over = recorded.cleared_at is not None or window.closes_at <= since
        return None if came or over else "not rescheduled"
    return None if due_at == due(window, quiet, planned_at) else "not as calculated"


def _settled(recorded: Recorded, window: Window, now: datetime) -> datetime:
    """Until when a reminder waited: for its mail or its proof, or to be given up, which is not timed."""
    if recorded.sent_at is not None:
        return recorded.sent_at
    if recorded.skipped == "closed" and recorded.due_at is not None:
        return window.closes_at
    if recorded.skipped is not None and recorded.due_at is not None:
        return recorded.due_at
    return recorded.cleared_at or now
