"""Passkeys: registering them, and proving with one who one is.

A challenge is good once, also where the answer to it is refused then: so whoever calls `register` or `verify` commits
first, and refuses after that.
"""

import secrets
from datetime import datetime
from typing import Any
from uuid import UUID

from chally import audit, outbox
from chally.db import Tx
from identity import ceremonies, rules
from identity.ceremonies import Answer, Assertion, Attestation, RelyingParty
from identity.queries import passkeys as queries
from identity.queries import second_factors
from identity.queries.passkeys import Passkey
from identity.queries.users import User


def registration_options(tx: Tx, user: User, *, relying_party: RelyingParty, now: datetime) -> dict[str, Any]:
    """What a browser is asked to register a passkey. Raises `TooManyPasskeys`."""
    known = [passkey.credential_id for passkey in queries.of_user(tx, user.id)]
    if len(known) >= rules.MAX_PASSKEYS:
        raise rules.TooManyPasskeys
    challenge = _challenge(tx, user.id, now)
    return ceremonies.creation_options(
        relying_party, challenge=challenge, user_id=user.id, username=user.username, known=known
    )


def register(
    tx: Tx, user_id: UUID, *, name: str, attestation: dict[str, Any], relying_party: RelyingParty, now: datetime
) -> Passkey:
    """The person's new passkey; the one they have, where they send the same again.

    Raises `PasskeyRefused`, `PasskeyTaken` or `TooManyPasskeys`: commit nevertheless, then refuse.
    """
    answer = Attestation.read(attestation)
    why = _use_up(tx, answer, user_id, now)
    credential = ceremonies.check_attestation(answer, relying_party)
    queries.lock_owner(tx, user_id)
    known = queries.of_user(tx, user_id)
    for passkey in known:
        if (passkey.credential_id, passkey.public_key) == (answer.credential_id, credential.public_key):
            return passkey
    if why is not None:
        answer.refuse(why)
    if len(known) >= rules.MAX_PASSKEYS:
        raise rules.TooManyPasskeys
    passkey_added = queries.add(
        tx,
        user_id,
        credential_id=answer.credential_id,
        public_key=credential.public_key,
        sign_count=credential.sign_count,
        backed_up=credential.backed_up,
        name=name,
        now=now,
    )
    if passkey_added is None:
        raise rules.PasskeyTaken
    audit.record(tx, "passkey_added", now, user_id=user_id, passkey=str(passkey_added.id))
    _tell(tx, user_id, f"The passkey \u201c{name}\u201d was added.")
    return passkey_added


def remove(tx: Tx, passkey_id: UUID, user_id: UUID, now: datetime) -> bool:
    """Forget a person's passkey; False when they have no such one."""
    name = queries.remove(tx, passkey_id, user_id)
    if name is None:
        return False
    second_factors.forget_passed(tx, user_id)
    audit.record(tx, "passkey_removed", now, user_id=user_id, passkey=str(passkey_id))
    _tell(tx, user_id, f"The passkey \u201c{name}\u201d was removed.")
    return True


def sign_in_options(tx: Tx, *, relying_party: RelyingParty, now: datetime) -> dict[str, Any]:
    """What a browser is asked to prove by a passkey who somebody is."""
    return ceremonies.request_options(relying_party, challenge=_challenge(tx, None, now))


def verify(tx: Tx, assertion: dict[str, Any], *, relying_party: RelyingParty, now: datetime) -> Passkey:
    """The passkey that made an assertion, just now and to a challenge of `sign_in_options`. It says whose it is.

    Raises `PasskeyInvalid`: commit nevertheless (the challenge is used up, a clone is written down), then refuse.
    """
    answer = Assertion.read(assertion)
    why = _use_up(tx, answer, None, now)
    if why is not None:
        answer.refuse(why)
    passkey = queries.find(tx, answer.credential_id)
    if passkey is None:
        answer.refuse("Unknown passkey: it was removed here, or never registered. Sign in another way.")
    credential = ceremonies.check_assertion(
        answer, relying_party, public_key=passkey.public_key, user_id=passkey.user_id
    )
    if ceremonies.is_cloned(stored=passkey.sign_count, signed=credential.sign_count):
        audit.record(tx, "passkey_cloned", now, user_id=passkey.user_id, passkey=str(passkey.id))
        answer.refuse("Cloned authenticator: its count of signatures did not grow. Remove this passkey.")
    return queries.use(tx, passkey.id, sign_count=credential.sign_count, backed_up=credential.backed_up, now=now)


def _challenge(tx: Tx, user_id: UUID | None, now: datetime) -> bytes:
    challenge = secrets.token_bytes(32)
    queries.add_challenge(tx, challenge, user_id=user_id, expires_at=now + rules.CHALLENGE_LIFE)
    return challenge


def _use_up(tx: Tx, answer: Answer, user_id: UUID | None, now: datetime) -> str | None:
    """Take the challenge that was answered; why it is not good, if it is not."""
    challenge = queries.take_challenge(tx, answer.challenge, user_id=user_id)
    if challenge is None:
        return "Unknown challenge: it was answered before, or is none of ours. Ask for new options."
    if challenge.expires_at <= now:
        return "Expired challenge: options are good for five minutes. Ask for new ones."
    return None


def _tell(tx: Tx, user_id: UUID, change: str) -> None:
    outbox.add(tx, "mail", {"template": "second_factor_changed", "user_id": str(user_id), "values": {"change": change}})
