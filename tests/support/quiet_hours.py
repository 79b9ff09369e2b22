"""Quiet hours, and the reminders they move."""

from datetime import datetime

from tests.support.api import Client
from tests.support.database import Database

NIGHT = {"from": "22:00", "to": "07:00"}


def set_quiet_hours(client: Client, hours: dict[str, str] | None) -> None:
    answer = client.patch("/v1/me", {"notifications": {"quiet_hours": hours}})
    assert answer.status == 200, answer.text


def pending(database: Database) -> datetime:
    """The due time of the reminder for a window that has not opened yet."""
    [(due_at,)] = database.execute(
        "select min(due_at) from notifications.reminders where nominal_at > planned_at + interval '2 minutes'"
        " and sent_at is null"
    )
    assert isinstance(due_at, datetime)
    return due_at
