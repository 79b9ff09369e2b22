"""SQL of deleted accounts. One function, one statement."""

from datetime import datetime
from uuid import UUID

from chally.db import Tx


def list_deleted(tx: Tx, before: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """Return the accounts that were deleted before an instant and not purged yet, by id."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(id order by id), '{}') from (
                select id from identity.users
                where deleted_at is not null and purged_at is null and deleted_at <= %(before)s and id > %(after)s
                order by id limit %(limit)s
            ) x
            """,
            {"before": before, "after": after, "limit": limit},
        )
    )


def is_deleted(tx: Tx, user_id: UUID) -> bool:
    """Whether the account is deleted, and not purged yet."""
    return bool(
        tx.value(
            "select exists (select from identity.users"
            " where id = %(id)s and deleted_at is not null and purged_at is null)",
            {"id": user_id},
        )
    )


def lock_deleted(tx: Tx, user_id: UUID, before: datetime) -> str | None:
    """Lock an account that was deleted before an instant, and return its address; None if it was restored or purged."""
    email: str | None = tx.value(
        "select email from identity.users"
        " where id = %(id)s and deleted_at <= %(before)s and purged_at is null for no key update",
        {"id": user_id, "before": before},
    )
    return email


def mark_purged(tx: Tx, user_id: UUID, now: datetime) -> None:
    tx.run("update identity.users set purged_at = %(now)s where id = %(id)s", {"id": user_id, "now": now})
