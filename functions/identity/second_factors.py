"""Second factors: a code of the authenticator app, a backup code, or a passkey. Any one is enough."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from chally.db import Tx
from chally.errors import AppError
from identity import backup_codes, lockout, passkeys, rules, totp
from identity.ceremonies import RelyingParty
from identity.keyring import Keyring


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """A second factor from a request. Exactly one field is set."""

    code: str | None = None
    backup_code: str | None = None
    assertion: dict[str, Any] | None = None

    @property
    def method(self) -> Literal["code", "backup_code", "passkey"]:
        """The kind of factor, as a `sign_in.SignInMethod`."""
        if self.code is not None:
            return "code"
        return "passkey" if self.backup_code is None else "backup_code"


def verify(
    tx: Tx, user_id: UUID, factor: SecondFactor, keyring: Keyring, *, relying_party: RelyingParty, now: datetime
) -> AppError | None:
    """Verify and use up a second factor of the user. Returns None, or the error: `SecondFactorInvalid` or
    `PasskeyInvalid`. The failure has an audit row: commit it, then raise the error.
    """
    error: AppError | None
    if factor.code is not None:
        error = None if totp.verify(tx, user_id, factor.code, keyring, now) else rules.SecondFactorInvalid()
    elif factor.backup_code is not None:
        consumed = backup_codes.consume(tx, user_id, factor.backup_code, keyring, now)
        error = None if consumed else rules.SecondFactorInvalid()
    else:
        error = _verify_passkey(tx, user_id, factor.assertion or {}, relying_party, now)
    if error is None:
        lockout.clear_factor(tx, user_id)
    else:
        lockout.record_factor_failure(tx, user_id, now, by=factor.method)
    return error


def _verify_passkey(
    tx: Tx, user_id: UUID, assertion: dict[str, Any], relying_party: RelyingParty, now: datetime
) -> AppError | None:
    try:
        passkey = passkeys.verify(tx, assertion, relying_party=relying_party, now=now)
    except rules.PasskeyInvalid as error:
        return error
    if passkey.user_id != user_id:
        return rules.PasskeyInvalid("Wrong account: this passkey belongs to another account.")
    return None
