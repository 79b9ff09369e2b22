"""Reminders: planned when windows are made, cleared when a proof arrives, sent once when due.

The database plans them (migration `reminders`): nobody writes one but through its functions, and through `send_due`.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from chally import outbox
from chally.db import Tx
from notifications import queries
from notifications.rules import LATE

__all__ = ["Batch", "clear", "restore", "send_due"]


@dataclass(frozen=True, slots=True)
class Batch:
    """How many reminders were taken, for how many of them a mail was written, and how late the latest was taken."""

    taken: int
    sent: int
    lateness: timedelta


def clear(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """This window needs no reminder any more."""
    queries.clear(tx, participant_id, local_date, now)


def restore(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """This window is to be proved again: what cleared its reminder is taken back."""
    queries.restore(tx, participant_id, local_date, now)


def send_due(tx: Tx, now: datetime, limit: int) -> Batch:
    """Move due reminders to the outbox. One transaction: none is lost, none sent twice."""
    due = queries.take_due(tx, now, LATE, limit)
    mails = []
    for reminder in due:
        if reminder.sent:
            closes = reminder.closes_at.astimezone(_zone(reminder.timezone))
            values = {"title": reminder.title, "closes": f"{closes:%H:%M}", "timezone": str(closes.tzinfo)}
            mails.append({"template": "reminder", "user_id": str(reminder.user_id), "values": values})
    if mails:
        outbox.add_all(tx, "mail", mails)
    lateness = max((now - reminder.due_at for reminder in due), default=timedelta())
    return Batch(taken=len(due), sent=len(mails), lateness=lateness)


def _zone(name: str) -> ZoneInfo:
    """The zone, or UTC where it is none: one bad row must not stop everybody's reminders."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")
