"""SQL of pending registrations. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

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


def username_is_anothers(tx: Tx, username: str, user_id: UUID, now: datetime) -> bool:
    """Whether another account than the user's has the username, or a pending registration requests it."""
    return bool(
        tx.value(
            """
            select exists (
                    select from identity.users where lower(username) = lower(%(username)s) and id <> %(user_id)s
                )
                or exists (
                    select from identity.registrations
                    where lower(username) = lower(%(username)s) and expires_at > %(now)s
                )
            """,
            {"username": username, "user_id": user_id, "now": now},
        )
    )


def first_free_username(tx: Tx, names: Sequence[str], now: datetime) -> str:
    """Return the first of these names that neither an account nor a pending registration has; the last one if none."""
    free: str | None = tx.value(
        """
        select name from unnest(%(names)s::text[]) with ordinality as wanted (name, place)
        where not exists (select from identity.users u where lower(u.username) = lower(wanted.name))
          and not exists (
              select from identity.registrations r
              where lower(r.username) = lower(wanted.name) and r.expires_at > %(now)s
          )
        order by place limit 1
        """,
        {"names": list(names), "now": now},
    )
    return free or names[-1]


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


def names_of_address(tx: Tx, email: str, now: datetime) -> list[str]:
    """Return the usernames that pending registrations of an address request, in alphabetical order."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(username order by username), '{}') from identity.registrations
            where lower(email) = lower(%(email)s) and expires_at > %(now)s
            """,
            {"email": email, "now": now},
        )
    )
