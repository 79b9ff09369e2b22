"""A second look at windows and reminders when clocks change: days on which the two calculations most easily differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from challenges import expected_windows
from challenges.expected_windows import Span, WindowTerms
from challenges.queries import clock_changes as queries
from challenges.queries.clock_changes import ScheduleRow
from chally import zones
from chally.db import Tx
from notifications import reconciliation

PERIOD = timedelta(days=2)  # the job runs every night, so a change is looked at twice
# Local dates around today in UTC: yesterday's windows may be open, and those of the third day begin within the period.
BACK, AHEAD = timedelta(days=1), timedelta(days=3)


@dataclass(frozen=True, slots=True)
class ClockChangeMismatch:
    """A window, or the reminder of a window, that differs from its second calculation; `kind` says how."""

    participant_id: UUID
    local_date: date
    kind: str


@dataclass(frozen=True, slots=True)
class ClockChangeBatch:
    """`checked`: how many windows and reminders."""

    checked: int
    mismatches: list[ClockChangeMismatch]


def changing(names: Sequence[str], now: datetime) -> list[str]:
    """Those of these zones whose clocks change within the period. A zone that Python does not know is none of them."""
    return [
        name
        for name in names
        if name in zones.names() and len({offset for _, offset in zones.offsets(name, now, PERIOD.days)}) > 1
    ]


def list_participants(tx: Tx, names: Sequence[str], now: datetime, after: UUID, limit: int) -> list[UUID]:
    """The next `limit` participants, in order of id after `after`, whom changes in these zones may concern."""
    return queries.list_participants(tx, names, now, after=after, limit=limit)


def check(tx: Tx, candidates: Sequence[UUID], names: Sequence[str], now: datetime) -> ClockChangeBatch:
    """Check those of these participants whose windows or quiet hours follow one of these zones."""
    rows = queries.list_schedules(tx, candidates, names)
    participants = [row.participant_id for row in rows]
    today = now.date()
    first, last = today - BACK, today + AHEAD
    windows: dict[UUID, dict[date, Span]] = {participant: {} for participant in participants}
    for window in queries.list_windows(tx, participants, first, last, now):
        span = Span(window.opens_at, window.closes_at, window.timezone)
        windows[window.participant_id][window.local_date] = span
    wrong = [
        ClockChangeMismatch(row.participant_id, day, kind)
        for row in rows
        for day, kind in expected_windows.mismatches(_terms(row), windows[row.participant_id], first, last).items()
    ]
    reminders = reconciliation.check_planned(tx, participants, now, now + PERIOD)
    wrong += [ClockChangeMismatch(each.participant_id, each.local_date, each.kind) for each in reminders.mismatches]
    checked = sum(len(found) for found in windows.values()) + reminders.checked
    return ClockChangeBatch(checked, wrong)


def _terms(row: ScheduleRow) -> WindowTerms:
    return WindowTerms(
        opens=row.opens,
        closes=row.closes,
        days=row.days,
        zone=row.zone,
        moved=row.moved,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        joined_at=row.joined_at,
    )
