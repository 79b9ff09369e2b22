"""The outbox: messages to the outside, stored in the transaction that causes them and delivered after it.

After the commit a nudge to a queue starts the delivery; a job every minute delivers anything missed. Delivery is at
least once, and every message has a stable id, so receivers can ignore repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from chally import aws
from chally.db import Tx
from chally.settings import OutboxWriterSettings, load

Topic = Literal["mail"]
MAX_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    id: UUID
    topic: str
    payload: dict[str, Any]
    traceparent: str | None
    attempts: int
    created_at: datetime


def add(tx: Tx, topic: Topic, payload: dict[str, Any]) -> None:
    """Store a message. It is delivered if and only if `tx` commits."""
    add_all(tx, topic, [payload])


def add_all(tx: Tx, topic: Topic, payloads: Sequence[dict[str, Any]]) -> None:
    """Store messages of a topic, in one statement."""
    tx.run(
        """
        insert into core.outbox (topic, payload, traceparent)
        select %(topic)s, payload, nullif(current_setting('chally.traceparent', true), '')
        from unnest(%(payloads)s::jsonb[]) as payload
        """,
        {"topic": topic, "payloads": [Jsonb(payload) for payload in payloads]},
    )
    tx.on_commit(send_nudge)


def send_nudge() -> None:
    """Start a delivery now. If this fails, the scheduled delivery runs within a minute."""
    aws.client("sqs").send_message(QueueUrl=load(OutboxWriterSettings).outbox_queue_url, MessageBody="{}")


def claim(tx: Tx, limit: int) -> list[OutboxMessage]:
    """Claim due messages for five minutes, longer than a function runs. If not delivered, they are due again."""
    return tx.all(
        """
        update core.outbox
        set attempts = attempts + 1, due_at = now() + interval '5 minutes'
        where id in (
            select id from core.outbox
            where delivered_at is null and due_at <= now() and attempts < %(max_attempts)s
            order by due_at limit %(limit)s for update skip locked
        )
        returning id, topic, payload, traceparent, attempts, created_at
        """,
        {"limit": limit, "max_attempts": MAX_ATTEMPTS},
        row=OutboxMessage,
    )


def mark_delivered(tx: Tx, message: OutboxMessage) -> None:
    """Record the delivery and empty the payload, because a mail's token must not stay in our tables."""
    tx.run(
        "update core.outbox set delivered_at = now(), payload = '{}', last_error = null where id = %(id)s",
        {"id": message.id},
    )


def mark_dropped(tx: Tx, message: OutboxMessage, reason: str) -> None:
    """Record that a message is not sent, ever, and why. Its payload is emptied as well."""
    tx.run(
        "update core.outbox set delivered_at = now(), payload = '{}', last_error = %(reason)s where id = %(id)s",
        {"id": message.id, "reason": reason},
    )


def mark_failed(tx: Tx, message: OutboxMessage, error: str) -> None:
    """Record why a delivery failed. Retried after 30 s, then with twice the delay each time, up to an hour."""
    tx.run(
        """
        update core.outbox set last_error = %(error)s,
            due_at = now() + least(interval '30 seconds' * 2 ^ (attempts - 1), interval '1 hour')
        where id = %(id)s
        """,
        {"id": message.id, "error": error[:500]},
    )


def count_dead(tx: Tx) -> int:
    """Count the messages that have used up their attempts. They are not retried until an operator resets them."""
    count: int = tx.value(
        "select count(*) from core.outbox where delivered_at is null and attempts >= %(max_attempts)s",
        {"max_attempts": MAX_ATTEMPTS},
    )
    return count


def delete_delivered(tx: Tx) -> int:
    """Delete messages delivered more than a week ago. Returns how many."""
    return tx.count("delete from core.outbox where delivered_at < now() - interval '7 days'", {})
