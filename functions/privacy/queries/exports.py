"""SQL of exports. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Export:
    """A requested export. While it is being built the last four fields are None; `size` is in bytes."""

    id: UUID
    user_id: UUID
    requested_at: datetime
    built_at: datetime | None
    object_key: str | None
    size: int | None
    expires_at: datetime | None


_EXPORT = "id, user_id, requested_at, built_at, object_key, size, expires_at"


def latest(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """Return the user's latest export, unless it has expired."""
    return tx.maybe(
        f"""
        select {_EXPORT} from privacy.exports
        where user_id = %(user_id)s and (built_at is null or expires_at > %(now)s) order by id desc limit 1
        """,
        {"user_id": user_id, "now": now},
        row=Export,
    )


def add(tx: Tx, user_id: UUID, now: datetime) -> Export | None:
    """Insert an export; None if another one of the user is being built."""
    return tx.maybe(
        f"""
        insert into privacy.exports (user_id, requested_at) values (%(user_id)s, %(now)s)
        on conflict (user_id) where built_at is null do nothing returning {_EXPORT}
        """,
        {"user_id": user_id, "now": now},
        row=Export,
    )


def claim(tx: Tx, now: datetime, *, leased_until: datetime, attempts: int) -> Export | None:
    """Lease the oldest unbuilt export with attempts left that no run is building. Skips deleted accounts."""
    return tx.maybe(
        f"""
        update privacy.exports set attempts = attempts + 1, leased_until = %(leased_until)s
        where id = (
            select e.id from privacy.exports e join identity.users u on u.id = e.user_id
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
    """Record the built export; False if another run was faster or the user deleted their account."""
    finished = tx.count(
        """
        update privacy.exports
        set built_at = %(now)s, object_key = %(object_key)s, size = %(size)s, expires_at = %(expires_at)s
        where id = %(id)s and built_at is null
        """,
        {"id": export_id, "object_key": object_key, "size": size, "now": now, "expires_at": expires_at},
    )
    return finished > 0


def delete_unbuilt(tx: Tx, user_id: UUID) -> None:
    tx.run("delete from privacy.exports where user_id = %(user_id)s and built_at is null", {"user_id": user_id})


def delete_old(tx: Tx, before: datetime) -> int:
    """Delete exports that expired before an instant, or that were requested before it and never built."""
    return tx.count(
        "delete from privacy.exports where coalesce(expires_at, requested_at) <= %(before)s", {"before": before}
    )
