"""Sessions: one family of refresh tokens each. A token is used once; a used one that comes back ends the family.

A session counts its rotations. A token of the newest generation rotates. Its parent is good for ten seconds more and
answers the very same child (it is derived, not drawn), so parallel tabs and lost answers end in one state and never
sign anyone out. Anything older is a copy: the family ends. The case a thief uses a copy within the ten seconds ends
at the next rotation, when one of the two comes too late. See RFC 9700, section 4.14.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally import audit, cookies, outbox
from chally.db import Tx
from chally.errors import SessionEnded
from identity import rules, tokens
from identity.keyring import Keyring
from identity.queries import sessions as queries
from identity.queries import users
from identity.queries.users import User
from identity.rules import Refresh


@dataclass(frozen=True, slots=True)
class Client:
    """To whom tokens are handed: a device as the person will recognise it, by cookies or not, by whose keys."""

    user_agent: str | None
    ip: str | None
    cookies: bool
    keyring: Keyring
    issuer: str


@dataclass(frozen=True, slots=True)
class Session:
    """A fresh pair of tokens, and whose it is. `csrf_token` goes with cookies."""

    access_token: str
    refresh_token: str
    csrf_token: str | None
    user: User


def start(tx: Tx, user: User, client: Client, now: datetime, *, second_factor: bool) -> Session:
    """Begin a session for a person who has proven who they are."""
    session_id = queries.add_session(
        tx, user.id, user_agent=client.user_agent, ip=client.ip, second_factor=second_factor, now=now
    )
    refresh_token = tokens.random()
    queries.add_refresh_token(tx, tokens.digest(refresh_token), session_id, 0, now + rules.REFRESH_LIFE)
    return _session(user, session_id, refresh_token, client, now)


def refresh(
    tx: Tx, refresh_token: str, client: Client, *, csrf_token: str | None, arrived: datetime, now: datetime
) -> Session | None:
    """The next pair of tokens. None when the token was a copy and the family has been ended: commit that, then refuse.

    What is in time is measured from when the request `arrived` at the gateway: parallel ones may wait for a cold start.
    Raises `RefreshInvalid` for unknown or expired tokens, `SessionEnded` where the session is over, `CsrfFailed` where
    a cookie's CSRF token is not the session's.
    """
    found = queries.lock_refresh_token(tx, tokens.digest(refresh_token))
    if found is None:
        raise rules.RefreshInvalid
    _check_csrf(csrf_token, found.session_id, client)
    if found.ended_at is not None:
        raise SessionEnded
    user = users.user(tx, found.user_id)
    if user is None:
        raise rules.RefreshInvalid
    if user.deleted_at is not None:
        raise SessionEnded
    verdict = rules.judge_refresh(
        generation=found.generation, newest=found.newest, rotated_at=found.rotated_at, now=arrived
    )
    if verdict is not Refresh.REPEAT and found.expires_at <= arrived:  # what it was good for in time is answered again
        raise rules.RefreshInvalid
    if verdict is Refresh.REUSED:
        queries.end_session(tx, found.session_id, "reuse", now)
        audit.record(tx, "refresh_token_reused", now, user_id=user.id, session_id=found.session_id)
        outbox.add(tx, "mail", {"template": "session_reuse", "user_id": str(user.id), "values": {}})
        return None
    child = client.keyring.child_of(refresh_token)
    if verdict is Refresh.ROTATE:
        generation = found.generation + 1
        queries.add_refresh_token(tx, tokens.digest(child), found.session_id, generation, now + rules.REFRESH_LIFE)
        queries.advance_session(tx, found.session_id, generation, now)
    return _session(user, found.session_id, child, client, now)


def end(tx: Tx, refresh_token: str, client: Client, *, csrf_token: str | None, everywhere: bool, now: datetime) -> None:
    """Sign out of the session that a refresh token belongs to, or of all. Of a token that is none of ours, nothing."""
    found = queries.session_of_token(tx, tokens.digest(refresh_token))
    if found is None:
        return
    _check_csrf(csrf_token, found.session_id, client)
    verdict = rules.judge_refresh(
        generation=found.generation, newest=found.newest, rotated_at=found.rotated_at, now=now
    )
    if verdict is Refresh.REUSED or found.expires_at <= now:
        everywhere = False  # a copy, or out of somebody's drawer: it has a say about its own session alone
    if everywhere and found.ended_at is None:
        queries.end_sessions(tx, found.user_id, "signed_out", now)
    queries.end_session(tx, found.session_id, "signed_out", now)
    action = "signed_out_everywhere" if everywhere else "signed_out"
    audit.record(tx, action, now, user_id=found.user_id, session_id=found.session_id)


def _check_csrf(csrf_token: str | None, session_id: UUID, client: Client) -> None:
    """`csrf_token` is None where no cookie authenticates."""
    if csrf_token is not None and csrf_token != client.keyring.csrf_token(session_id):
        raise cookies.CsrfFailed


def _session(user: User, session_id: UUID, refresh_token: str, client: Client, now: datetime) -> Session:
    csrf_token = client.keyring.csrf_token(session_id) if client.cookies else None
    access_token = client.keyring.access_token(
        issuer=client.issuer,
        user_id=user.id,
        session_id=session_id,
        csrf=cookies.digest(csrf_token) if csrf_token else None,
        now=now,
    )
    return Session(access_token, refresh_token, csrf_token, user)
