"""Roles: user, moderator, admin. Only somebody who may invoke the function `identity-roles` gives them."""

from dataclasses import dataclass
from datetime import datetime

from chally import audit
from chally.actor import Role
from chally.db import Tx
from identity.queries import roles as queries


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an order: who it was about, the role they had, whether they have a second factor."""

    username: str
    before: Role
    second_factor: bool


def change(tx: Tx, email: str, role: Role, now: datetime) -> Change | None:
    """Give a person a role; it counts from their next request on. None: nobody has this address."""
    holder = queries.lock_holder(tx, email.strip())
    if holder is None:
        return None
    if holder.role != role:
        queries.set_role(tx, holder.id, role)
        audit.record(tx, "role_changed", now, user_id=holder.id, before=holder.role, after=role)
    return Change(holder.username, holder.role, holder.second_factor)
