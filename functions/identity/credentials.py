"""What an account is signed in to by, its password and its address, and how they change.

Whatever proved something before proves nothing afterwards: links in mails are void, sign-ins that wait for a second
factor are over, and after a change of password so are the sessions.
"""

from datetime import datetime
from uuid import UUID

from chally import audit, outbox
from chally.actor import StepUpRequired
from chally.db import Tx
from identity import links, lockout, passwords, rules
from identity.queries import links as link_queries
from identity.queries import second_factors, sessions, users
from identity.queries.users import Account


def check_factor(tx: Tx, user_id: UUID) -> None:
    """Raise `StepUpRequired` where the account has an authenticator app, and the actor's session has passed no second
    factor: it may be older than the app, and in other hands.
    """
    if not tx.session.second_factor and second_factors.methods(tx, user_id):
        raise StepUpRequired


def prove(tx: Tx, user_id: UUID, password: str, now: datetime) -> Account | None:
    """The account, locked, if this is its password. None, and written down, if not: commit that, then refuse."""
    account = users.lock_account(tx, user_id)
    if account is None or passwords.matches(account.password_hash, password):
        return account
    audit.record(tx, "password_check_failed", now, user_id=user_id)
    return None


def set_password(tx: Tx, account: Account, password: str, now: datetime, *, pointer: str, keep: UUID | None) -> None:
    """Set a password, end every session but the one to keep, and tell the owner. Raises `InvalidRequest`.

    Sessions come last: what a link or a second factor starts meanwhile is waited for, and then ended.
    """
    passwords.check(password, username=account.username, email=account.email, pointer=pointer)
    users.set_password_hash(tx, account.id, passwords.make(password))
    link_queries.drop(tx, account.id)
    second_factors.drop_pending_of(tx, account.id)
    ended = sessions.end_sessions(tx, account.id, "password_changed", now, keep=keep)
    lockout.release(tx, account)
    by = "link" if keep is None else "password"
    audit.record(tx, "password_changed", now, user_id=account.id, by=by, ended=ended)
    outbox.add(tx, "mail", {"template": "password_changed", "user_id": str(account.id), "values": {}})


def ask_address(tx: Tx, account: Account, email: str, now: datetime) -> None:
    """Mail a link to an address that is to be the account's, in place of the one before.

    Another account's address gets other words and no link, with the same traces: only its owner sees the difference.
    """
    token = links.put(tx, "email_change", str(account.id), email=email, user_id=account.id, now=now)
    other = users.account_by_email(tx, email)
    if other is None or other.id == account.id:
        to, template, values = email, "email_change", {"username": account.username, "token": token}
    else:
        to, template, values = other.email, "account_exists", {"username": other.username}
    audit.record(tx, "email_change_requested", now, user_id=account.id)
    outbox.add(tx, "mail", {"template": template, "to": to, "values": values})


def confirm_address(tx: Tx, token: str, now: datetime) -> None:
    """Make the address that a link was sent to the account's, and tell the old one.

    Raises `TokenInvalid`; where another account took the address meanwhile the constraint `users_email_key` says so.
    """
    link = links.take(tx, "email_change", token, now)
    account = users.lock_account(tx, link.user_id)
    if account is None or account.deleted_at is not None:
        raise rules.TokenInvalid
    users.set_email(tx, account.id, link.email, now)
    link_queries.drop(tx, account.id)
    audit.record(tx, "email_changed", now, user_id=account.id)
    values = {"username": account.username}
    outbox.add(tx, "mail", {"template": "email_changed", "to": account.email, "values": values})
