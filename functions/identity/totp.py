"""Authenticator apps (TOTP, RFC 6238) with SHA-1, 6 digits and 30 s, which every app supports.

A code is single-use: the time step of the last accepted code is stored, and only later ones are valid (RFC 6238, 5.2).
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
DRIFT = 1  # steps by which a phone's clock may be off, in either direction


def begin(tx: Tx, user: User, keyring: Keyring, now: datetime) -> str:
    """Store a new unconfirmed secret and return it in base 32. It replaces an earlier unconfirmed one.

    Raises `TotpAlreadyOn`.
    """
    secret = pyotp.random_base32()
    if not queries.upsert_unconfirmed_totp(tx, user.id, keyring.seal(secret, owner=user.id), now):
        raise rules.TotpAlreadyOn
    return secret


def confirm(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> list[str]:
    """Turn TOTP on with a code that proves that the app has the secret, and return the backup codes. Other sessions
    end, because they were started without a second factor.

    Raises `TotpOff` if no secret was set up, `TotpAlreadyOn`, or `CodeInvalid`.
    """
    found = queries.find_totp(tx, user_id)
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
    _notify(tx, user_id, "An authenticator app was turned on, and every other device was signed out.")
    queries.delete_pending_of_user(tx, user_id)
    sessions.end_sessions(tx, user_id, "second_factor_on", now, keep=tx.actor.session_id if tx.actor else None)
    return backup_codes.generate(tx, user_id, keyring, now)


def verify(tx: Tx, user_id: UUID, code: str, keyring: Keyring, now: datetime) -> bool:
    """Use up a code; False if it is wrong, or if it or a later one was accepted before."""
    found = queries.find_totp(tx, user_id)
    if found is None:
        return False
    step = step_of(keyring.unseal(found.sealed_secret, owner=user_id), code, now)
    return step is not None and queries.advance_totp(tx, user_id, step)


def turn_off(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Turn TOTP off and delete the backup codes. Raises `TotpOff`."""
    if not queries.delete_totp(tx, user_id):
        raise rules.TotpOff
    queries.delete_backup_codes(tx, user_id)
    queries.reset_session_second_factors(tx, user_id)
    audit.record(tx, "totp_off", now, user_id=user_id)
    _notify(tx, user_id, "The authenticator app was turned off.")


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step of a code; None if it matches no step within `DRIFT` of `now`."""
    totp = pyotp.TOTP(secret, interval=STEP)
    current = totp.timecode(now)
    matching = None
    for step in range(max(current - DRIFT, 0), current + DRIFT + 1):  # always all steps, for equal timing
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            matching = step  # if two steps share a code, the later one: otherwise the code would be valid again
    return matching


def uri(secret: str, username: str) -> str:
    """Return the otpauth URI from which an app reads the secret."""
    return pyotp.TOTP(secret, interval=STEP).provisioning_uri(name=username, issuer_name=ISSUER)


def _notify(tx: Tx, user_id: UUID, change: str) -> None:
    outbox.add(tx, "mail", {"template": "second_factor_changed", "user_id": str(user_id), "values": {"change": change}})
