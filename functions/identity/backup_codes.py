"""Backup codes: ten single-use codes for the day when the phone is gone. They are shown once, when they are made."""

import secrets
from datetime import datetime
from uuid import UUID

from chally import audit, outbox
from chally.db import Tx
from identity.keyring import Keyring
from identity.queries import second_factors as queries

COUNT = 10
# Crockford's base 32: ten characters are 50 bits, and no two look alike on paper.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 10
_LOOKALIKES = str.maketrans("ilo", "110")


def generate(tx: Tx, user_id: UUID, keyring: Keyring, now: datetime) -> list[str]:
    """Replace the user's codes and return the new ones as they are shown: xxxxx-xxxxx.

    The caller has written to the user's TOTP row in `tx`, and so holds its lock: concurrent calls run one by one.
    """
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(COUNT)]
    queries.delete_backup_codes(tx, user_id)
    queries.add_backup_codes(tx, user_id, [_hash(code, user_id, keyring) for code in codes])
    audit.record(tx, "backup_codes_made", now, user_id=user_id)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def replace(tx: Tx, user_id: UUID, keyring: Keyring, now: datetime) -> list[str]:
    """Like `generate`, and notify the user by mail."""
    values = {"change": "New backup codes were made. The old ones no longer work."}
    outbox.add(tx, "mail", {"template": "second_factor_changed", "user_id": str(user_id), "values": values})
    return generate(tx, user_id, keyring, now)


def consume(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> bool:
    """Use up a code; False if the user has no such unused code. Case, dashes and spaces do not matter."""
    normalised = "".join(filter(str.isalnum, code.lower())).translate(_LOOKALIKES)
    consumed = queries.consume_backup_code(tx, user_id, _hash(normalised, user_id, keyring), now)
    if consumed:
        audit.record(tx, "backup_code_used", now, user_id=user_id)
    return consumed


def _hash(code: str, user_id: UUID, keyring: Keyring) -> bytes:
    return keyring.keyed_hash(f"{user_id}:{code}", purpose="backup_code")
