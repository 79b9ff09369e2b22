"""SQL of pending registrations. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration whose address is not confirmed yet."""

    token_hash: bytes
    email: str
    username: str
    password_hash: str
    timezone: str


_REGISTRATION = "token_hash, email, username, password_hash, timezone"


def username_is_taken(tx: Tx, username: str, email: str, now: datetime) -> bool:
    """Whether an account has the username, or a pending registration of another address requests it."""
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
    """Return the newest pending registration with this address or username."""
    return tx.maybe(
        f"""
        select {_REGISTRATION} from identity.registrations
        where (lower(email) = lower(%(login)s) or lower(username) = lower(%(login)s)) and expires_at > %(now)s
        order by created_at desc limit 1
        """,
        {"login": login, "now": now},
        row=Registration,
    )


def consume_registration(tx: Tx, token_hash: bytes, now: datetime) -> Registration | None:
    """Delete and return the registration of a link; None if it is unknown, used or expired."""
    return tx.maybe(
        f"""
        delete from identity.registrations where token_hash = %(token_hash)s and expires_at > %(now)s
        returning {_REGISTRATION}
        """,
        {"token_hash": token_hash, "now": now},
        row=Registration,
    )


def delete_registration(tx: Tx, token_hash: bytes) -> None:
    tx.run("delete from identity.registrations where token_hash = %(token_hash)s", {"token_hash": token_hash})


def delete_registrations(tx: Tx, email: str, now: datetime) -> None:
    """Delete the registrations of an address, and all expired ones."""
    tx.run(
        "delete from identity.registrations where lower(email) = lower(%(email)s) or expires_at <= %(now)s",
        {"email": email, "now": now},
    )


def delete_expired(tx: Tx, now: datetime) -> int:
    return tx.count("delete from identity.registrations where expires_at <= %(now)s", {"now": now})


def has_competing_registration(tx: Tx, registration: Registration, now: datetime) -> bool:
    """Whether another pending registration requests the same address and username."""
    return bool(
        tx.value(
            """
            select exists (
                select from identity.registrations
                where lower(email) = lower(%(email)s) and lower(username) = lower(%(username)s)
                  and expires_at > %(now)s
            )
            """,
            {"email": registration.email, "username": registration.username, "now": now},
        )
    )
