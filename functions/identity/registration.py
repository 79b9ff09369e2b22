"""Registration, and the mail that confirms it. Nobody learns here whether an address has an account.

Nothing becomes an account before its own link is followed: what a link confirms is what was asked for with it. Asking
leaves the same traces for a known address as for a new one, and only the owner of the mailbox sees the difference.
"""

from datetime import datetime

from chally import outbox
from chally.db import Tx
from identity import links, passwords, rules, tokens
from identity.queries import registrations as queries
from identity.queries import users
from identity.queries.users import User


def register(tx: Tx, *, email: str, username: str, password: str, timezone: str, now: datetime) -> None:
    """Keep the wish for an account, and send its mail; to a known address go other words. Safe to repeat.

    `password` was checked. Raises `UsernameTaken`. Every path hashes once, verifies once and writes one
    row and one mail, so that they take the same time.
    """
    password_hash = passwords.make(password)
    former = queries.latest_registration(tx, email, now)
    same_password = passwords.matches(former.password_hash if former else passwords.NOBODY, password)
    if queries.username_is_taken(tx, username, email, now):
        raise rules.UsernameTaken
    if former is not None and same_password and former.username == username:
        queries.drop_registration(tx, former.token_hash)  # sent again: of one wish only the newest link is good
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
    else:
        values, template, to = {"username": account.username}, "account_exists", account.email
    outbox.add(tx, "mail", {"template": template, "to": to, "values": values})


def confirm(tx: Tx, token: str, now: datetime) -> User:
    """The account that is hereby made. Raises `TokenInvalid`, or `UsernameTaken` where another was quicker."""
    registration = queries.take_registration(tx, tokens.digest(token), now)
    if registration is None:
        raise rules.TokenInvalid
    user = users.add_user(tx, registration, now)
    if user is None:  # the address has an account by another of its links
        raise rules.TokenInvalid
    if queries.has_rival(tx, registration, now):
        # two mails that read alike, and one may be a stranger's: neither password counts, the owner sets one by mail
        users.set_password_hash(tx, user.id, passwords.make(tokens.random()))
        links.send(tx, "password_reset", email=user.email, account=user, now=now)
    queries.drop_registrations(tx, registration.email, now)
    return user


def is_pending(tx: Tx, login: str, password: str, now: datetime) -> bool:
    """Whether these are the credentials of a registration that waits for its confirmation. Always verifies one hash."""
    former = queries.latest_registration(tx, login, now)
    return passwords.matches(former.password_hash if former else passwords.NOBODY, password) and former is not None
