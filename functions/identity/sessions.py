"""Sessions: one family of refresh tokens each. A token is used once; a used one that comes back ends the family.

A session counts its rotations. A token of the newest generation rotates. Its parent is good for ten seconds more and
answers the very same child (it is derived, not drawn), so parallel tabs and lost answers end in one state and never
sign anyone out. Anything older is a copy: the family ends. The case a thief uses a copy within the ten seconds ends
at the next rotation, when one of the two comes too late. See RFC 9700, section 4.14.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chally.db import Tx
from identity import queries, rules, tokens
from identity.queries import User
from identity.rules import Refresh


@dataclass(frozen=True, slots=True)
class Device:
    """From where a session is used, as the person will recognise it."""

    user_agent: str | None
    ip: str | None


@dataclass(frozen=True, slots=True)
class Session:
    """A fresh pair of tokens, and whose it is."""

    access_token: str
    refresh_token: str
    user: User


def start(tx: Tx, user: User, *, device: Device, signer: tokens.Signer, issuer: str, now: datetime) -> Session:
    """Begin a session for a person who has proven who they are."""
    session_id = queries.add_session(tx, user.id, user_agent=device.user_agent, ip=device.ip, now=now)
    refresh_token = tokens.random()
    queries.add_refresh_token(tx, tokens.digest(refresh_token), session_id, 0, now + rules.REFRESH_LIFE)
    return _session(user, session_id, refresh_token, signer, issuer, now)


def refresh(
    tx: Tx, refresh_token: str, *, signer: tokens.Signer, issuer: str, arrived: datetime, now: datetime
) -> Session | None:
    """The next pair of tokens. None when the token was a copy and the family has been ended: commit that, then refuse.

    The grace is measured from when the request `arrived` at the gateway: parallel ones may wait for a cold start.
    Raises `RefreshInvalid` for unknown or expired tokens, `SessionEnded` where the session is over.
    """
    found = queries.lock_refresh_token(tx, tokens.digest(refresh_token))
    if found is None or found.expires_at <= now:
        raise rules.RefreshInvalid
    if found.ended_at is not None:
        raise rules.SessionEnded
    verdict = rules.judge_refresh(
        generation=found.generation, newest=found.newest, rotated_at=found.rotated_at, now=arrived
    )
    if verdict is Refresh.REUSED:
        queries.end_session(tx, found.session_id, "reuse", now)
        return None
    child = signer.child_of(refresh_token)
    if verdict is Refresh.ROTATE:
        generation = found.generation + 1
        queries.add_refresh_token(tx, tokens.digest(child), found.session_id, generation, now + rules.REFRESH_LIFE)
        queries.advance_session(tx, found.session_id, generation, now)
    user = queries.user(tx, found.user_id)
    if user is None:
        raise rules.RefreshInvalid
    return _session(user, found.session_id, child, signer, issuer, now)


def _session(
    user: User, session_id: UUID, refresh_token: str, signer: tokens.Signer, issuer: str, now: datetime
) -> Session:
    access_token = signer.access_token(issuer=issuer, user_id=user.id, session_id=session_id, role=user.role, now=now)
    return Session(access_token, refresh_token, user)
