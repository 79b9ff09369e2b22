"""Reminders: planned when windows are made, cleared when a proof arrives, sent once when due.

Database functions plan them. Python clears, restores, reschedules and sends them, through this module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from chally import outbox
from chally.db import Tx
from notifications import queries
from notifications.queries import ReminderKey
from notifications.rules import LATE

__all__ = ["ReminderBatch", "clear", "list_due", "reschedule", "restore", "send_due"]


@dataclass(frozen=True, slots=True)
class ReminderBatch:
    """How many reminders were claimed, for how many of them an email was written, and the greatest delay."""

    claimed: int
    sent: int
    lateness: timedelta


def clear(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """Cancel the reminder of a window that has its proof."""
    queries.clear_reminder(tx, participant_id, local_date, now)


def restore(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """Restore the cleared reminder of a window that needs a proof again."""
    queries.restore_reminder(tx, participant_id, local_date, now)


def reschedule(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Plan a user's pending reminders again, by the quiet hours and the time zone that the account has now."""
    queries.reschedule_reminders(tx, user_id, now)


def list_due(tx: Tx, now: datetime, limit: int, *, without: Sequence[ReminderKey]) -> list[ReminderKey]:
    """List the oldest `limit` due reminders, except `without`."""
    return queries.list_due(tx, now, limit, without=without)


def send_due(tx: Tx, now: datetime, limit: int, among: Sequence[ReminderKey] | None = None) -> ReminderBatch:
    """Move due reminders, or only those `among` them, to the outbox.

    In one transaction, so none is lost and none is queued twice; the mail is delivered at least once.
    """
    due = queries.claim_due(tx, now, LATE, limit, among)
    mails = []
    for reminder in due:
        if reminder.sent:
            closes_at = reminder.closes_at.isoformat()
            values = {"title": reminder.title, "closes_at": closes_at, "timezone": reminder.timezone}
            mails.append({"template": "reminder", "user_id": str(reminder.user_id), "values": values})
    if mails:
        outbox.add_all(tx, "mail", mails)
    lateness = max((now - reminder.due_at for reminder in due), default=timedelta())
    return ReminderBatch(claimed=len(due), sent=len(mails), lateness=lateness)
