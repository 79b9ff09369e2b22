"""Idempotency keys: a repeated write gets the response to the first one. The key commits together with the effect."""

import hashlib
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from chally.db import Tx
from chally.errors import AppError


class IdempotencyKeyReused(AppError):
    status = 422
    code = "idempotency_key_reused"
    detail = "This Idempotency-Key belongs to another request. Send a new key with a new request."


class IdempotencyInProgress(AppError):
    status = 409
    code = "idempotency_in_progress"
    detail = "The first request with this Idempotency-Key is still running. Retry in a second."


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The row of a key: the response, and the fingerprint of its request, which is None if the key is new.

    `claimed` is False while another transaction holds the key.
    """

    claimed: bool
    fingerprint: bytes | None
    status: int
    headers: dict[str, str]
    body: bytes


class ReplayResponse(Exception):
    """Not an error: the stored response is to be sent again."""

    def __init__(self, stored: StoredResponse) -> None:
        super().__init__()
        self.stored = stored


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request with a claimed key. Its response is to be stored in the same transaction."""

    tx: Tx
    key: str
    fingerprint: bytes


def claim(tx: Tx, key: str, *, method: str, target: str, body: bytes) -> KeyedRequest:
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


def store_response(keyed_request: KeyedRequest, *, status: int, headers: dict[str, str], body: bytes) -> None:
    """Store the response with its effect. Replaces an expired row of the same key."""
    keyed_request.tx.run(
        """
        insert into core.idempotency_keys (user_id, key, fingerprint, status, headers, body)
        values (core.actor(), %(key)s, %(fingerprint)s, %(status)s, %(headers)s, %(body)s)
        on conflict (user_id, key) do update set
            fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
            body = excluded.body, created_at = now()
        """,
        {
            "key": keyed_request.key,
            "fingerprint": keyed_request.fingerprint,
            "status": status,
            "headers": Jsonb(headers),
            "body": body,
        },
    )


def delete_expired(tx: Tx) -> int:
    """Delete responses older than a day. Returns how many."""
    return tx.count("delete from core.idempotency_keys where created_at <= now() - interval '24 hours'", {})
