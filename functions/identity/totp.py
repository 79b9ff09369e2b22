"""Authenticator apps (TOTP, RFC 6238): SHA-1, six digits, 30 seconds, which is what every app can do.

A code is good once: the time step of the last one accepted is kept, and only later ones are accepted (RFC 6238, 5.2).
"""

import hmac
from datetime import datetime
from uuid import UUID

import pyotp

from chally import audit, outbox
from chally.db import Tx
from identity import backup_codes, rules
from identity.keyring import Keyring
from identity.queries import second_factors as queries
from identity.queries import sessions
from identity.queries.users import User

ISSUER = "Chally"
STEP = 30  # seconds
DRIFT = 1  # steps that a phone's clock may be off, either way


def begin(tx: Tx, user: User, keyring: Keyring, now: datetime) -> str:
    """A new secret, in base 32, that waits for its confirmation; it takes the place of one that waits already.

    Raises `TotpAlreadyOn`.
    """
    secret = pyotp.random_base32()
    if not queries.put_totp(tx, user.id, keyring.seal(secret, owner=user.id), now):
        raise rules.TotpAlreadyOn
    return secret


def confirm(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> list[str]:
    """Turn it on, with a code that proves that the app has the secret; answers the backup codes. Other sessions end:
    whoever began them did so without it.

    Raises `TotpOff` where it was not begun, `TotpAlreadyOn`, or `CodeInvalid`.
    """
    found = queries.totp(tx, user_id)
    if found is None:
        raise rules.TotpOff
    if found.confirmed_at is not None:
        raise rules.TotpAlreadyOn
    step = step_of(keyring.unseal(found.sealed_secret, owner=user_id), code, now)
    if step is None:
        raise rules.CodeInvalid
    if not queries.confirm_totp(tx, user_id, found.sealed_secret, step, now):
        raise rules.TotpAlreadyOn
    audit.record(tx, "totp_on", now, user_id=user_id)
    _tell(tx, user_id, "An authenticator app was turned on, and every other device was signed out.")
    queries.drop_pending_of(tx, user_id)
    sessions.end_sessions(tx, user_id, "second_factor_on", now, keep=tx.actor.session_id if tx.actor else None)
    return backup_codes.make(tx, user_id, keyring, now)


def accept(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> bool:
    """Whether a code is right, and neither it nor a later one was accepted before."""
    found = queries.totp(tx, user_id)
    if found is None:
        return False
    step = step_of(keyring.unseal(found.sealed_secret, owner=user_id), code, now)
    return step is not None and queries.advance_totp(tx, user_id, step)


def turn_off(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Turn it off; the backup codes go with it. Raises `TotpOff`."""
    if not queries.drop_totp(tx, user_id):
        raise rules.TotpOff
    queries.drop_backup_codes(tx, user_id)
    queries.forget_passed(tx, user_id)
    audit.record(tx, "totp_off", now, user_id=user_id)
    _tell(tx, user_id, "The authenticator app was turned off.")


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step that a code is of; None when it is of none that is near enough to `now`."""
    totp = pyotp.TOTP(secret, interval=STEP)
    current = totp.timecode(now)
    matching = None
    for step in range(max(current - DRIFT, 0), current + DRIFT + 1):  # all of them: the time tells nothing
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            matching = step  # should two steps share a code, the later: the earlier would let it be used again
    return matching


def uri(secret: str, username: str) -> str:
    """What an app reads a secret from (otpauth)."""
    return pyotp.TOTP(secret, interval=STEP).provisioning_uri(name=username, issuer_name=ISSUER)


def _tell(tx: Tx, user_id: UUID, change: str) -> None:
    outbox.add(tx, "mail", {"template": "second_factor_changed", "user_id": str(user_id), "values": {"change": change}})
