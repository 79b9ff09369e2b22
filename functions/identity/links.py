"""Links in mails: a hashed token, good once and for 15 minutes. A newer link makes the older one void.

Whether or not the address has an account, asking for a link writes the same rows and one message; to an address
without one the message is never sent. So neither the answer nor its time tells whether there is an account.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID, uuid4

from chally import audit, outbox
from chally.db import Tx
from identity import rules, tokens
from identity.queries import links as queries
from identity.queries import users
from identity.queries.links import Link, Purpose
from identity.queries.users import Account, User


def request(tx: Tx, purpose: Literal["magic_link", "password_reset"], email: str, now: datetime) -> None:
    """Mail a link to the owner of an address, if there is one."""
    account = users.account_by_email(tx, email)
    audit.record(tx, f"{purpose}_requested", now, user_id=account.id if account else None)
    send(tx, purpose, email=email, account=account, now=now)


def send(tx: Tx, purpose: Purpose, *, email: str, account: User | None, now: datetime) -> None:
    """Mail a link to the owner of `account`, whose address is `email`; nothing leaves where there is no account."""
    receiver = account.id if account else uuid4()  # nobody's
    token = put(tx, purpose, email.lower(), email=email, user_id=receiver, now=now)
    if account is not None and account.deleted_at is not None:
        # the mailer finds nobody who has left, and a link is how they come back
        to, values = {"to": account.email}, {"username": account.username, "token": token}
    else:
        to, values = {"user_id": str(receiver)}, {"token": token}
    outbox.add(tx, "mail", {"template": purpose, "values": values, **to})


def put(tx: Tx, purpose: Purpose, subject: str, *, email: str, user_id: UUID, now: datetime) -> str:
    """Make a link that takes the place of an older one of the same purpose and subject; answers its token."""
    token = tokens.random()
    queries.put(
        tx,
        purpose,
        subject,
        token_hash=tokens.digest(token),
        user_id=user_id,
        email=email,
        now=now,
        expires_at=now + rules.MAIL_TOKEN_LIFE,
    )
    return token


def take(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Link:
    """What a link was sent for, once. Raises `TokenInvalid`."""
    link = queries.take(tx, purpose, tokens.digest(token), now)
    if link is None:
        raise rules.TokenInvalid
    return link


def follow(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Account:
    """The account that a link was sent to, once. Raises `TokenInvalid`, also where its address has changed since."""
    link = take(tx, purpose, token, now)
    account = users.account_by_email(tx, link.email)
    if account is None or account.id != link.user_id:
        raise rules.TokenInvalid
    return account
