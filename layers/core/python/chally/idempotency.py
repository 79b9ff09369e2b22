"""Idempotency keys: a write that is sent again gets the first answer again. The key and the effect commit together."""

import hashlib
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from chally.db import Tx
from chally.errors import AppError


class IdempotencyKeyReused(AppError):
    status = 422
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key was used for another request. Send a new key for a new request."


class IdempotencyInProgress(AppError):
    status = 409
    code = "idempotency_in_progress"
    detail = "The first request with this Idempotency-Key is still running. Try again in a second."


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was given: status, headers, body; and what was asked. None of it, of a key that is new;
    `claimed` is False while another transaction holds the key.
    """

    claimed: bool
    fingerprint: bytes | None
    status: int
    headers: dict[str, str]
    body: bytes


class ReplayResponse(Exception):
    """Not an error: the stored answer of the first request, to be sent again."""

    def __init__(self, stored: StoredResponse) -> None:
        super().__init__()
        self.stored = stored


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A keyed write under way: its answer is to be stored in its own transaction."""

    tx: Tx
    key: str
    fingerprint: bytes


def begin(tx: Tx, key: str, *, method: str, target: str, body: bytes) -> KeyedRequest:
    """Claim the key for this transaction. `target` is the path with its query.

    Raises `ReplayResponse` if the request has completed before, `IdempotencyKeyReused` if the key belongs to another
    request, and `IdempotencyInProgress` while the first one runs. The key is claimed by a transaction-level advisory
    lock: with a unique index the second request would wait.
    """
    fingerprint = hashlib.sha256(f"{method} {target}\n".encode() + body).digest()
    stored = tx.one(
        "select claimed, fingerprint, status, headers, body from core.claim_key(%(key)s)",
        {"key": key},
        row=StoredResponse,
    )
    if not stored.claimed:
        raise IdempotencyInProgress(headers={"Retry-After": "1"})
    if stored.fingerprint is None:
        return KeyedRequest(tx, key, fingerprint)
    if stored.fingerprint != fingerprint:
        raise IdempotencyKeyReused
    raise ReplayResponse(stored)


def record(recording: KeyedRequest, *, status: int, headers: dict[str, str], body: bytes) -> None:
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
            "status": status,
            "headers": Jsonb(headers),
            "body": body,
        },
    )


def forget_old(tx: Tx) -> int:
    """Delete the answers that nobody may ask for again; answers how many."""
    return tx.count("delete from core.idempotency_keys where created_at <= now() - interval '24 hours'", {})
