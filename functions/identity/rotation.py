"""When a signing key changes, and how: published first, signing a quarter of an hour later, by when everybody knows it.

Pure. The order in which `identity.jobs` does what is said here keeps every token verifiable, wherever a run may end and
however many run at once: publish, then store the secret, and only then say until when the older keys verify.
`refresh_key` and `sealing_key` stay: second factors are sealed with them. The key of receipts is another one, and
changes by order only.
"""

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import jwt

from identity.keyring import SECRET_LIVES, Keyring, SigningKey
from identity.receipt_key import ReceiptKey
from identity.rules import ACCESS_LIFE

ROTATE_AFTER = timedelta(days=90)
# By then every verifier has read the new public key, and every signer the new secret: both are trusted for 5 minutes.
PUBLISHED_AHEAD = timedelta(minutes=15)
SIGNERS_KNOW_AFTER = timedelta(seconds=SECRET_LIVES)
LEEWAY = timedelta(minutes=5)  # for clocks that differ
# From when a key's successor signs until the last token of the key itself has expired.
VERIFIES_ON = SIGNERS_KNOW_AFTER + ACCESS_LIFE + LEEWAY
# Characters of the random filler that Secrets Manager makes for a deploy; MiniStack leaves the secret empty.
FILLERS = (0, 32)
# An order for a key of receipts that comes again, or finds that another run was first, makes no further one.
ORDERED_ONCE = timedelta(minutes=15)


class SecretUnreadable(Exception):
    """The secret holds something that is neither ours nor a deploy's filler. What is in it is left as it is."""


def read(text: str, now: datetime) -> Keyring | None:
    """The keys in a secret; None for the filler of a deploy. Raises `SecretUnreadable`, which says nothing of it."""
    try:
        stored = json.loads(text)
    except ValueError:
        if len(text) in FILLERS:
            return None
        raise SecretUnreadable("the signing secret is not JSON: bring its last version back") from None
    try:
        return _convert(stored, now) if "private_key" in stored else _checked(Keyring.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError):
        raise SecretUnreadable("the signing secret is not a keyring: bring its last version back") from None


def plan(stored: Keyring | None, now: datetime, *, by_hand: bool = False) -> Keyring:
    """What the secret is to hold from now on: a first key, or one more where it is due or asked for; none that has
    nothing left to sign. A key that waits for its time is not followed by another: asking twice rotates once.
    """
    if stored is None:
        return Keyring.make(now)
    followed = [key for key, successor in pairwise(stored.keys) if begins(successor) + SIGNERS_KNOW_AFTER > now]
    newest = stored.keys[-1]
    keys = (*followed, newest)
    age = now - begins(newest)
    if age > ROTATE_AFTER or (by_hand and age >= timedelta(0)):
        keys += (SigningKey.make(now + PUBLISHED_AHEAD),)
    return replace(stored, keys=keys)


def verify_until(keyring: Keyring) -> dict[str, datetime | None]:
    """Until when each key verifies, by kid; None for the newest, whose end nobody knows yet."""
    ends: dict[str, datetime | None] = {
        key.kid: begins(successor) + VERIFIES_ON for key, successor in pairwise(keyring.keys)
    }
    return ends | {keyring.keys[-1].kid: None}


def age_days(keyring: Keyring, now: datetime) -> float:
    """Of the newest key; 0 while it waits for its time."""
    return max(timedelta(0), now - begins(keyring.keys[-1])) / timedelta(days=1)


def read_receipt_key(text: str) -> ReceiptKey | None:
    """As `read`, of the secret with the key of receipts."""
    try:
        return ReceiptKey.loads(text)
    except (ValueError, TypeError, jwt.PyJWTError):
        if len(text) in FILLERS:
            return None
        raise SecretUnreadable("the receipt secret holds no key of ours: bring its last version back") from None


def plan_receipt_key(stored: ReceiptKey | None, now: datetime, *, by_hand: bool = False) -> ReceiptKey:
    """What that secret is to hold from now on. A new key signs at once: who does not know it yet looks again."""
    if stored is None or (by_hand and now - datetime.fromtimestamp(stored.made_at, UTC) >= ORDERED_ONCE):
        return ReceiptKey.make(now)
    return stored


def begins(key: SigningKey) -> datetime:
    """From when on a key signs."""
    return datetime.fromtimestamp(key.signs_from, UTC)


def _checked(keyring: Keyring) -> Keyring:
    """ValueError for what reads like a keyring and would fail later. Its keys come out oldest first."""
    keys = tuple(sorted(keyring.keys, key=lambda key: key.signs_from))
    if not keys or any(len(bytes.fromhex(key)) != 32 for key in (keyring.refresh_key, keyring.sealing_key)):
        raise ValueError
    for key in keys:
        key.public_jwk()
    return replace(keyring, keys=keys)


def _convert(stored: dict[str, Any], now: datetime) -> Keyring:
    """From the form that the secret had before keys were rotated: one key, which counts as new."""
    key = SigningKey(stored["kid"], stored["private_key"], now.timestamp())
    return _checked(Keyring((key,), stored["refresh_key"], secrets.token_hex(32)))
