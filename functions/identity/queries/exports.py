"""SQL of exports. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Export:
    """What somebody asked for. While it is built the last four are null; `size` is in bytes."""

    id: UUID
    user_id: UUID
    requested_at: datetime
    built_at: datetime | None
    object_key: str | None
    size: int | None
    expires_at: datetime | None


_EXPORT = "id, user_id, requested_at, built_at, object_key, size, expires_at"


def latest(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """What a person asked for last, unless that has expired."""
    return tx.maybe(
        f"""
        select {_EXPORT} from identity.exports
        where user_id = %(user_id)s and (built_at is null or expires_at > %(now)s) order by id desc limit 1
        """,
        {"user_id": user_id, "now": now},
        row=Export,
    )


def add(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """A new one; None when one is under way."""
    return tx.maybe(
        f"""
        insert into identity.exports (user_id, requested_at) values (%(user_id)s, %(now)s)
        on conflict (user_id) where built_at is null do nothing returning {_EXPORT}
        """,
        {"user_id": user_id, "now": now},
        row=Export,
    )


def claim(tx: Tx, now: datetime, *, leased_until: datetime, attempts: int) -> Export | None:
    """Take the oldest that nobody builds and that has not failed too often; none of somebody who left meanwhile."""
    return tx.maybe(
        f"""
        update identity.exports set attempts = attempts + 1, leased_until = %(leased_until)s
        where id = (
            select e.id from identity.exports e join identity.users u on u.id = e.user_id
            where e.built_at is null and u.deleted_at is null and e.attempts < %(attempts)s
              and coalesce(e.leased_until <= %(now)s, true)
            order by e.id limit 1 for update of e skip locked
        )
        returning {_EXPORT}
        """,
        {"now": now, "leased_until": leased_until, "attempts": attempts},
        row=Export,
    )


def finish(tx: Tx, export_id: UUID, *, object_key: str, size: int, now: datetime, expires_at: datetime) -> bool:
    """Record what was built; False when another run was quicker, or the person left."""
    finished = tx.count(
        """
        update identity.exports
        set built_at = %(now)s, object_key = %(object_key)s, size = %(size)s, expires_at = %(expires_at)s
        where id = %(id)s and built_at is null
        """,
        {"id": export_id, "object_key": object_key, "size": size, "now": now, "expires_at": expires_at},
    )
    return finished > 0


def drop_unbuilt(tx: Tx, user_id: UUID) -> None:
    tx.run("delete from identity.exports where user_id = %(user_id)s and built_at is null", {"user_id": user_id})


def drop_old(tx: Tx, before: datetime) -> int:
    """What expired before an instant, or was asked for before it and never built: one may ask again."""
    return tx.count(
        "delete from identity.exports where coalesce(expires_at, requested_at) <= %(before)s", {"before": before}
    )
