"""Links in mails: a single-use token, stored as a hash and valid for 15 minutes. A newer link invalidates the older.

A request for a link writes the same rows and one message whether or not the address has an account; without one, the
message is never sent. So neither the response nor its timing tells whether there is an account.
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


def send(
    tx: Tx, purpose: Purpose, *, email: str, account: User | None, now: datetime, template: str | None = None
) -> None:
    """Mail a link to the owner of `account`, whose address is `email`. Without an account no mail leaves.

    `template`: of the mail, if it is not that of the purpose.
    """
    receiver = account.id if account else uuid4()  # the id of no account: the mailer drops the message
    token = create(tx, purpose, email.lower(), email=email, user_id=receiver, now=now)
    if account is not None and account.deleted_at is not None:
        # the mailer finds no deleted accounts by id, and a link is how to restore one
        to, values = {"to": account.email}, {"username": account.username, "token": token}
    else:
        to, values = {"user_id": str(receiver)}, {"token": token}
    outbox.add(tx, "mail", {"template": template or purpose, "values": values, **to})


def create(tx: Tx, purpose: Purpose, subject: str, *, email: str, user_id: UUID, now: datetime) -> str:
    """Create a link and return its token. It replaces an older link with the same purpose and subject."""
    token = tokens.random()
    queries.upsert(
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


def consume(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Link:
    """Use up a link and return it. Raises `TokenInvalid`."""
    link = queries.consume(tx, purpose, tokens.digest(token), now)
    if link is None:
        raise rules.TokenInvalid
    return link


def consume_for_account(tx: Tx, purpose: Purpose, token: str, now: datetime) -> Account:
    """Use up a link and return its account. Raises `TokenInvalid`, also if the account's address has changed since."""
    link = consume(tx, purpose, token, now)
    account = users.account_by_email(tx, link.email)
    if account is None or account.id != link.user_id:
        raise rules.TokenInvalid
    return account
