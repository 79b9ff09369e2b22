"""Key rotation: a new signing key is published first and signs 15 minutes later, when every verifier knows it.

This module is pure. `identity.jobs` publishes the key, stores the secret, and only then records until when the older
keys verify. This order keeps every token verifiable wherever a run is cut off and however many run at once.
`refresh_key` and `sealing_key` never change: second factors are encrypted with them. The receipt key rotates
separately, on request only.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import jwt

from chally.secrets import MAX_AGE
from identity.keyring import Keyring, SigningKey
from identity.receipt_key import ReceiptKey
from identity.rules import ACCESS_LIFE

ROTATE_AFTER = timedelta(days=90)
# By then every verifier has read the new public key and every signer the new secret: both are cached for 5 minutes.
PUBLISHED_AHEAD = timedelta(minutes=15)
SIGNERS_KNOW_AFTER = timedelta(seconds=MAX_AGE)
LEEWAY = timedelta(minutes=5)  # for clock skew
# From the time a key's successor signs until the key's last token has expired.
VERIFIES_ON = SIGNERS_KNOW_AFTER + ACCESS_LIFE + LEEWAY
# Lengths of the placeholder in a new secret: Secrets Manager generates 32 characters, MiniStack leaves it empty.
PLACEHOLDER_LENGTHS = (0, 32)
# A request to rotate the receipt key that is repeated within this time, or lost a race, does not rotate again.
ORDERED_ONCE = timedelta(minutes=15)


class SecretUnreadable(Exception):
    """The secret holds neither keys nor a deploy's placeholder. It is left unchanged."""


def read(text: str) -> Keyring | None:
    """Parse a secret; None for a deploy's placeholder. Raises `SecretUnreadable`, which quotes nothing of it."""
    try:
        return _checked(Keyring.loads(text))
    except json.JSONDecodeError:
        if len(text) in PLACEHOLDER_LENGTHS:
            return None
        raise SecretUnreadable("the signing secret is not JSON: restore its previous version") from None
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError):
        raise SecretUnreadable("the signing secret is not a keyring: restore its previous version") from None


def plan(stored: Keyring | None, now: datetime, *, by_hand: bool = False) -> Keyring:
    """Return the secret's next content: a first key, or one more if it is due or requested `by_hand`, without the keys
    that no longer sign. While the newest key does not sign yet no other is added, so two requests rotate once.
    """
    if stored is None:
        return Keyring.make(now)
    followed = [key for key, successor in pairwise(stored.keys) if signing_start(successor) + SIGNERS_KNOW_AFTER > now]
    newest = stored.keys[-1]
    keys = (*followed, newest)
    age = now - signing_start(newest)
    if age > ROTATE_AFTER or (by_hand and age >= timedelta(0)):
        keys += (SigningKey.make(now + PUBLISHED_AHEAD),)
    return replace(stored, keys=keys)


def verify_until(keyring: Keyring) -> dict[str, datetime | None]:
    """Return until when each key verifies, by kid; None for the newest, whose end is not known yet."""
    ends: dict[str, datetime | None] = {
        key.kid: signing_start(successor) + VERIFIES_ON for key, successor in pairwise(keyring.keys)
    }
    return ends | {keyring.keys[-1].kid: None}


def age_days(keyring: Keyring, now: datetime) -> float:
    """Return the age of the newest key; 0 while it does not sign yet."""
    return max(timedelta(0), now - signing_start(keyring.keys[-1])) / timedelta(days=1)


def read_receipt_key(text: str) -> ReceiptKey | None:
    """Like `read`, for the secret with the receipt key."""
    try:
        return ReceiptKey.loads(text)
    except (ValueError, TypeError, jwt.PyJWTError):
        if len(text) in PLACEHOLDER_LENGTHS:
            return None
        raise SecretUnreadable("the receipt secret holds no receipt key: restore its previous version") from None


def plan_receipt_key(stored: ReceiptKey | None, now: datetime, *, by_hand: bool = False) -> ReceiptKey:
    """Return that secret's next content. A new key signs at once: verifiers that do not know it read the keys again."""
    if stored is None or (by_hand and now - datetime.fromtimestamp(stored.made_at, UTC) >= ORDERED_ONCE):
        return ReceiptKey.make(now)
    return stored


def signing_start(key: SigningKey) -> datetime:
    """Return the time from which a key signs."""
    return datetime.fromtimestamp(key.signs_from, UTC)


def _checked(keyring: Keyring) -> Keyring:
    """Validate a keyring (ValueError) and sort its keys, oldest first."""
    keys = tuple(sorted(keyring.keys, key=lambda key: key.signs_from))
    if not keys or any(len(bytes.fromhex(key)) != 32 for key in (keyring.refresh_key, keyring.sealing_key)):
        raise ValueError
    for key in keys:
        key.public_jwk()
    return replace(keyring, keys=keys)
