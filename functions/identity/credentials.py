"""The password and the email address of an account, and how they change.

A change invalidates what the old ones proved: links in mails, sign-ins that wait for a second factor and, after a
change of password, the sessions.
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
    """Raise `StepUpRequired` if the account has an authenticator app and the actor's session has no second factor:
    the session may be older than the app, and somebody else's.
    """
    if not tx.session.second_factor and second_factors.methods(tx, user_id):
        raise StepUpRequired


def check_current_password(tx: Tx, user_id: UUID, password: str, now: datetime) -> Account | None:
    """Lock and return the account if `password` is right. None otherwise, with an audit row: commit it, then refuse.

    Raises `PasswordLocked` while there is a wait after wrong ones.
    """
    account = users.lock_account(tx, user_id)
    if account is None:
        return None
    lockout.check_own(tx, account, now)
    if passwords.matches(account.password_hash, password):
        lockout.clear_own(tx, account)
        return account
    lockout.record_own_failure(tx, account, now)
    return None


def set_password(tx: Tx, account: Account, password: str, now: datetime, *, pointer: str, keep: UUID | None) -> None:
    """Set the password, end every session except `keep`, notify the owner. Raises `InvalidRequest` if it is weak.

    Sessions end last, so that one which a concurrent link or second factor starts is waited for, and ended as well.
    """
    passwords.check(password, username=account.username, email=account.email, pointer=pointer)
    users.set_password_hash(tx, account.id, passwords.make_hash(password))
    link_queries.delete_of_user(tx, account.id)
    second_factors.delete_pending_of_user(tx, account.id)
    ended = sessions.end_sessions(tx, account.id, "password_changed", now, keep=keep)
    lockout.unlock(tx, account)
    by = "link" if keep is None else "password"
    audit.record(tx, "password_changed", now, user_id=account.id, by=by, ended=ended)
    outbox.add(tx, "mail", {"template": "password_changed", "user_id": str(account.id), "values": {}})


def request_email_change(tx: Tx, account: Account, email: str, now: datetime) -> None:
    """Mail a confirmation link to the account's future address.

    If the address belongs to another account, its owner gets a notice without a link. The rows written are the same,
    so only the owner of the mailbox sees the difference.
    """
    token = links.create(tx, "email_change", str(account.id), email=email, user_id=account.id, now=now)
    other = users.account_by_email(tx, email)
    if other is None or other.id == account.id:
        to, template, values = email, "email_change", {"username": account.username, "token": token}
    else:
        to, template, values = other.email, "account_exists", {"username": other.username}
    audit.record(tx, "email_change_requested", now, user_id=account.id)
    outbox.add(tx, "mail", {"template": template, "to": to, "values": values})


def confirm_email_change(tx: Tx, token: str, now: datetime) -> None:
    """Set the account's address to the one its link was sent to, and notify the old address.

    Raises `TokenInvalid`. If another account has taken the address since, the constraint `users_email_key` fails.
    """
    link = links.consume(tx, "email_change", token, now)
    account = users.lock_account(tx, link.user_id)
    if account is None or account.deleted_at is not None:
        raise rules.TokenInvalid
    users.set_email(tx, account.id, link.email, now)
    link_queries.delete_of_user(tx, account.id)
    audit.record(tx, "email_changed", now, user_id=account.id)
    values = {"username": account.username}
    outbox.add(tx, "mail", {"template": "email_changed", "to": account.email, "values": values})
