"""SQL of all that is held on a person, in every context, and of those who have left. One function, one statement.

Each context says in SQL what it holds, and forgets it (migration 0007), and follows people to another zone (0017). No
context above this one is imported.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from chally.db import Tx
from chally.zones import tzdata_version

# In the order of forgetting: core finds mails by the address, which identity then forgets.
CONTEXTS = ("core", "notifications", "proofs", "challenges", "identity")


@dataclass(frozen=True, slots=True)
class Object:
    """Something in the bucket: its key, or with a slash at the end all under it. `name`: its path in an export."""

    key: str
    name: str | None


def held(tx: Tx, user_id: UUID) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Rows by context and table, as at one instant; without secrets."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = tx.value(
        """
        select jsonb_build_object(
            'core', core.export_person(%(id)s),
            'identity', identity.export_person(%(id)s),
            'challenges', challenges.export_person(%(id)s),
            'proofs', proofs.export_person(%(id)s),
            'notifications', notifications.export_person(%(id)s)
        )
        """,
        {"id": user_id},
    )
    return found


def objects(tx: Tx, user_id: UUID) -> list[Object]:
    return tx.all(
        """
        select key, name from proofs.objects_of_person(%(id)s)
        union all select key, name from identity.objects_of_person(%(id)s)
        """,
        {"id": user_id},
        row=Object,
    )


def forget(tx: Tx, user_id: UUID, context: str) -> None:
    """Have one of `CONTEXTS` forget a person, but for what other people's standings need."""
    tx.run(f"select {context}.forget_person(%(id)s)", {"id": user_id})


def move(tx: Tx, user_id: UUID, zone: str, now: datetime) -> None:
    """Have challenges follow a person to another zone, while the account still has the former one."""
    tx.run(
        "select challenges.change_account_zone(%(id)s, %(zone)s, %(now)s, %(tzdata)s)",
        {"id": user_id, "zone": zone, "now": now, "tzdata": tzdata_version()},
    )


def reschedule(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Decide anew when to remind a person, by the quiet hours and the zone that the account has now."""
    tx.run("select notifications.reschedule(%(id)s, %(now)s)", {"id": user_id, "now": now})


def left(tx: Tx, before: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """Who left before an instant and is not forgotten yet, by id."""
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


def lock_left(tx: Tx, user_id: UUID, before: datetime) -> bool:
    """Hold the row of somebody who left; False when they have come back, or are forgotten already."""
    sql = (
        "select true from identity.users"
        " where id = %(id)s and deleted_at <= %(before)s and purged_at is null for no key update"
    )
    return bool(tx.value(sql, {"id": user_id, "before": before}))


def set_purged(tx: Tx, user_id: UUID, now: datetime) -> None:
    tx.run("update identity.users set purged_at = %(now)s where id = %(id)s", {"id": user_id, "now": now})


def has_left(tx: Tx, user_id: UUID) -> bool:
    return bool(
        tx.value(
            "select exists (select from identity.users"
            " where id = %(id)s and deleted_at is not null and purged_at is null)",
            {"id": user_id},
        )
    )
