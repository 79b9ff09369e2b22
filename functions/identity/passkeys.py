"""Passkeys: registration, removal and verification.

A challenge is single-use even if the response is refused. So callers of `register` and `verify` commit first and raise
the error afterwards.
"""

import secrets
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from chally import audit, outbox
from chally.db import Tx
from identity import ceremonies, rules
from identity.ceremonies import AssertionResponse, AttestationResponse, PasskeyResponse, RelyingParty
from identity.queries import passkeys as queries
from identity.queries import second_factors
from identity.queries.passkeys import Passkey
from identity.queries.users import User


def registration_options(tx: Tx, user: User, *, relying_party: RelyingParty, now: datetime) -> dict[str, Any]:
    """Return the options for registering a passkey. Raises `TooManyPasskeys`."""
    known = [passkey.credential_id for passkey in queries.list_of_user(tx, user.id)]
    if len(known) >= rules.MAX_PASSKEYS:
        raise rules.TooManyPasskeys
    challenge = _new_challenge(tx, user.id, now)
    return ceremonies.creation_options(
        relying_party, challenge=challenge, user_id=user.id, username=user.username, known=known
    )


def register(
    tx: Tx, user_id: UUID, *, name: str, attestation: dict[str, Any], relying_party: RelyingParty, now: datetime
) -> Passkey:
    """Add a passkey to the account and return it; if it is registered already, return the existing one.

    Raises `PasskeyRefused`, `PasskeyTaken` or `TooManyPasskeys`; commit before you pass them on.
    """
    response = AttestationResponse.read(attestation)
    problem = _consume_challenge(tx, response, user_id, now)
    credential = ceremonies.check_attestation(response, relying_party)
    queries.lock_owner(tx, user_id)
    known = queries.list_of_user(tx, user_id)
    for passkey in known:
        if (passkey.credential_id, passkey.public_key) == (response.credential_id, credential.public_key):
            return passkey
    if problem is not None:
        response.refuse(problem)
    if len(known) >= rules.MAX_PASSKEYS:
        raise rules.TooManyPasskeys
    added = queries.add(
        tx,
        user_id,
        credential_id=response.credential_id,
        public_key=credential.public_key,
        sign_count=credential.sign_count,
        backed_up=credential.backed_up,
        name=name,
        now=now,
    )
    if added is None:
        raise rules.PasskeyTaken
    audit.record(tx, "passkey_added", now, user_id=user_id, passkey=str(added.id))
    _notify(tx, "passkey_added", user_id, name)
    return added


def remove(tx: Tx, passkey_id: UUID, user_id: UUID, now: datetime) -> bool:
    """Delete a user's passkey and notify them. False if they have no passkey with this id."""
    name = queries.delete(tx, passkey_id, user_id)
    if name is None:
        return False
    second_factors.reset_session_second_factors(tx, user_id)
    audit.record(tx, "passkey_removed", now, user_id=user_id, passkey=str(passkey_id))
    _notify(tx, "passkey_removed", user_id, name)
    return True


def sign_in_options(tx: Tx, *, relying_party: RelyingParty, now: datetime) -> dict[str, Any]:
    """Return the options for signing in by passkey."""
    return ceremonies.request_options(relying_party, challenge=_new_challenge(tx, None, now))


def verify(tx: Tx, assertion: dict[str, Any], *, relying_party: RelyingParty, now: datetime) -> Passkey:
    """Return the passkey that signed a challenge of `sign_in_options`; its `user_id` is the account.

    Raises `PasskeyInvalid`. Commit before you pass it on: the used challenge and the audit row of a clone must stay.
    """
    response = AssertionResponse.read(assertion)
    problem = _consume_challenge(tx, response, None, now)
    if problem is not None:
        response.refuse(problem)
    passkey = queries.lock_by_credential(tx, response.credential_id)
    if passkey is None:
        response.refuse("Unknown passkey: it was removed or never registered. Sign in another way.")
    credential = ceremonies.check_assertion(
        response, relying_party, public_key=passkey.public_key, user_id=passkey.user_id
    )
    if ceremonies.is_cloned(stored=passkey.sign_count, signed=credential.sign_count):
        audit.record(tx, "passkey_cloned", now, user_id=passkey.user_id, passkey=str(passkey.id))
        response.refuse("Cloned authenticator: its signature counter did not grow. Remove this passkey.")
    return queries.record_use(tx, passkey.id, sign_count=credential.sign_count, backed_up=credential.backed_up, now=now)


def _new_challenge(tx: Tx, user_id: UUID | None, now: datetime) -> bytes:
    challenge = secrets.token_bytes(32)
    queries.add_challenge(tx, challenge, user_id=user_id, expires_at=now + rules.CHALLENGE_LIFE)
    return challenge


def _consume_challenge(tx: Tx, response: PasskeyResponse, user_id: UUID | None, now: datetime) -> str | None:
    """Consume the challenge of a response. Returns the reason if it is invalid, None otherwise."""
    challenge = queries.consume_challenge(tx, response.challenge, user_id=user_id)
    if challenge is None:
        return "Unknown challenge: it was used before, or we did not issue it. Request new options."
    if challenge.expires_at <= now:
        return "Expired challenge: options are valid for 5 minutes. Request new ones."
    return None


def _notify(tx: Tx, template: Literal["passkey_added", "passkey_removed"], user_id: UUID, name: str) -> None:
    outbox.add(tx, "mail", {"template": template, "user_id": str(user_id), "values": {"name": name}})
