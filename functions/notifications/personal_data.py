"""Personal data of notifications: see `chally.personal_data`."""

from uuid import UUID

from chally.db import Tx
from chally.personal_data import TableRows, select_tables

_EXPORT = {
    "reminders": """
        select participant_id, local_date, title, timezone, opens_at, closes_at, nominal_at, planned_at, planned_by,
            due_at, sent_at, cleared_at, skipped
        from notifications.reminders where user_id = %(user_id)s order by nominal_at, closes_at
    """,
}


def export(tx: Tx, user_id: UUID) -> TableRows:
    """Return the reminders."""
    return select_tables(tx, _EXPORT, {"user_id": user_id})


def forget(tx: Tx, user_id: UUID) -> None:
    """Delete the reminders."""
    tx.run("delete from notifications.reminders where user_id = %(user_id)s", {"user_id": user_id})
