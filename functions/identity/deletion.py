"""Leaving: signed out and hidden at once, forgotten after 30 days; whoever signs in before that stays.

What other people's standings are made of stays, under a name that is nobody's: see migration 0007.
"""

from datetime import date, datetime
from uuid import UUID

from chally import audit, outbox
from chally.actor import StepUpRequired, check_fresh
from chally.db import Tx
from identity import credentials, rules
from identity.queries import exports, links, people, second_factors, sessions, users
from identity.queries.users import Account


def request(tx: Tx, user_id: UUID, password: str | None, now: datetime) -> date | None:
    """Delete the account of `tx`'s actor; answers the day from which on it is forgotten. None for a wrong password,
    which was written down: commit that, then refuse.

    With an authenticator app it takes a second factor not older than ten minutes; else the password, or a sign-in
    not older than that. Raises `StepUpRequired`.
    """
    account = _proven(tx, user_id, password, now)
    if account is None:
        return None
    users.set_deleted(tx, user_id, now)
    links.delete_of_user(tx, user_id)
    second_factors.delete_pending_of_user(tx, user_id)
    exports.delete_unbuilt(tx, user_id)
    # last, as in `credentials`: what a sign-in starts meanwhile is waited for, and then ended
    sessions.end_sessions(tx, user_id, "account_deleted", now)
    audit.record(tx, "deletion_requested", now, user_id=user_id)
    purged_on = (now + rules.DELETION_GRACE).date()
    # by address: from now on the mailer finds nobody under this id
    values = {"username": account.username, "purged_on": purged_on.isoformat()}
    outbox.add(tx, "mail", {"template": "deletion_requested", "to": account.email, "values": values})
    return purged_on


def _proven(tx: Tx, user_id: UUID, password: str | None, now: datetime) -> Account | None:
    if second_factors.methods(tx, user_id):
        if not tx.session.second_factor:
            raise StepUpRequired
    elif password is not None:
        return credentials.check_current_password(tx, user_id, password, now)
    check_fresh(tx.session, now)
    return users.lock_account(tx, user_id)


def due(tx: Tx, now: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """Whose time to come back is over, by id, at most `limit` after an id."""
    return people.left(tx, now - rules.DELETION_GRACE, after=after, limit=limit)


def purge(tx: Tx, user_id: UUID, now: datetime) -> bool:
    """Forget somebody who left, whose objects in storage are gone. False when they have come back meanwhile."""
    if not people.lock_left(tx, user_id, now - rules.DELETION_GRACE):
        return False
    for context in people.CONTEXTS:
        people.forget(tx, user_id, context)
    audit.record(tx, "account_purged", now, user_id=user_id)
    people.set_purged(tx, user_id, now)
    return True
