"""Sessions: each is a family of refresh tokens. A token is single-use; reuse of an old one ends the session.

A session counts its rotations. A token of the newest generation rotates. Its parent stays valid for 10 s and returns
the very same child (which is derived, not random), so parallel tabs and lost responses converge and sign nobody out.
Any older token is a copy, and ends the session. If a thief uses a copy within the 10 s, the session ends at the next
rotation, when one of the two presents an old token. See RFC 9700, section 4.14.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally import audit, cookies, outbox
from chally.actor import Actor
from chally.db import Tx
from chally.errors import SessionEnded
from identity import rules, tokens
from identity.keyring import Keyring
from identity.queries import sessions as queries
from identity.queries import users
from identity.queries.users import User
from identity.rules import RefreshDecision


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """The client that gets tokens: its device as shown to the user, its transport (`cookies` or the body), and the
    keys and issuer of the tokens.
    """

    user_agent: str | None
    ip: str | None
    cookies: bool
    keyring: Keyring
    issuer: str


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, its refresh token, and the user. `csrf_token` is set with cookie transport."""

    access_token: str
    refresh_token: str
    csrf_token: str | None
    user: User


def start(tx: Tx, user: User, client: ClientInfo, now: datetime, *, second_factor: bool) -> TokenPair:
    """Start a session for an authenticated user."""
    session_id = queries.add_session(
        tx, user.id, user_agent=client.user_agent, ip=client.ip, second_factor=second_factor, now=now
    )
    refresh_token = tokens.random()
    queries.add_refresh_token(tx, tokens.digest(refresh_token), session_id, 0, now + rules.REFRESH_LIFE)
    return _session(user, session_id, refresh_token, client, now)


def refresh(
    tx: Tx, refresh_token: str, client: ClientInfo, *, csrf_token: str | None, arrived: datetime, now: datetime
) -> TokenPair | None:
    """Return the next pair of tokens. None if the token was a copy; the session has then been ended: commit, then
    refuse.

    Times count from when the request `arrived` at the gateway, because parallel requests may wait for a cold start.
    Raises `RefreshInvalid` for unknown and expired tokens, `SessionEnded` if the session is over, `CsrfFailed` if a
    cookie's CSRF token is not the session's.
    """
    found = queries.lock_refresh_token(tx, tokens.digest(refresh_token))
    if found is None:
        raise rules.RefreshInvalid
    _check_csrf(csrf_token, found.session_id, client)
    if found.ended_at is not None:
        raise SessionEnded
    user = users.existing_user(tx, found.user_id)
    if user.deleted_at is not None:
        raise SessionEnded
    decision = rules.decide_refresh(
        generation=found.generation, newest=found.newest, rotated_at=found.rotated_at, now=arrived
    )
    # a repeated request gets its response even if the token has expired since
    if decision is not RefreshDecision.REPEAT and found.expires_at <= arrived:
        raise rules.RefreshInvalid
    if decision is RefreshDecision.REUSED:
        queries.end_session(tx, found.session_id, "reuse", now)
        audit.record(tx, "refresh_token_reused", now, user_id=found.user_id, session_id=found.session_id)
        outbox.add(tx, "mail", {"template": "session_reuse", "user_id": str(found.user_id), "values": {}})
        return None
    child = client.keyring.child_of(refresh_token)
    if decision is RefreshDecision.ROTATE:
        generation = found.generation + 1
        queries.add_refresh_token(tx, tokens.digest(child), found.session_id, generation, now + rules.REFRESH_LIFE)
        queries.advance_session(tx, found.session_id, generation, now)
    return _session(user, found.session_id, child, client, now)


def end(
    tx: Tx, refresh_token: str, client: ClientInfo, *, csrf_token: str | None, everywhere: bool, now: datetime
) -> bool:
    """End the session of a refresh token, or all of its user's; False if the token is unknown."""
    found = queries.find_refresh_token(tx, tokens.digest(refresh_token))
    if found is None:
        return False
    _check_csrf(csrf_token, found.session_id, client)
    decision = rules.decide_refresh(
        generation=found.generation, newest=found.newest, rotated_at=found.rotated_at, now=now
    )
    if decision is RefreshDecision.REUSED or found.expires_at <= now:
        everywhere = False  # a copied or expired token may end its own session only
    if queries.end_session(tx, found.session_id, "signed_out", now):  # otherwise it had ended before
        if everywhere:
            queries.end_sessions(tx, found.user_id, "signed_out", now)
        _record_end(tx, found.user_id, found.session_id, everywhere, now)
    return True


def end_of_actor(tx: Tx, actor: Actor, *, everywhere: bool, now: datetime) -> None:
    """End the session of an access token, or all of its user's. One that has ended already ends no other."""
    if not queries.end_session(tx, actor.session_id, "signed_out", now):
        return
    if everywhere:
        queries.end_sessions(tx, actor.user_id, "signed_out", now)
    _record_end(tx, actor.user_id, actor.session_id, everywhere, now)


def _record_end(tx: Tx, user_id: UUID, session_id: UUID, everywhere: bool, now: datetime) -> None:
    action = "signed_out_everywhere" if everywhere else "signed_out"
    audit.record(tx, action, now, user_id=user_id, session_id=session_id)


def _check_csrf(csrf_token: str | None, session_id: UUID, client: ClientInfo) -> None:
    """Raise `CsrfFailed` for a wrong token. It is None if the request is not authenticated by a cookie."""
    if csrf_token is not None and csrf_token != client.keyring.csrf_token(session_id):
        raise cookies.CsrfFailed


def _session(user: User, session_id: UUID, refresh_token: str, client: ClientInfo, now: datetime) -> TokenPair:
    csrf_token = client.keyring.csrf_token(session_id) if client.cookies else None
    access_token = client.keyring.access_token(
        issuer=client.issuer,
        user_id=user.id,
        session_id=session_id,
        csrf=cookies.csrf_digest(csrf_token) if csrf_token else None,
        now=now,
    )
    return TokenPair(access_token, refresh_token, csrf_token, user)
