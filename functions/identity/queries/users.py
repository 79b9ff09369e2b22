"""SQL of accounts. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID

from chally.db import Tx
from identity.queries.registrations import Registration


@dataclass(frozen=True, slots=True)
class User:
    id: UUID
    email: str
    username: str
    timezone: str
    role: str
    email_verified_at: datetime | None
    created_at: datetime
    wants_reminders: bool
    quiet_from: time | None
    quiet_to: time | None
    deleted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Account(User):
    """A user with the fields that only sign-in may see."""

    password_hash: str


_USER = (
    "id, email, username, timezone, role, email_verified_at, created_at, wants_reminders, quiet_from, quiet_to,"
    " deleted_at"
)


def user(tx: Tx, user_id: UUID) -> User | None:
    return tx.maybe(f"select {_USER} from identity.users where id = %(id)s", {"id": user_id}, row=User)


def existing_user(tx: Tx, user_id: UUID) -> User:
    """Return a user to whom a foreign key refers."""
    return tx.one(f"select {_USER} from identity.users where id = %(id)s", {"id": user_id}, row=User)


def account_by_email(tx: Tx, email: str) -> Account | None:
    return _account_or_none(
        tx.one(
            f"select {_USER}, password_hash from {_USER_OR_NULLS}"
            " on lower(email) = lower(%(email)s) and purged_at is null",
            {"email": email},
            row=Account,
        )
    )


def account_by_username(tx: Tx, username: str) -> Account | None:
    return _account_or_none(
        tx.one(
            f"select {_USER}, password_hash from {_USER_OR_NULLS} on lower(username) = lower(%(username)s)",
            {"username": username},
            row=Account,
        )
    )


def find_account(tx: Tx, login: str) -> Account | None:
    """Return the account with this address or username."""
    return account_by_email(tx, login) if "@" in login else account_by_username(tx, login)


# Always returns one row, of nulls if there is no account: no row would be faster, and so reveal that there is none.
_USER_OR_NULLS = "(select) as one_row left join identity.users"


def _account_or_none(found: Account) -> Account | None:
    return found if found.id else None


def add_user(tx: Tx, registration: Registration, now: datetime) -> User | None:
    """Insert the account of a confirmed registration; None if the address has an account already."""
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


def set_password_hash(tx: Tx, user_id: UUID, password_hash: str) -> None:
    tx.run(
        "update identity.users set password_hash = %(password_hash)s where id = %(id)s",
        {"id": user_id, "password_hash": password_hash},
    )


def lock_account(tx: Tx, user_id: UUID) -> Account | None:
    """Lock and return the account, so that its password cannot change until the transaction ends."""
    return tx.maybe(
        f"select {_USER}, password_hash from identity.users where id = %(id)s for no key update",
        {"id": user_id},
        row=Account,
    )


def set_email(tx: Tx, user_id: UUID, email: str, now: datetime) -> None:
    tx.run(
        "update identity.users set email = %(email)s, email_verified_at = %(now)s where id = %(id)s",
        {"id": user_id, "email": email, "now": now},
    )


def stop_reminders(tx: Tx, user_id: UUID) -> bool:
    """Whether they were on."""
    sql = "update identity.users set wants_reminders = false where id = %(id)s and wants_reminders"
    return tx.count(sql, {"id": user_id}) > 0


def update(
    tx: Tx,
    user_id: UUID,
    *,
    username: str | None,
    timezone: str | None,
    wants_reminders: bool | None,
    quiet_hours: tuple[str, str] | None,
    sets_quiet_hours: bool,
    now: datetime,
) -> User | None:
    """Update the given fields and return the account. If the username is taken, `users_username_key` fails.

    `quiet_hours` are from and to, such as 22:00, in the account's zone. They are set, or cleared if None, only if
    `sets_quiet_hours`.
    """
    quiet_from, quiet_to = quiet_hours or (None, None)
    return tx.maybe(
        f"""
        update identity.users set
            username = coalesce(%(username)s, username), timezone = coalesce(%(timezone)s, timezone),
            wants_reminders = coalesce(%(wants_reminders)s, wants_reminders),
            quiet_from = case when %(sets_quiet_hours)s then %(quiet_from)s::time else quiet_from end,
            quiet_to = case when %(sets_quiet_hours)s then %(quiet_to)s::time else quiet_to end,
            quiet_since = case when timezone <> %(timezone)s or %(sets_quiet_hours)s
                and (quiet_from, quiet_to) is distinct from (%(quiet_from)s::time, %(quiet_to)s::time)
                then %(now)s else quiet_since end
        where id = %(id)s returning {_USER}
        """,
        {
            "id": user_id,
            "username": username,
            "timezone": timezone,
            "wants_reminders": wants_reminders,
            "quiet_from": quiet_from,
            "quiet_to": quiet_to,
            "sets_quiet_hours": sets_quiet_hours,
            "now": now,
        },
        row=User,
    )


def set_deleted(tx: Tx, user_id: UUID, deleted_at: datetime | None) -> bool:
    """Mark the account as deleted, or restore it (None); False if it is purged."""
    changed = tx.count(
        "update identity.users set deleted_at = %(deleted_at)s where id = %(id)s and purged_at is null",
        {"id": user_id, "deleted_at": deleted_at},
    )
    return changed > 0


def bcrypt_cost(tx: Tx) -> int | None:
    """Return the cost of the imported bcrypt hashes, as a power of two; None if no account has one."""
    cost: int | None = tx.value(
        "select substring(password_hash from '[$]([0-9]{2})[$]')::integer from identity.users"
        " where password_hash like '$2%%' limit 1",
        {},
    )
    return cost
