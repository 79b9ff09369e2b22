"""Reminders: planned when windows are made, cleared when a proof arrives, sent once when due."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from chally import outbox
from chally.db import Tx
from notifications import queries
from notifications.queries import Reminder

__all__ = ["Reminder", "clear", "plan", "send_due"]


def plan(tx: Tx, reminders: Sequence[Reminder]) -> None:
    """Set reminders; those already sent stay as they are."""
    if reminders:
        queries.plan(tx, reminders)


def clear(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """This window needs no reminder any more."""
    queries.clear(tx, participant_id, local_date, now)


def send_due(tx: Tx, now: datetime, limit: int) -> int:
    """Move due reminders to the outbox; answers how many were taken. One transaction: none is lost, none sent twice."""
    due = queries.take_due(tx, now, limit)
    for reminder in due:
        if reminder.closes_at <= now or not reminder.runs or not reminder.wanted:
            # the job was away while the window closed, the challenge is paused, or they want none: it would only annoy
            continue
        closes = reminder.closes_at.astimezone(_zone(reminder.timezone))
        values = {"title": reminder.title, "closes": f"{closes:%H:%M}", "timezone": str(closes.tzinfo)}
        outbox.add(tx, "mail", {"template": "reminder", "user_id": str(reminder.user_id), "values": values})
    return len(due)


def _zone(name: str) -> ZoneInfo:
    """The zone, or UTC where it is none: one bad row must not stop everybody's reminders."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return ZoneInfo("UTC")
