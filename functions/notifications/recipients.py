"""Who gets a message of the outbox, and whether they get it: what others can make us send to one mailbox is limited.

The limit of a template is the row `mail_<template>` of `core.limits`. A template without a row has no limit: only the
recipient's own acts send it, and those are limited. It applies at delivery, where every mail passes and its address is
known, so that no response reveals it.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally import ratelimit
from chally.addresses import mailbox
from chally.db import Tx
from chally.outbox import OutboxMessage
from notifications import queries


@dataclass(frozen=True, slots=True)
class Recipient:
    """Their username is empty if the message has its own. Instants in a mail are told in their time zone."""

    email: str
    username: str
    timezone: str


def find(tx: Tx, message: OutboxMessage) -> Recipient | None:
    """Return the recipient; None if their account is deleted or its address is not confirmed."""
    if "to" in message.payload:
        return Recipient(message.payload["to"], "", message.payload.get("timezone", "UTC"))
    contact = queries.find_contact(tx, UUID(message.payload["user_id"]))
    if contact is None or not contact.verified:
        return None
    return Recipient(contact.email, contact.username, contact.timezone)


def is_over_limit(tx: Tx, message: OutboxMessage, recipient: Recipient, now: datetime) -> bool:
    """Count a message against the limit of its template; whether the mailbox has had too many. A message that is tried
    again was counted before.
    """
    if message.attempts > 1:
        return False
    subjects = {f"mail_{message.payload['template']}": mailbox(recipient.email)}
    return ratelimit.take(tx, now, **subjects) is not None
