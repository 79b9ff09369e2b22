"""The audit trail: who did what to an account, from where. Rows are added with the act itself, and never altered."""

from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb

from chally import context
from chally.db import Tx


def record(
    tx: Tx, action: str, now: datetime, *, user_id: UUID | None, session_id: UUID | None = None, **detail: object
) -> None:
    """Write down an act, in the transaction that does it: whose account, and what else (no secrets, no addresses).

    `user_id` is None for what was tried with an account that does not exist: it leaves the same traces.
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


def forget_old(tx: Tx, before: datetime, limit: int) -> int:
    """Delete what was written down before an instant; answers how many rows, at most `limit`."""
    return tx.count(
        "delete from core.audit where id in"
        " (select id from core.audit where at < %(before)s order by at limit %(limit)s)",
        {"before": before, "limit": limit},
    )
