"""Deleting an account: signed out and hidden at once, purged after 30 days. Signing in before then restores it.

Other people's standings keep what they need, under a name that identifies nobody: see each `personal_data.forget`.
"""

from datetime import date, datetime
from uuid import UUID

from challenges import personal_data as challenges
from chally import personal_data as core
from chally.db import Tx
from chally.personal_data import StoredObject
from identity import deletion
from identity import personal_data as identity
from notifications import personal_data as notifications
from privacy import personal_data as privacy
from privacy.queries import exports as queries
from proofs import personal_data as proofs


def request(tx: Tx, user_id: UUID, password: str | None, now: datetime) -> date | None:
    """Delete the account of `tx`'s actor and return the day of its purge. See `identity.deletion.request`."""
    purged_on = deletion.request(tx, user_id, password, now)
    if purged_on is not None:
        queries.delete_unbuilt(tx, user_id)
    return purged_on


def objects(tx: Tx, user_id: UUID) -> list[StoredObject] | None:
    """List what a deleted account has in storage; None if it was restored or purged meanwhile."""
    if not deletion.is_deleted(tx, user_id):
        return None
    return [*proofs.objects(tx, user_id), *privacy.objects(tx, user_id)]


def purge(tx: Tx, user_id: UUID, now: datetime) -> bool:
    """Purge a deleted account, whose objects in storage are gone. False if it was restored meanwhile."""
    email = deletion.lock_due(tx, user_id, now)
    if email is None:
        return False
    core.forget(tx, user_id, email=email)
    notifications.forget(tx, user_id)
    proofs.forget(tx, user_id)
    challenges.forget(tx, user_id)
    privacy.forget(tx, user_id)
    identity.forget(tx, user_id)
    deletion.mark_purged(tx, user_id, now)
    return True


def list_due(tx: Tx, now: datetime, *, after: UUID, limit: int) -> list[UUID]:
    """List accounts whose 30 days are over, by id, at most `limit` after an id."""
    return deletion.list_due(tx, now, after=after, limit=limit)
