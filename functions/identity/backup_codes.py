"""Backup codes: ten, each good once, for the day when the phone is gone. Shown when they are made, and never again."""

import secrets
from datetime import datetime
from uuid import UUID

from chally import audit, outbox
from chally.db import Tx
from identity.keyring import Keyring
from identity.queries import second_factors as queries

COUNT = 10
# Crockford's base 32: ten of them are 50 bits, and no two look alike on paper.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 10
_AS_MEANT = str.maketrans("ilo", "110")


def make(tx: Tx, user_id: UUID, keyring: Keyring, now: datetime) -> list[str]:
    """Codes, as they are shown: xxxxx-xxxxx. Older ones are void.

    The caller has written to the user's TOTP in `tx`: of two who make them at once the second waits for the first.
    """
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(COUNT)]
    queries.drop_backup_codes(tx, user_id)
    queries.add_backup_codes(tx, user_id, [_hash(code, user_id, keyring) for code in codes])
    audit.record(tx, "backup_codes_made", now, user_id=user_id)
    return [f"{code[:5]}-{code[5:]}" for code in codes]


def replace(tx: Tx, user_id: UUID, keyring: Keyring, now: datetime) -> list[str]:
    """As `make`, and the user is told by mail."""
    values = {"change": "New backup codes were made. The old ones no longer work."}
    outbox.add(tx, "mail", {"template": "second_factor_changed", "user_id": str(user_id), "values": values})
    return make(tx, user_id, keyring, now)


def use(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> bool:
    """Whether it is a code of the user's; then it is used up. In any case, with or without the dash."""
    meant = "".join(filter(str.isalnum, code.lower())).translate(_AS_MEANT)
    used = queries.use_backup_code(tx, user_id, _hash(meant, user_id, keyring), now)
    if used:
        audit.record(tx, "backup_code_used", now, user_id=user_id)
    return used


def _hash(code: str, user_id: UUID, keyring: Keyring) -> bytes:
    return keyring.keyed_hash(f"{user_id}:{code}", purpose="backup_code")
