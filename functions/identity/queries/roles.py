"""SQL of roles. One function, one statement."""

from dataclasses import dataclass
from uuid import UUID

from chally.actor import Role
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class RoleHolder:
    """A user and their role. `second_factor`: whether they have an authenticator app or a passkey."""

    id: UUID
    username: str
    role: Role
    second_factor: bool


def lock_holder(tx: Tx, email: str) -> RoleHolder | None:
    """Lock and return the user with an address, unless they deleted their account."""
    return tx.maybe(
        """
        select u.id, u.username, u.role,
            exists (select from identity.totp t where t.user_id = u.id and t.confirmed_at is not null)
            or exists (select from identity.passkeys p where p.user_id = u.id) as second_factor
        from identity.users u
        where lower(u.email) = lower(%(email)s) and u.deleted_at is null for no key update of u
        """,
        {"email": email},
        row=RoleHolder,
    )


def set_role(tx: Tx, user_id: UUID, role: Role) -> None:
    tx.run("update identity.users set role = %(role)s where id = %(id)s", {"id": user_id, "role": role})
