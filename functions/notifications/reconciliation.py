"""Reconciliation: compares reminders with a second, independent calculation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from chally.db import Tx
from notifications import queries, rules
from notifications.queries import ReminderRow

# An hour more than the job's interval: a fault reported twice is better than one that no run sees.
SPAN = timedelta(hours=25)
# How far a window's local date can be from its reminder's date in UTC, by its zone, its length, and quiet hours.
REACH = timedelta(days=4)


# How far ahead reminders are sure to be planned, in any zone. It is more than the interval of the job.
PLANNED = timedelta(hours=30)


@dataclass(frozen=True, slots=True)
class ReminderMismatch:
    participant_id: UUID
    local_date: date
    kind: rules.MismatchKind


@dataclass(frozen=True, slots=True)
class ReconciliationBatch:
    checked: int
    mismatches: list[ReminderMismatch]


def list_participants(tx: Tx, now: datetime, after: UUID, limit: int) -> list[UUID]:
    """List the next `limit` participants, by id, who may have had reminders in the last day."""
    return queries.list_participants(tx, now - SPAN - REACH, now, after=after, limit=limit)


def check_reminders(tx: Tx, now: datetime, participants: Sequence[UUID]) -> ReconciliationBatch:
    """Check the reminders of the last day of these participants."""
    since, until = now - SPAN, now - rules.LATE
    return _check(tx, participants, since, until, now)


def check_planned(tx: Tx, participants: Sequence[UUID], now: datetime, until: datetime) -> ReconciliationBatch:
    """Check the reminders of these participants from now on until an instant."""
    return _check(tx, participants, now, until, now)


def _check(
    tx: Tx, participants: Sequence[UUID], since: datetime, until: datetime, now: datetime
) -> ReconciliationBatch:
    """Check those whose nominal or due instant is in [since, until)."""
    checked = 0
    mismatches = []
    for row in queries.list_reminders(tx, list(participants), (since - REACH).date(), (until + REACH).date()):
        window = rules.ReminderWindow(
            row.opens_at, row.closes_at, before_close=timedelta(minutes=row.before_close_minutes)
        )
        if not any(since <= instant < until for instant in (window.nominal, row.due_at) if instant):
            continue
        if not row.recorded and window.nominal > now + PLANNED:
            continue
        checked += 1
        kind = rules.find_mismatch(window, _quiet_hours(row), row.quiet_since, _reminder(row), now)
        if kind is not None:
            mismatches.append(ReminderMismatch(row.participant_id, row.local_date, kind))
    return ReconciliationBatch(checked, mismatches)


def _quiet_hours(row: ReminderRow) -> rules.QuietSchedule | None:
    if row.quiet_from is None or row.quiet_to is None:
        return None
    return rules.QuietSchedule(row.zone, row.quiet_from, row.quiet_to)


def _reminder(row: ReminderRow) -> rules.ReminderState | None:
    if not row.recorded:
        return None
    return rules.ReminderState(row.planned_at, row.due_at, row.sent_at, row.cleared_at, row.skipped)
