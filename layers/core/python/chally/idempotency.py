"""Idempotency keys: a write that is sent again gets the first answer again. The key and the effect commit together."""

import hashlib
from dataclasses import dataclass

from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import Response

from chally.db import Tx
from chally.errors import AppError

KEPT_HEADERS = ("content-type", "location")


class KeyReused(AppError):
    status = 422
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request. Send a new key for a new request."


class InProgress(AppError):
    status = 409
    code = "idempotency_in_progress"
    detail = "The first request with this Idempotency-Key is still running. Try again in a second."


class Replay(Exception):
    """Not an error: the stored answer of the first request, to be sent again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@dataclass(frozen=True, slots=True)
class Recording:
    """A keyed write under way: its answer is to be stored in its own transaction."""

    tx: Tx
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class _Stored:
    fingerprint: bytes
    status: int
    headers: dict[str, str]
    body: bytes


async def begin(tx: Tx, request: Request, key: str) -> Recording:
    """Claim the key for this transaction.

    Raises `Replay` when it was answered before, `KeyReused` when that was another request, `InProgress` while the
    first one runs. A transaction-level advisory lock says which: a unique index would make the second wait instead.
    """
    assert tx.actor is not None
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    fingerprint = digest.digest()
    lock = {"lock": f"{tx.actor.user_id} {key}"}
    if not tx.value("select pg_try_advisory_xact_lock(hashtextextended(%(lock)s, 0))", lock):
        raise InProgress(headers={"Retry-After": "1"})
    stored = tx.maybe(
        "select fingerprint, status, headers, body from core.idempotency_keys"
        " where user_id = core.actor() and key = %(key)s and created_at > now() - interval '24 hours'",
        {"key": key},
        row=_Stored,
    )
    if stored is None:
        return Recording(tx, key, fingerprint)
    if stored.fingerprint != fingerprint:
        raise KeyReused
    raise Replay(Response(stored.body, stored.status, {**stored.headers, "Idempotent-Replayed": "true"}))


def record(recording: Recording, response: Response) -> None:
    """Store the answer with the effect. An expired row of the same key gives way."""
    recording.tx.run(
        """
        insert into core.idempotency_keys (user_id, key, fingerprint, status, headers, body)
        values (core.actor(), %(key)s, %(fingerprint)s, %(status)s, %(headers)s, %(body)s)
        on conflict (user_id, key) do update set
            fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
            body = excluded.body, created_at = now()
        """,
        {
            "key": recording.key,
            "fingerprint": recording.fingerprint,
            "status": response.status_code,
            "headers": Jsonb({name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}),
            "body": bytes(response.body),
        },
    )
