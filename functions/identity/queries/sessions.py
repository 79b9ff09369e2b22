"""SQL of sessions and refresh tokens. One function, one statement."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chally.db import Tx


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token and its session. `newest` is the generation of the session's newest token."""

    session_id: UUID
    user_id: UUID
    generation: int
    expires_at: datetime
    newest: int
    rotated_at: datetime
    ended_at: datetime | None


def add_session(
    tx: Tx, user_id: UUID, *, user_agent: str | None, ip: str | None, second_factor: bool, now: datetime
) -> UUID:
    session_id: UUID = tx.value(
        """
        insert into identity.sessions
            (user_id, rotated_at, created_at, last_seen_at, authenticated_at, second_factor, user_agent, ip)
        values (%(user_id)s, %(now)s, %(now)s, %(now)s, %(now)s, %(second_factor)s, %(user_agent)s, %(ip)s)
        returning id
        """,
        {"user_id": user_id, "now": now, "second_factor": second_factor, "user_agent": user_agent, "ip": ip},
    )
    return session_id


def add_refresh_token(tx: Tx, token_hash: bytes, session_id: UUID, generation: int, expires_at: datetime) -> None:
    tx.run(
        """
        insert into identity.refresh_tokens (hash, session_id, generation, expires_at)
        values (%(hash)s, %(session_id)s, %(generation)s, %(expires_at)s)
        """,
        {"hash": token_hash, "session_id": session_id, "generation": generation, "expires_at": expires_at},
    )


def lock_refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """Return a token and lock its session, so that concurrent refreshes of one session run one by one."""
    return tx.maybe(
        """
        select t.session_id, s.user_id, t.generation, t.expires_at, s.generation as newest, s.rotated_at, s.ended_at
        from identity.refresh_tokens t join identity.sessions s on s.id = t.session_id
        where t.hash = %(hash)s for update of s
        """,
        {"hash": token_hash},
        row=RefreshToken,
    )


def advance_session(tx: Tx, session_id: UUID, generation: int, now: datetime) -> None:
    tx.run(
        """
        update identity.sessions set generation = %(generation)s, rotated_at = %(now)s, last_seen_at = %(now)s
        where id = %(id)s
        """,
        {"id": session_id, "generation": generation, "now": now},
    )


def end_session(tx: Tx, session_id: UUID, reason: str, now: datetime) -> bool:
    """End a session; False if it had ended before."""
    ended = tx.count(
        """
        update identity.sessions set ended_at = %(now)s, ended_reason = %(reason)s
        where id = %(id)s and ended_at is null
        """,
        {"id": session_id, "reason": reason, "now": now},
    )
    return ended > 0


def find_refresh_token(tx: Tx, token_hash: bytes) -> RefreshToken | None:
    """Like `lock_refresh_token`, without the lock."""
    return tx.maybe(
        """
        select t.session_id, s.user_id, t.generation, t.expires_at, s.generation as newest, s.rotated_at, s.ended_at
        from identity.refresh_tokens t join identity.sessions s on s.id = t.session_id where t.hash = %(hash)s
        """,
        {"hash": token_hash},
        row=RefreshToken,
    )


def end_sessions(tx: Tx, user_id: UUID, reason: str, now: datetime, *, keep: UUID | None = None) -> int:
    """End all of a user's sessions except `keep`; returns how many."""
    return tx.count(
        """
        update identity.sessions set ended_at = %(now)s, ended_reason = %(reason)s
        where user_id = %(user_id)s and ended_at is null and id is distinct from %(keep)s
        """,
        {"user_id": user_id, "reason": reason, "now": now, "keep": keep},
    )


def authenticate_session(tx: Tx, session_id: UUID, *, second_factor: bool, now: datetime) -> None:
    """Record that the user authenticated again in this session."""
    tx.run(
        """
        update identity.sessions set authenticated_at = %(now)s, second_factor = second_factor or %(second_factor)s
        where id = %(id)s
        """,
        {"id": session_id, "second_factor": second_factor, "now": now},
    )


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as its user sees it."""

    id: UUID
    user_agent: str | None
    ip: str | None
    created_at: datetime
    last_seen_at: datetime
    ended_at: datetime | None
    ended_reason: str | None


def list_page(tx: Tx, user_id: UUID, *, limit: int, offset: int, now: datetime) -> list[SessionRow]:
    """Return a page of a user's sessions: live ones first, then newest first. A session whose tokens have all expired
    counts as ended.
    """
    return tx.all(
        """
        select id, user_agent, host(ip) as ip, created_at, last_seen_at,
            coalesce(ended_at, case when expires_at <= %(now)s then expires_at end) as ended_at,
            coalesce(ended_reason, case when expires_at <= %(now)s then 'expired' end) as ended_reason
        from identity.sessions s cross join lateral (
            select t.expires_at from identity.refresh_tokens t where t.session_id = s.id
            order by t.generation desc limit 1
        ) newest
        where user_id = %(user_id)s
        order by (ended_at is not null or expires_at <= %(now)s), s.id desc limit %(limit)s offset %(offset)s
        """,
        {"user_id": user_id, "limit": limit, "offset": offset, "now": now},
        row=SessionRow,
    )


def belongs_to(tx: Tx, session_id: UUID, user_id: UUID) -> bool:
    return bool(
        tx.value(
            "select exists (select from identity.sessions where id = %(id)s and user_id = %(user_id)s)",
            {"id": session_id, "user_id": user_id},
        )
    )


def is_known_network(tx: Tx, user_id: UUID | None, network: str, since: datetime) -> bool:
    """Whether a session of the account was started from this network after `since`."""
    return bool(
        tx.value(
            "select exists (select from identity.sessions"
            " where user_id = %(user_id)s and ip <<= %(network)s::cidr and created_at > %(since)s)",
            {"user_id": user_id, "network": network, "since": since},
        )
    )


def delete_expired_tokens(tx: Tx, now: datetime, limit: int) -> int:
    """Delete expired refresh tokens, except the newest of each session: it tells when the session expired."""
    return tx.count(
        """
        delete from identity.refresh_tokens where hash in (
            select t.hash from identity.refresh_tokens t join identity.sessions s on s.id = t.session_id
            where t.expires_at <= %(now)s and t.generation < s.generation order by t.expires_at limit %(limit)s
        )
        """,
        {"now": now, "limit": limit},
    )


def delete_ended(tx: Tx, before: datetime, *, life: timedelta, limit: int) -> int:
    """Delete sessions that ended before an instant, with their tokens. A session unused for `life` has ended."""
    return tx.count(
        """
        delete from identity.sessions where id in (
            select id from identity.sessions
            where coalesce(ended_at, rotated_at + %(life)s) <= %(before)s limit %(limit)s
        )
        """,
        {"before": before, "life": life, "limit": limit},
    )
