"""Thousands of fingerprints, of people and challenges that exist only as ids."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray

from chally.db import Tx
from proofs.queries.arrivals import Arrival
from proofs.rules.verdict import is_comparable
from tests.support.database import Database

BITS = 256
TODAY = date(2026, 11, 26)
NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)

type Hash = NDArray[np.uint8]
"""256 bits, an element each."""
type Hashes = NDArray[np.uint8]
"""Several, of shape (number, 256)."""


def random_hashes(chance: np.random.Generator, number: int) -> Hashes:
    return chance.integers(0, 2, (number, BITS), np.uint8)


def skewed_hashes(chance: np.random.Generator, number: int) -> Hashes:
    """Like photos of a club: scenes by Zipf's law, the first with a tenth of all photos and more; each photo 25 to 115
    bits from its scene, since nearer ones are rejected as they come; and bits that lean to one value.
    """
    scenes = max(number // 100, 1)
    leaning = chance.beta(4, 4, BITS)
    centres = (chance.random((scenes, BITS)) < leaning).astype(np.uint8)
    often = 1 / np.arange(1, scenes + 1)
    of = chance.choice(scenes, number, p=often / often.sum())
    changed = chance.random((number, BITS), np.float32) < chance.uniform(0.1, 0.45, (number, 1))
    return np.asarray(centres[of] ^ changed, np.uint8)


def neighbour(chance: np.random.Generator, pdq: Hash, distance: int) -> Hash:
    """A hash exactly `distance` bits away."""
    other = pdq.copy()
    other[chance.choice(BITS, distance, replace=False)] ^= 1
    return other


def text(pdq: Hash) -> str:
    return (pdq + ord("0")).tobytes().decode()


def distances(hashes: Hashes, variants: Hashes) -> NDArray[np.intp]:
    """The distance of every hash to the nearest variant, by comparing all of them."""
    return np.min([np.count_nonzero(hashes != variant, axis=1) for variant in variants], axis=0)


@dataclass(frozen=True)
class Sent:
    """Who sent a proof to which challenge, for which window."""

    challenge_id: UUID
    user_id: UUID
    participant_id: UUID
    local_date: date = TODAY

    def arrival(self) -> Arrival:
        """Another photo by the same person for the same window."""
        return Arrival(
            id=uuid4(), challenge_id=self.challenge_id, participant_id=self.participant_id, user_id=self.user_id,
            title="t", owner_id=uuid4(), timezone="UTC", account_timezone="UTC",
            local_date=self.local_date, opens_at=NOW, closes_at=NOW, content_type="image/jpeg", rules={},
        )  # fmt: skip


def somebody(challenge_id: UUID | None = None, user_id: UUID | None = None, local_date: date = TODAY) -> Sent:
    return Sent(challenge_id or uuid4(), user_id or uuid4(), uuid4(), local_date)


def keep(
    database: Database, sent: Sequence[Sent], hashes: Hashes, *, quality: int = 100, files: Sequence[bytes] = ()
) -> list[UUID]:
    """Insert accepted proofs with these fingerprints, bypassing foreign keys; return their ids in ascending order."""
    ids = [UUID(int=(index << 64) | 1 << 63 | uuid4().int >> 66) for index in range(1, len(sent) + 1)]
    with psycopg.connect(database.url) as connection:
        connection.execute("set session_replication_role = replica")
        with connection.cursor().copy(
            "copy proofs.proofs (id, challenge_id, participant_id, user_id, local_date, opens_at, closes_at, status,"
            " content_type, content_length, sha256, object_key, created_at) from stdin"
        ) as copy:
            for proof, by in zip(ids, sent, strict=True):
                values = by.challenge_id, by.participant_id, by.user_id, by.local_date, NOW, NOW
                copy.write_row((proof, *values, "accepted", "image/jpeg", 1, bytes(32), proof, NOW))
        with connection.cursor().copy(
            "copy proofs.fingerprints (proof_id, challenge_id, user_id, sha256, pdq, quality, comparable) from stdin"
        ) as copy:
            for index, (proof, by, pdq) in enumerate(zip(ids, sent, hashes, strict=True)):
                file = files[index] if files else proof.bytes * 2
                copy.write_row((proof, by.challenge_id, by.user_id, file, text(pdq), quality, is_comparable(quality)))
    return ids


@contextmanager
def as_system(database: Database) -> Iterator[Tx]:
    """A transaction as the verdict job's role, on a separate connection."""
    with (
        psycopg.connect(database.system, autocommit=True, prepare_threshold=None) as connection,
        connection.transaction(),
    ):
        yield Tx(connection, None)


def near(tx: Tx, scope: UUID, variants: Hashes, distance: int) -> dict[UUID, int]:
    """The distances that the database finds in a scope, by proof."""
    rows: list[Any] = tx.value(
        "select coalesce(json_agg(json_build_array(proof_id, bits)), '[]')"
        " from proofs.find_similar(%(scope)s, %(variants)s, %(distance)s)",
        {"scope": scope, "variants": [text(variant) for variant in variants], "distance": distance},
    )
    assert len({proof for proof, _ in rows}) == len(rows)
    return {UUID(proof): bits for proof, bits in rows}
