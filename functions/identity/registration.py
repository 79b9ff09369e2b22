"""Registration, and the mail that confirms an address. Nobody learns here whether an address has an account."""

from datetime import datetime
from uuid import UUID

from chally import outbox
from chally.db import Tx
from identity import passwords, queries, rules, tokens
from identity.queries import Account, User

VERIFY = "verify_email"


def register(tx: Tx, *, email: str, username: str, password: str, timezone: str, now: datetime) -> None:
    """Make an unconfirmed account and send its mail; to a known address go other words. Safe to repeat.

    `password` is normalised and checked. Every path hashes once, verifies once and writes one mail, so that they take
    the same time. Raises `UsernameTaken`; not where the very same registration comes again, which the password shows.
    """
    password_hash = passwords.make(password)
    known = queries.account_by_email(tx, email)
    pending = known if known is not None and known.email_verified_at is None else None
    same = passwords.matches(pending.password_hash if pending else passwords.NOBODY, password)
    named = queries.account_by_username(tx, username)
    if named is not None and not (pending and named.id == pending.id and (same or _lapsed(pending, now))):
        raise rules.UsernameTaken
    if known is None:
        user_id = queries.add_user(
            tx, email=email, username=username, password_hash=password_hash, timezone=timezone, now=now
        )
        if user_id is not None:  # otherwise the same registration ran at this very moment, and sends the mail
            _send_link(tx, user_id, email, username, now)
        return
    if pending is None:
        _mail(tx, "account_exists", known.email, {"username": known.username})
        return
    if not _lapsed(pending, now) or same:
        _send_link(tx, pending.id, pending.email, pending.username, now)
    else:
        queries.renew_pending_user(
            tx, pending.id, username=username, password_hash=password_hash, timezone=timezone, now=now
        )
        _send_link(tx, pending.id, pending.email, username, now)


def confirm(tx: Tx, token: str, now: datetime) -> User:
    """The person whose address is hereby confirmed. Raises `TokenInvalid`."""
    user_id = queries.consume_mail_token(tx, tokens.digest(token), VERIFY, now)
    if user_id is None:
        raise rules.TokenInvalid
    return queries.verify_email(tx, user_id, now)


def _lapsed(pending: Account, now: datetime) -> bool:
    return now - pending.created_at > rules.MAIL_TOKEN_LIFE


def _send_link(tx: Tx, user_id: UUID, email: str, username: str, now: datetime) -> None:
    token = tokens.random()
    queries.void_mail_tokens(tx, user_id, VERIFY)
    queries.add_mail_token(tx, tokens.digest(token), user_id, VERIFY, now, now + rules.MAIL_TOKEN_LIFE)
    _mail(tx, VERIFY, email, {"username": username, "token": token})


def _mail(tx: Tx, template: str, to: str, values: dict[str, str]) -> None:
    outbox.add(tx, "mail", {"template": template, "to": to, "values": values})
