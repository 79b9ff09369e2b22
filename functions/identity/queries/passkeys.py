"""SQL of passkeys and of the challenges that they sign. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Passkey:
    """A registered credential. `public_key` is a COSE key; `sign_count` is the authenticator's last counter."""

    id: UUID
    user_id: UUID
    credential_id: bytes
    public_key: bytes
    sign_count: int
    backed_up: bool
    name: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class PasskeyChallenge:
    expires_at: datetime


_PASSKEY = "id, user_id, credential_id, public_key, sign_count, backed_up, name, created_at, last_used_at"


def add_challenge(tx: Tx, challenge: bytes, *, user_id: UUID | None, expires_at: datetime) -> None:
    """Store a challenge: for `user_id` to register a passkey, or for anyone (None) to sign in."""
    tx.run(
        """
        insert into identity.passkey_challenges (challenge, user_id, expires_at)
        values (%(challenge)s, %(user_id)s, %(expires_at)s)
        """,
        {"challenge": challenge, "user_id": user_id, "expires_at": expires_at},
    )


def consume_challenge(tx: Tx, challenge: bytes, *, user_id: UUID | None) -> PasskeyChallenge | None:
    """Delete and return a challenge, expired or not; None if it is unknown, used or another user's."""
    return tx.maybe(
        """
        delete from identity.passkey_challenges
        where challenge = %(challenge)s and user_id is not distinct from %(user_id)s returning expires_at
        """,
        {"challenge": challenge, "user_id": user_id},
        row=PasskeyChallenge,
    )


def delete_expired_challenges(tx: Tx, now: datetime) -> int:
    return tx.count("delete from identity.passkey_challenges where expires_at <= %(now)s", {"now": now})


def lock_owner(tx: Tx, user_id: UUID) -> None:
    """Lock the user's row, so that concurrent registrations of their passkeys run one by one."""
    tx.run("select from identity.users where id = %(id)s for no key update", {"id": user_id})


def list_of_user(tx: Tx, user_id: UUID) -> list[Passkey]:
    return tx.all(
        f"select {_PASSKEY} from identity.passkeys where user_id = %(user_id)s order by id",
        {"user_id": user_id},
        row=Passkey,
    )


def list_page(tx: Tx, user_id: UUID, *, after: UUID | None, limit: int, offset: int) -> list[Passkey]:
    """Return a page of a user's passkeys, newest first."""
    return tx.all(
        f"""
        select {_PASSKEY} from identity.passkeys
        where user_id = %(user_id)s and (%(after)s::uuid is null or id < %(after)s)
        order by id desc limit %(limit)s offset %(offset)s
        """,
        {"user_id": user_id, "after": after, "limit": limit, "offset": offset},
        row=Passkey,
    )


def lock_by_credential(tx: Tx, credential_id: bytes) -> Passkey | None:
    """Lock and return the passkey with this credential, so that its counter is checked by one request at a time."""
    return tx.maybe(
        f"select {_PASSKEY} from identity.passkeys where credential_id = %(credential_id)s for update",
        {"credential_id": credential_id},
        row=Passkey,
    )


def add(
    tx: Tx,
    user_id: UUID,
    *,
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    backed_up: bool,
    name: str,
    now: datetime,
) -> Passkey | None:
    """Insert a passkey; None if this credential is registered already."""
    return tx.maybe(
        f"""
        insert into identity.passkeys (user_id, credential_id, public_key, sign_count, backed_up, name, created_at)
        values (%(user_id)s, %(credential_id)s, %(public_key)s, %(sign_count)s, %(backed_up)s, %(name)s, %(now)s)
        on conflict (credential_id) do nothing
        returning {_PASSKEY}
        """,
        {
            "user_id": user_id,
            "credential_id": credential_id,
            "public_key": public_key,
            "sign_count": sign_count,
            "backed_up": backed_up,
            "name": name,
            "now": now,
        },
        row=Passkey,
    )


def record_use(tx: Tx, passkey_id: UUID, *, sign_count: int, backed_up: bool, now: datetime) -> Passkey:
    """Record the authenticator's state at a sign-in."""
    return tx.one(
        f"""
        update identity.passkeys
        set sign_count = %(sign_count)s, backed_up = %(backed_up)s, last_used_at = %(now)s
        where id = %(id)s returning {_PASSKEY}
        """,
        {"id": passkey_id, "sign_count": sign_count, "backed_up": backed_up, "now": now},
        row=Passkey,
    )


def delete(tx: Tx, passkey_id: UUID, user_id: UUID) -> str | None:
    """Delete a user's passkey and return its name; None if they have no passkey with this id."""
    name: str | None = tx.value(
        "delete from identity.passkeys where id = %(id)s and user_id = %(user_id)s returning name",
        {"id": passkey_id, "user_id": user_id},
    )
    return name
