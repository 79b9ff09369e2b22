"""All SQL of identity. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from chally.db import Tx
from chally.errors import AppError
from identity.rules import UsernameTaken

CONSTRAINTS: dict[str, type[AppError]] = {"users_username_key": UsernameTaken}


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    email: str
    username: str
    timezone: str
    role: str
    email_verified_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Account(User):
    """A user with what only sign-in may see."""

    password_hash: str


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token and the session it belongs to."""

    session_id: UUID
    user_id: UUID
    generation: int
    expires_at: datetime
    newest: int
    rotated_at: datetime
    ended_at: datetime | None


_USER = "id, email, username, timezone, role, email_verified_at, created_at"


def user(tx: Tx, user_id: UUID) -> User | None:
    return tx.maybe(f"select {_USER} from identity.users where id = %(id)s", {"id": user_id}, row=User)


def account_by_email(tx: Tx, email: str) -> Account | None:
    return tx.maybe(
        f"select {_USER}, password_hash from identity.users where lower(email) = lower(%(email)s)",
        {"email": email},
        row=Account,
    )


def account_by_username(tx: Tx, username: str) -> Account | None:
    return tx.maybe(
        f"select {_USER}, password_hash from identity.users where lower(username) = lower(%(username)s)",
        {"username": username},
        row=Account,
    )


def add_user(tx: Tx, *, email: str, username: str, password_hash: str, timezone: str, now: datetime) -> UUID | None:
    """The new user's id; None when the address was registered at this very moment."""
    user_id: UUID | None = tx.value(
        """
        insert into identity.users (email, username, password_hash, timezone, created_at)
        select %(email)s, %(username)s, %(password_hash)s, %(timezone)s, %(now)s
        where now() at time zone %(timezone)s is not null
        on conflict (lower(email)) do nothing
        returning id
        """,
        {"email": email, "username": username, "password_hash": password_hash, "timezone": timezone, "now": now},
    )
    return user_id


def renew_pending_user(
    tx: Tx, user_id: UUID, *, username: str, password_hash: str, timezone: str, now: datetime
) -> None:
    """A registration that nobody confirmed in time gives way to a new one for the same address."""
    tx.run(
        """
        update identity.users
        set username = %(username)s, password_hash = %(password_hash)s, timezone = %(timezone)s, created_at = %(now)s
        where id = %(id)s and email_verified_at is null
        """,
        {"id": user_id, "username": username, "password_hash": password_hash, "timezone": timezone, "now": now},
    )


def verify_email(tx: Tx, user_id: UUID, now: datetime) -> User:
    return tx.one(
        f"""
        update identity.users set email_verified_at = coalesce(email_verified_at, %(now)s)
        where id = %(id)s returning {_USER}
        """,
        {"id": user_id, "now": now},
        row=User,
    )


def set_password_hash(tx: Tx, user_id: UUID, password_hash: str) -> None:
    tx.run(
        "update identity.users set password_hash = %(password_hash)s where id = %(id)s",
        {"id": user_id, "password_hash": password_hash},
    )


def void_mail_tokens(tx: Tx, user_id: UUID, purpose: str) -> None:
    tx.run(
        "delete from identity.mail_tokens where user_id = %(user_id)s and purpose = %(purpose)s",
        {"user_id": user_id, "purpose": purpose},
    )


def add_mail_token(tx: Tx, token_hash: bytes, user_id: UUID, purpose: str, now: datetime, expires: datetime) -> None:
    tx.run(
        """
        insert into identity.mail_tokens (hash, user_id, purpose, created_at, expires_at)
        values (%(hash)s, %(user_id)s, %(purpose)s, %(now)s, %(expires_at)s)
        """,
        {"hash": token_hash, "user_id": user_id, "purpose": purpose, "now": now, "expires_at": expires},
    )


def consume_mail_token(tx: Tx, token_hash: bytes, purpose: str, now: datetime) -> UUID | None:
    """Whose token this is, once; None when it is unknown, used or too old."""
    user_id: UUID | None = tx.value(
        """
        update identity.mail_tokens set consumed_at = %(now)s
        where hash = %(hash)s and purpose = %(purpose)s and consumed_at is null and expires_at > %(now)s
        returning user_id
        """,
        {"hash": token_hash, "purpose": purpose, "now": now},
    )
    return user_id


def add_session(tx: Tx, user_id: UUID, *, user_agent: str | None, ip: str | None, now: datetime) -> UUID:
    session_id: UUID = tx.value(
        """
        insert into identity.sessions (user_id, rotated_at, created_at, last_seen_at, user_agent, ip)
        values (%(user_id)s, %(now)s, %(now)s, %(now)s, %(user_agent)s, %(ip)s) returning id
        """,
        {"user_id": user_id, "now": now, "user_agent": user_agent, "ip": ip},
    )
    return session_id


def add_refresh_token(tx: Tx, token_hash: bytes, session_id: UUID, generation: int, expires_at: datetime) -> None:
    tx.run(
        """
        insert into identity.refresh_tokens (hash, session_id, generation, expires_at)
        values (%(hash)s, %(session_id)s, %(generation)s, %(expires_at)s)
        """,
        {"hash": token_hash, "session_id": session_id, "generation": generation, "expires_at": expires_at},
    )


def lock_refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """The token, with its session locked: two refreshes of one session take turns."""
    return tx.maybe(
        """
        select t.session_id, s.user_id, t.generation, t.expires_at, s.generation as newest, s.rotated_at, s.ended_at
        from identity.refresh_tokens t join identity.sessions s on s.id = t.session_id
        where t.hash = %(hash)s for update of s
        """,
        {"hash": token_hash},
        row=RefreshToken,
    )


def advance_session(tx: Tx, session_id: UUID, generation: int, now: datetime) -> None:
    tx.run(
        """
        update identity.sessions set generation = %(generation)s, rotated_at = %(now)s, last_seen_at = %(now)s
        where id = %(id)s
        """,
        {"id": session_id, "generation": generation, "now": now},
    )


def end_session(tx: Tx, session_id: UUID, reason: str, now: datetime) -> None:
    tx.run(
        """
        update identity.sessions set ended_at = %(now)s, ended_reason = %(reason)s
        where id = %(id)s and ended_at is null
        """,
        {"id": session_id, "reason": reason, "now": now},
    )


def publish_key(tx: Tx, kid: str, jwk: dict[str, Any]) -> None:
    tx.run(
        "insert into core.signing_keys (kid, jwk) values (%(kid)s, %(jwk)s) on conflict (kid) do nothing",
        {"kid": kid, "jwk": Jsonb(jwk)},
    )
