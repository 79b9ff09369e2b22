"""Links that switch off a kind of mail without signing in (RFC 8058). Pure.

A link names a person and a kind, and is signed with a key of its own: the mailer holds it, and must not be able to sign
anyone in. It does not expire, because mails are kept, and it can do nothing but switch off this kind.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from chally import base64url

PATH = "/v1/notifications/unsubscribe"

type MailKind = Literal["reminders"]
"""A kind of mail that comes by itself."""
_KINDS: dict[str, MailKind] = {"reminders": "reminders"}


@dataclass(frozen=True, slots=True)
class Subscription:
    user_id: UUID
    kind: MailKind


def url(public_url: str, key: bytes, subscription: Subscription) -> str:
    return f"{public_url}{PATH}?token={make_token(key, subscription)}"


def make_token(key: bytes, subscription: Subscription) -> str:
    """Return the token of a subscription, always the same one."""
    return f"{subscription.kind}.{subscription.user_id.hex}.{_signature(key, subscription)}"


def read_token(token: str, keys: Iterable[bytes]) -> Subscription | None:
    """Return the subscription that a token names; None if none of the keys signed it."""
    name, _, rest = token.partition(".")
    person, _, _ = rest.partition(".")
    kind = _KINDS.get(name)
    if kind is None:
        return None
    try:
        subscription = Subscription(UUID(hex=person), kind)
    except ValueError:
        return None
    if not any(hmac.compare_digest(make_token(key, subscription).encode(), token.encode()) for key in keys):
        return None
    return subscription


def _signature(key: bytes, subscription: Subscription) -> str:
    message = f"unsubscribe:{subscription.kind}:{subscription.user_id}"
    return base64url.encode(hmac.new(key, message.encode(), hashlib.sha256).digest())
