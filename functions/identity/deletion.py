"""Deletion of an account, as far as identity is concerned: a deleted account is signed out and hidden, and can be
restored by signing in until it is purged. `privacy.deletion` drives it.
"""

from datetime import date, datetime
from uuid import UUID

from chally import audit, outbox
from chally.actor import StepUpRequired, check_fresh
from chally.db import Tx
from identity import credentials, rules
from identity.queries import deletion as queries
from identity.queries import links, second_factors, sessions, users
from identity.queries.users import Account


def request(tx: Tx, user_id: UUID, password: str | None, now: datetime) -> date | None:
    """Delete the account of `tx`'s actor and return the day of its purge. None for a wrong password, with an audit row:
    commit it, then refuse.

    With an authenticator app this requires a second factor within the last ten minutes; otherwise the password, or a
    sign-in within that time. Raises `StepUpRequired`.
    """
    account = _authenticate(tx, user_id, password, now)
    if account is None:
        return None
    users.set_deleted(tx, user_id, now)
    links.delete_of_user(tx, user_id)
    second_factors.delete_pending_of_user(tx, user_id)
    # last, as in `credentials`: a session that starts concurrently is waited for, and ended as well
    sessions.end_sessions(tx, user_id, "account_deleted", now)
    audit.record(tx, "deletion_requested", now, user_id=user_id)
    purged_at = now + rules.DELETION_GRACE
    # by address: from now on the mailer finds no account with this id
    to = {"to": account.email, "timezone": account.timezone}
    values = {"username": account.username, "purged_at": purged_at.isoformat()}
    outbox.add(tx, "mail", {"template": "deletion_requested", "values": values, **to})
    return purged_at.date()


def _authenticate(tx: Tx, user_id: UUID, password: str | None, now: datetime) -> Account | None:
    if second_factors.methods(tx, user_id):
        if not tx.session.second_factor:
            raise StepUpRequired
    elif password is not None:
        return credentials.check_current_password(tx, user_id, password, now)
    check_fresh(tx.session, now)
    return users.lock_account(tx, user_id)


def list_due(tx: Tx, now: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """List accounts that can no longer be restored, by id, at most `limit` after an id."""
    return queries.list_deleted(tx, now - rules.DELETION_GRACE, after=after, limit=limit)


def is_deleted(tx: Tx, user_id: UUID) -> bool:
    """Whether the account is deleted, and not purged yet."""
    return queries.is_deleted(tx, user_id)


def lock_due(tx: Tx, user_id: UUID, now: datetime) -> str | None:
    """Lock an account that is due to be purged, and return its address; None if it was restored or purged meanwhile."""
    return queries.lock_deleted(tx, user_id, now - rules.DELETION_GRACE)


def mark_purged(tx: Tx, user_id: UUID, now: datetime) -> None:
    """Record that everything about the account was forgotten."""
    audit.record(tx, "account_purged", now, user_id=user_id)
    queries.mark_purged(tx, user_id, now)
