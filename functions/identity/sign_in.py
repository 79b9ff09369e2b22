"""Signing in: what follows when somebody has proven, one way or another, whose account it is.

An account with a second factor waits for it: a password or a link in a mail alone answers a `Pending`. A passkey
verifies its user, and is both factors in one. Signing in takes a wish to be deleted back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chally import audit, outbox
from chally.db import Tx
from identity import rules, sessions, tokens
from identity.queries import second_factors as queries
from identity.queries import users
from identity.queries.users import User
from identity.sessions import Client, Session

Proof = Literal["registration", "password", "magic_link", "passkey", "code", "backup_code"]


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that waits for its second factor: a token for it, and the ways there are. Commit, then refuse."""

    mfa_token: str
    methods: list[str]


def proceed(tx: Tx, user: User, client: Client, now: datetime, *, proof: Proof) -> Session | Pending:
    """A session for who has proven whose account it is; a `Pending` where that takes a second factor still."""
    methods = [] if proof == "passkey" else queries.methods(tx, user.id)
    if not methods:
        return finish(tx, user, client, now, proof=proof, second_factor=proof == "passkey")
    mfa_token = tokens.random()
    queries.add_pending(tx, tokens.digest(mfa_token), user.id, now + rules.PENDING_LIFE)
    return Pending(mfa_token, methods)


def finish(tx: Tx, user: User, client: Client, now: datetime, *, proof: Proof, second_factor: bool) -> Session:
    """The session itself. Raises `InvalidCredentials` where the account was forgotten in this very moment."""
    account = users.lock_account(tx, user.id)  # it may be leaving at this moment
    if account is None:
        raise rules.InvalidCredentials
    if account.deleted_at is not None:
        if not users.set_deleted(tx, user.id, None):
            raise rules.InvalidCredentials
        audit.record(tx, "deletion_cancelled", now, user_id=user.id)
        outbox.add(tx, "mail", {"template": "deletion_cancelled", "user_id": str(user.id), "values": {}})
    audit.record(tx, "signed_in", now, user_id=user.id, by=proof)
    return sessions.start(tx, user, client, now, second_factor=second_factor)
