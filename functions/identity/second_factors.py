"""Second factors: a code of the app, a backup code, or a passkey's assertion. Any one will do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from chally import audit
from chally.db import Tx
from chally.errors import AppError
from identity import backup_codes, passkeys, rules, totp
from identity.ceremonies import RelyingParty
from identity.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody sent to prove who they are; exactly one is there."""

    code: str | None = None
    backup_code: str | None = None
    assertion: dict[str, Any] | None = None

    @property
    def proof(self) -> Literal["code", "backup_code", "passkey"]:
        """What it is, in the words of `sign_in.Proof`."""
        if self.code is not None:
            return "code"
        return "passkey" if self.backup_code is None else "backup_code"


def refusal(
    tx: Tx, user_id: UUID, given: Given, keyring: Keyring, *, relying_party: RelyingParty, now: datetime
) -> AppError | None:
    """None where it is a second factor of the user, and then it is used up. Else why not: `SecondFactorInvalid` or
    `PasskeyInvalid`. That was written down: commit it, then raise it.
    """
    why: AppError | None
    if given.code is not None:
        why = None if totp.accept(tx, user_id, given.code, keyring, now) else rules.SecondFactorInvalid()
    elif given.backup_code is not None:
        why = None if backup_codes.use(tx, user_id, given.backup_code, keyring, now) else rules.SecondFactorInvalid()
    else:
        why = _refused_passkey(tx, user_id, given.assertion or {}, relying_party, now)
    if why is not None:
        audit.record(tx, "second_factor_failed", now, user_id=user_id, by=given.proof)
    return why


def _refused_passkey(
    tx: Tx, user_id: UUID, assertion: dict[str, Any], relying_party: RelyingParty, now: datetime
) -> AppError | None:
    try:
        passkey = passkeys.verify(tx, assertion, relying_party=relying_party, now=now)
    except rules.PasskeyInvalid as refused:
        return refused
    return None if passkey.user_id == user_id else rules.PasskeyInvalid("Wrong account: this passkey is another's.")
