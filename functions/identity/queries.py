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


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody asked for, and has not confirmed."""

    token_hash: bytes
    email: str
    username: str
    password_hash: str
    timezone: str


_REGISTRATION = "token_hash, email, username, password_hash, timezone"
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


def add_user(tx: Tx, registration: Registration, now: datetime) -> User | None:
    """The account that a registration asked for, its address confirmed; None when the address has one already."""
    return tx.maybe(
        f"""
        insert into identity.users (email, username, password_hash, timezone, email_verified_at, created_at)
        values (%(email)s, %(username)s, %(password_hash)s, %(timezone)s, %(now)s, %(now)s)
        on conflict (lower(email)) do nothing
        returning {_USER}
        """,
        {
            "email": registration.email,
            "username": registration.username,
            "password_hash": registration.password_hash,
            "timezone": registration.timezone,
            "now": now,
        },
        row=User,
    )


def username_is_taken(tx: Tx, username: str, email: str, now: datetime) -> bool:
    """Whether somebody has the name, or another address has lately asked for it."""
    return bool(
        tx.value(
            """
            select exists (select from identity.users where lower(username) = lower(%(username)s))
                or exists (
                    select from identity.registrations
                    where lower(username) = lower(%(username)s) and lower(email) <> lower(%(email)s)
                      and expires_at > %(now)s
                )
            """,
            {"username": username, "email": email, "now": now},
        )
    )


def add_registration(
    tx: Tx,
    token_hash: bytes,
    *,
    email: str,
    username: str,
    password_hash: str,
    timezone: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    tx.run(
        """
        insert into identity.registrations
            (token_hash, email, username, password_hash, timezone, created_at, expires_at)
        values (%(token_hash)s, %(email)s, %(username)s, %(password_hash)s, %(timezone)s, %(now)s, %(expires_at)s)
        """,
        {
            "token_hash": token_hash,
            "email": email,
            "username": username,
            "password_hash": password_hash,
            "timezone": timezone,
            "now": now,
            "expires_at": expires_at,
        },
    )


def latest_registration(tx: Tx, login: str, now: datetime) -> Registration | None:
    """The newest unconfirmed registration with this address or username."""
    return tx.maybe(
        f"""
        select {_REGISTRATION} from identity.registrations
        where (lower(email) = lower(%(login)s) or lower(username) = lower(%(login)s)) and expires_at > %(now)s
        order by created_at desc limit 1
        """,
        {"login": login, "now": now},
        row=Registration,
    )


def take_registration(tx: Tx, token_hash: bytes, now: datetime) -> Registration | None:
    """The registration behind a link, once; None when it is unknown, used or too old."""
    return tx.maybe(
        f"""
        delete from identity.registrations where token_hash = %(token_hash)s and expires_at > %(now)s
        returning {_REGISTRATION}
        """,
        {"token_hash": token_hash, "now": now},
        row=Registration,
    )


def drop_registration(tx: Tx, token_hash: bytes) -> None:
    tx.run("delete from identity.registrations where token_hash = %(token_hash)s", {"token_hash": token_hash})


def drop_registrations(tx: Tx, email: str, now: datetime) -> None:
    """Those of an address that has an account now, and whatever has lapsed."""
    tx.run(
        "delete from identity.registrations where lower(email) = lower(%(email)s) or expires_at <= %(now)s",
        {"email": email, "now": now},
    )


def set_password_hash(tx: Tx, user_id: UUID, password_hash: str) -> None:
    tx.run(
        "update identity.users set password_hash = %(password_hash)s where id = %(id)s",
        {"id": user_id, "password_hash": password_hash},
    )


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
