"""Roles: user, moderator, admin. They are assigned through the function `identity-roles` only."""

from dataclasses import dataclass
from datetime import datetime

from chally import audit
from chally.actor import Role
from chally.db import Tx
from identity import addresses
from identity.queries import roles as queries


@dataclass(frozen=True, slots=True)
class RoleChange:
    """The outcome of a change: the user, their previous role, and whether they have a second factor."""

    username: str
    before: Role
    second_factor: bool


def change(tx: Tx, email: str, role: Role, now: datetime) -> RoleChange | None:
    """Assign a role; it takes effect with the user's next request. None if no account has this address."""
    holder = queries.lock_holder(tx, addresses.normalise_login(email))
    if holder is None:
        return None
    if holder.role != role:
        queries.set_role(tx, holder.id, role)
        audit.record(tx, "role_changed", now, user_id=holder.id, before=holder.role, after=role)
    return RoleChange(holder.username, holder.role, holder.second_factor)
