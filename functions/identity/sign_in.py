"""Signing in, after the first factor was verified.

If the account has a second factor, a password or a mailed link leads to a `PendingSignIn`. A passkey verifies its user
and counts as both factors. Signing in cancels a requested deletion of the account.
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
from identity.sessions import ClientInfo, TokenPair

SignInMethod = Literal["registration", "password", "magic_link", "passkey", "code", "backup_code"]


@dataclass(frozen=True, slots=True)
class PendingSignIn:
    """A sign-in that waits for its second factor: its token, and the factors it accepts. Commit it, then refuse."""

    mfa_token: str
    methods: list[str]


def proceed(
    tx: Tx, user: User, client: ClientInfo, now: datetime, *, method: SignInMethod
) -> TokenPair | PendingSignIn:
    """Start a session, or return a `PendingSignIn` if the account requires a second factor."""
    methods = [] if method == "passkey" else queries.methods(tx, user.id)
    if not methods:
        return finish(tx, user, client, now, method=method, second_factor=method == "passkey")
    mfa_token = tokens.random()
    queries.add_pending(tx, tokens.digest(mfa_token), user.id, now + rules.PENDING_LIFE)
    return PendingSignIn(mfa_token, methods)


def finish(
    tx: Tx, user: User, client: ClientInfo, now: datetime, *, method: SignInMethod, second_factor: bool
) -> TokenPair:
    """Start the session. Raises `InvalidCredentials` if the account is purged concurrently."""
    account = users.lock_account(tx, user.id)  # it may be deleted or purged concurrently
    if account is None:
        raise rules.InvalidCredentials
    if account.deleted_at is not None:
        if not users.set_deleted(tx, user.id, None):
            raise rules.InvalidCredentials
        audit.record(tx, "deletion_cancelled", now, user_id=user.id)
        outbox.add(tx, "mail", {"template": "deletion_cancelled", "user_id": str(user.id), "values": {}})
    audit.record(tx, "signed_in", now, user_id=user.id, by=method)
    return sessions.start(tx, user, client, now, second_factor=second_factor)
