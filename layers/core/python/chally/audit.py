"""The audit trail: who did what to an account, and from where. A row commits with its act and is never changed."""

from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from chally import context
from chally.db import Tx


def record(
    tx: Tx, action: str, now: datetime, *, user_id: UUID | None, session_id: UUID | None = None, **detail: object
) -> None:
    """Record an act in its own transaction: the account, and details without secrets or addresses.

    `user_id` is None for an attempt on an account that does not exist, so that it leaves the same traces.
    """
    request = context.current()
    tx.run(
        """
        insert into core.audit (at, action, actor_id, user_id, session_id, ip, user_agent, request_id, detail)
        values (%(at)s, %(action)s, core.actor(), %(user_id)s, %(session_id)s, %(ip)s, %(user_agent)s,
            %(request_id)s, %(detail)s)
        """,
        {
            "at": now,
            "action": action,
            "user_id": user_id,
            "session_id": session_id or (tx.actor.session_id if tx.actor else None),
            "ip": request.ip,
            "user_agent": request.user_agent,
            "request_id": request.request_id,
            "detail": Jsonb(detail),
        },
    )


def delete_before(tx: Tx, before: datetime, limit: int) -> int:
    """Delete at most `limit` rows older than an instant. Returns how many."""
    return tx.count(
        "delete from core.audit where id in"
        " (select id from core.audit where at < %(before)s order by at limit %(limit)s)",
        {"before": before, "limit": limit},
    )
