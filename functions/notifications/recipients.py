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
from notifications.templates import TEMPLATES
from notifications.unsubscribe import Subscription


@dataclass(frozen=True, slots=True)
class Recipient:
    """Their username is empty if the message has its own. Instants in a mail are told in their time zone.

    `subscription`: if the mail is of a kind that they can switch off.
    """

    email: str
    username: str
    timezone: str
    subscription: Subscription | None = None


def find(tx: Tx, message: OutboxMessage) -> Recipient | None:
    """Return the recipient; None if their account is deleted, its address is not confirmed, or they have switched off
    this kind of mail since the message was written.
    """
    if "to" in message.payload:
        return Recipient(message.payload["to"], "", message.payload.get("timezone", "UTC"))
    contact = queries.find_contact(tx, UUID(message.payload["user_id"]))
    if contact is None or not contact.verified:
        return None
    kind = TEMPLATES[message.payload["template"]].kind
    if kind == "reminders" and not contact.wants_reminders:
        return None
    subscription = Subscription(contact.id, kind) if kind else None
    return Recipient(contact.email, contact.username, contact.timezone, subscription)


def is_over_limit(tx: Tx, message: OutboxMessage, recipient: Recipient, now: datetime) -> bool:
    """Count a message against the limit of its template; whether the mailbox has had too many. A message that is tried
    again was counted before.
    """
    if message.attempts > 1:
        return False
    subjects = {f"mail_{message.payload['template']}": mailbox(recipient.email)}
    return ratelimit.take(tx, now, **subjects) is not None
