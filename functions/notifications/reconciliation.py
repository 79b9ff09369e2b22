"""Reconciliation: what is recorded of the last day's reminders, held to a second calculation of what should be."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from chally.db import Tx
from notifications import queries, rules
from notifications.queries import Record

# An hour more than the job's interval: what two runs both see is found twice, what neither sees never.
SPAN = timedelta(hours=25)
# A window may be of a date so far from that of its reminder's instant in UTC: by its zone, its length, and quiet hours.
REACH = timedelta(days=4)


@dataclass(frozen=True, slots=True)
class Finding:
    participant_id: UUID
    local_date: date
    wrong: rules.Wrong


@dataclass(frozen=True, slots=True)
class Batch:
    """`last`: the id that the next batch comes after; None at the end."""

    checked: int
    findings: list[Finding]
    last: UUID | None


def check(tx: Tx, now: datetime, after: UUID, limit: int) -> Batch:
    """The reminders of the next `limit` participants with ids after `after` that came due in the last day."""
    since, until = now - SPAN, now - rules.LATE
    people = queries.participants(tx, since - REACH, now, after=after, limit=limit)
    checked = 0
    findings = []
    for record in queries.records(tx, people, (since - REACH).date(), (until + REACH).date()):
        window = rules.Window(
            record.opens_at, record.closes_at, before_close=timedelta(minutes=record.before_close_minutes)
        )
        if not any(since <= instant < until for instant in (window.nominal, record.due_at) if instant):
            continue
        checked += 1
        wrong = rules.judge(window, _quiet(record), record.quiet_since, _recorded(record), now)
        if wrong is not None:
            findings.append(Finding(record.participant_id, record.local_date, wrong))
    return Batch(checked, findings, people[-1] if people else None)


def _quiet(record: Record) -> rules.QuietHours | None:
    if record.quiet_from is None or record.quiet_to is None:
        return None
    return rules.QuietHours(record.zone, record.quiet_from, record.quiet_to)


def _recorded(record: Record) -> rules.Recorded | None:
    if not record.recorded:
        return None
    return rules.Recorded(record.planned_at, record.due_at, record.sent_at, record.cleared_at, record.skipped)
