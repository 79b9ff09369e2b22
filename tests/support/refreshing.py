"""Ways to refresh a session on a real Postgres: one after the other, concurrently, or over HTTP."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import psycopg

from chally import db
from chally.actor import Actor
from chally.db import Tx
from chally.errors import AppError, SessionEnded
from identity import sessions, tokens
from identity.queries import users
from identity.routes import handler
from tests.support import api
from tests.support.database import Database

THREADS = 4
START = datetime(2027, 3, 27, 12, tzinfo=UTC)  # a clock change lies within what follows


@dataclass(frozen=True)
class Request:
    """One refresh: its token, when it reached the gateway, and when the function handles it."""

    token: str
    arrived: datetime
    now: datetime


class System(Protocol):
    """How requests reach the real functions. A result is the next refresh token or an error code."""

    def refresh(self, requests: list[Request]) -> list[str]: ...

    def log_out(self, token: str, now: datetime) -> None: ...


class Direct:
    """One transaction per request, one after the other."""

    def __init__(self, client: sessions.ClientInfo) -> None:
        self.client = client

    def refresh(self, requests: list[Request]) -> list[str]:
        return [self._refresh(request) for request in requests]

    def _refresh(self, request: Request) -> str:
        try:
            with db.as_system("tests") as tx:
                return self._next(tx, request)
        except AppError as error:
            return error.code

    def _next(self, tx: Tx, request: Request) -> str:
        session = sessions.refresh(
            tx, request.token, self.client, csrf_token=None, arrived=request.arrived, now=request.now
        )
        return session.refresh_token if session else "refresh_reused"

    def log_out(self, token: str, now: datetime) -> None:
        with db.as_system("tests") as tx:
            sessions.end(tx, token, self.client, csrf_token=None, everywhere=False, now=now)


class Parallel(Direct):
    """Requests that arrive together run concurrently on separate connections, as in separate environments."""

    def __init__(self, client: sessions.ClientInfo, url: str, threads: ThreadPoolExecutor) -> None:
        super().__init__(client)
        self.threads = threads
        self.connections = [psycopg.connect(url, autocommit=True, prepare_threshold=None) for _ in range(THREADS)]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()

    def refresh(self, requests: list[Request]) -> list[str]:
        if len(requests) == 1:
            return super().refresh(requests)
        assert len(requests) <= THREADS
        return list(self.threads.map(self._at_once, self.connections, requests))

    def _at_once(self, connection: psycopg.Connection[Any], request: Request) -> str:
        try:
            with connection.transaction():
                tx = Tx(connection, None)
                tx.identify(read_only=False, reason="tests")
                return self._next(tx, request)
        except AppError as error:
            return error.code


class Http:
    """Through the HTTP handler."""

    def __init__(self, set_clock: Callable[[datetime], None]) -> None:
        self.set_clock = set_clock

    def refresh(self, requests: list[Request]) -> list[str]:
        return [self._refresh(request) for request in requests]

    def _refresh(self, request: Request) -> str:
        self.set_clock(request.now)
        event = api.request_event("POST", "/v1/auth/refresh", {})
        event["requestContext"]["timeEpoch"] = int(request.arrived.timestamp() * 1000)
        event["headers"]["content-type"] = "application/json"
        event["body"] = json.dumps({"refresh_token": request.token})
        answer = api.read_response(handler(event, api.LambdaContext()))
        return str(answer.json["refresh_token"]) if answer.status == 200 else answer.code

    def log_out(self, token: str, now: datetime) -> None:
        self.set_clock(now)
        assert api.Client().post("/v1/auth/logout", {"refresh_token": token}).status == 204


@dataclass
class World:
    """A Postgres with people and their sessions."""

    database: Database
    client: sessions.ClientInfo

    def people(self, count: int) -> list[UUID]:
        """Insert people."""
        rows = self.database.execute(
            """
            insert into identity.users (email, username, password_hash, timezone, email_verified_at)
            select name || '@people.test', name, '!', 'Europe/Oslo', now()
            from (select 'p_' || right(uuidv4()::text, 12) as name from generate_series(1, %(count)s)) named
            returning id
            """,
            count=count,
        )
        return [person for (person,) in rows]

    def sign_in(self, person: UUID) -> tuple[UUID, str]:
        """The id of a new session and its first refresh token."""
        with db.as_system("tests") as tx:
            user = users.user(tx, person)
            assert user is not None
            token = sessions.start(tx, user, self.client, START, second_factor=False).refresh_token
            session_id = tx.value(
                "select id from identity.sessions where user_id = %(id)s order by id desc limit 1", {"id": person}
            )
        return session_id, token

    def is_signed_in(self, person: UUID, session_id: UUID) -> bool:
        """Whether the session's access tokens are valid: every transaction checks."""
        try:
            with db.as_user(Actor(person, session_id), read_only=True):
                return True
        except SessionEnded:
            return False

    def expiry(self, token: str) -> datetime:
        """When a refresh token expires."""
        with db.as_system("tests") as tx:
            expires_at: datetime = tx.value(
                "select expires_at from identity.refresh_tokens where hash = %(hash)s", {"hash": tokens.digest(token)}
            )
        return expires_at

    def end_of(self, session_id: UUID) -> str | None:
        with db.as_system("tests") as tx:
            reason: str | None = tx.value(
                "select ended_reason from identity.sessions where id = %(id)s", {"id": session_id}
            )
        return reason

    def mails(self, person: UUID) -> int:
        """The number of mails that told a person about a copied token."""
        with db.as_system("tests") as tx:
            count: int = tx.value(
                "select count(*) from core.outbox where topic = 'mail'"
                " and payload @> jsonb_build_object('template', 'session_reuse', 'user_id', %(id)s::text)",
                {"id": person},
            )
        return count

    def branches(self) -> int:
        """The number of sessions whose tokens fork, or whose newest token is not the one the session names."""
        return int(
            self.database.execute("""
                select count(*) from (
                    select s.id from identity.sessions s join identity.refresh_tokens t on t.session_id = s.id
                    group by s.id
                    having count(*) <> s.generation + 1 or count(distinct t.generation) <> s.generation + 1
                        or max(t.generation) <> s.generation
                ) forked
            """)[0][0]
        )
