"""Registration, and the mail that confirms it. It never reveals whether an address has an account.

A registration becomes an account when its own link is followed: a link confirms exactly the data it was requested with.
Anyone can register an address, with a name like the one that its owner chose. So while an address has several pending
registrations with different passwords, no password counts: the mails say so, and the owner sets one through a link.
A registration writes the same rows for a known address as for a new one; only the owner of the mailbox sees the
difference.
"""

from dataclasses import dataclass
from datetime import datetime

from chally import outbox
from chally.db import Tx
from identity import links, passwords, rules, tokens, usernames
from identity.queries import registrations as queries
from identity.queries import users
from identity.queries.users import User


def register(tx: Tx, *, email: str, username: str, password: str, timezone: str, now: datetime) -> None:
    """Store a pending registration and mail its link; a known address gets a notice instead. Safe to repeat.

    `password` has passed the strength check. Raises `UsernameTaken`. Every path hashes once, verifies once and writes
    one row and one mail, so that all take the same time.
    """
    password_hash = passwords.make_hash(password)
    former = queries.latest_registration(tx, email, now)
    same_password = passwords.matches(former.password_hash if former else passwords.DUMMY_HASH, password)
    if queries.username_is_taken(tx, username, email, now):
        raise rules.UsernameTaken(f"This username is taken. {usernames.suggest(tx, username, now)} is free.")
    if former is not None and same_password:  # a repeated request, by the same person: only the newest link is valid
        queries.delete_registration(tx, former.token_hash)
    others = queries.names_of_address(tx, email, now)
    token = tokens.random()
    queries.add_registration(
        tx,
        tokens.digest(token),
        email=email,
        username=username,
        password_hash=password_hash,
        timezone=timezone,
        now=now,
        expires_at=now + rules.MAIL_TOKEN_LIFE,
    )
    account = users.account_by_email(tx, email)
    if account is None:
        values, template, to = {"username": username, "token": token}, "verify_email", email
        if others:
            values["names"] = " and ".join(sorted({*others, username}))
    else:
        values, template, to = {"username": account.username}, "account_exists", account.email
    outbox.add(tx, "mail", {"template": template, "to": to, "values": values})


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A new account, and whether its password is set: if not, a mail with a link for setting one is on its way."""

    user: User
    has_password: bool


def confirm(tx: Tx, token: str, now: datetime) -> Confirmed:
    """Create the account. Raises `TokenInvalid`, or `UsernameTaken` if somebody else was faster."""
    registration = queries.consume_registration(tx, tokens.digest(token), now)
    if registration is None:
        raise rules.TokenInvalid
    user = users.add_user(tx, registration, now)
    if user is None:  # another registration of the address was confirmed before
        raise rules.TokenInvalid
    contested = bool(queries.names_of_address(tx, registration.email, now))
    if contested:  # a stranger may have caused the mail whose link was followed
        users.set_password_hash(tx, user.id, passwords.make_hash(tokens.random()))
        links.send(tx, "password_reset", email=user.email, account=user, now=now, template="password_unset")
    queries.delete_registrations(tx, registration.email, now)
    return Confirmed(user, has_password=not contested)


def is_pending(tx: Tx, login: str, password: str, now: datetime) -> bool:
    """Whether these are the credentials of an unconfirmed registration. Always verifies one hash, for equal timing."""
    former = queries.latest_registration(tx, login, now)
    return passwords.matches(former.password_hash if former else passwords.DUMMY_HASH, password) and former is not None
