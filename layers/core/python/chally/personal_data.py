"""Personal data: what the schema `core` holds on a user, and what each context's module `personal_data` is made of.

Every context that has a schema has such a module. `export(tx, user_id)` returns what the schema holds, without secrets;
`forget(tx, user_id)` erases it, except what other people's standings need; `objects(tx, user_id)` lists the files, if
there are any. The context `privacy` calls them all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chally.db import Params, Tx

type TableRows = dict[str, list[dict[str, Any]]]
"""Rows by table, as JSON: instants in ISO 8601."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the bucket: its key, or a prefix that ends with a slash. `name`: its path in an export, if any."""

    key: str
    name: str | None


def select_tables(tx: Tx, selects: Mapping[str, str], params: Params) -> TableRows:
    """Run one SELECT per table, all in one statement: they see the same instant, in one round trip."""
    tables = ", ".join(
        f"'{table}', (select coalesce(jsonb_agg(to_jsonb(x)), '[]') from ({select}) x)"
        for table, select in selects.items()
    )
    found: TableRows = tx.value(f"select jsonb_build_object({tables})", params)
    return found


# Mails are found by the user's id or address.
_UNDELIVERED = """
    delivered_at is null
    and (payload ->> 'user_id' = %(user_id)s::text or lower(payload ->> 'to') = lower(%(email)s))
"""
# If somebody else acted on the account (a moderator, say), their ip, user agent and request are left out.
_EXPORT = {
    "audit": """
        select id, at, action, session_id, detail,
            user_id is not distinct from %(user_id)s as about_you,
            actor_id is not distinct from %(user_id)s as by_you,
            case when coalesce(actor_id, %(user_id)s) = %(user_id)s then ip end as ip,
            case when coalesce(actor_id, %(user_id)s) = %(user_id)s then user_agent end as user_agent,
            case when coalesce(actor_id, %(user_id)s) = %(user_id)s then request_id end as request_id
        from core.audit where %(user_id)s in (user_id, actor_id) order by id
    """,
    "idempotency_keys": """
        select key, status, created_at from core.idempotency_keys where user_id = %(user_id)s order by created_at
    """,
    "outbox": f"""
        select id, topic, payload ->> 'template' as template, created_at, due_at, attempts
        from core.outbox where {_UNDELIVERED} order by id
    """,
}


def export(tx: Tx, user_id: UUID, *, email: str) -> TableRows:
    """Return audit rows, idempotency keys and undelivered messages."""
    return select_tables(tx, _EXPORT, {"user_id": user_id, "email": email})


def forget(tx: Tx, user_id: UUID, *, email: str) -> None:
    """Delete keys and undelivered messages; audit rows lose their ip and user agent."""
    params = {"user_id": user_id, "email": email}
    tx.run(
        """
        update core.audit set ip = null, user_agent = null
        where %(user_id)s in (user_id, actor_id) and (ip is not null or user_agent is not null)
        """,
        params,
    )
    tx.run("delete from core.idempotency_keys where user_id = %(user_id)s", params)
    tx.run(f"delete from core.outbox where {_UNDELIVERED}", params)
