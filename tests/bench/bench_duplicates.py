"""The search for near pictures compared with a bit_count scan, pgvector's HNSW, and numpy in memory.

All photos are of one challenge, the hardest case. Eight variants are compared, as for every new photo.

.venv/bin/python -m tests.bench.bench_duplicates [SIZE ...]
"""

import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from infra.local.postgres import Postgres
from infra.local.workspace import free_port
from migrations.handler import migrate
from proofs.rules.verdict import DUPLICATE_DISTANCE
from tests.bench.side_by_side import ratio
from tests.support.fingerprints import BITS, Hashes, neighbour, random_hashes, skewed_hashes, text

SIZES = (10_000, 100_000, 1_000_000)
QUESTIONS = 40
CHALLENGE = uuid4()
PEOPLE = [uuid4() for _ in range(1000)]

NEAR = "select proof_id, bits from proofs.find_similar(%(challenge)s, %(variants)s, %(distance)s)"
SCAN = f"""
    select proof_id, least({", ".join(f"bit_count(pdq # %(v{index})s::bit(256))" for index in range(8))})
    from proofs.fingerprints where challenge_id = %(challenge)s and comparable and (
        {" or ".join(f"bit_count(pdq # %(v{index})s::bit(256)) <= %(distance)s" for index in range(8))}
    )
"""
HNSW = """
    select found.proof_id, min(found.distance) from unnest(%(variants)s::text[]::bit(256)[]) as variant
    cross join lateral (
        select proof_id, pdq <~> variant as distance from proofs.fingerprints order by pdq <~> variant limit 200
    ) as found where found.distance <= %(distance)s group by 1
"""

type Found = dict[UUID, int]
"""Distances by proof."""


@dataclass(frozen=True)
class Question:
    """A new photo: its variants as SQL parameters and as numpy arrays."""

    params: dict[str, object]
    packed: NDArray[np.uint64]


def question(chance: np.random.Generator, hashes: Hashes) -> Question:
    """Every other one has a variant near a stored photo."""
    variants = random_hashes(chance, 8)
    near = neighbour(chance, hashes[chance.integers(len(hashes))], int(chance.integers(DUPLICATE_DISTANCE + 1)))
    if chance.random() < 0.5:
        variants[chance.integers(8)] = near
    texts = [text(variant) for variant in variants]
    named = {f"v{index}": variant for index, variant in enumerate(texts)}
    params = {"challenge": CHALLENGE, "variants": texts, "distance": DUPLICATE_DISTANCE, **named}
    return Question(params, packed(variants))


def packed(hashes: Hashes) -> NDArray[np.uint64]:
    return np.packbits(hashes, axis=1).view(np.uint64)


@contextlib.contextmanager
def connected() -> Iterator[psycopg.Connection]:
    with tempfile.TemporaryDirectory(prefix="chally-bench-", ignore_cleanup_errors=True) as directory:
        settings = {
            "fsync": "off", "shared_buffers": "2GB", "maintenance_work_mem": "1GB", "max_wal_size": "8GB",
            "autovacuum": "off",
        }  # fmt: skip
        server = Postgres(directory=Path(directory) / "pg", port=free_port(), password="bench", settings=settings)
        server.start()
        try:
            with psycopg.connect(server.url(), autocommit=True) as connection:
                for role in ("chally_app", "chally_system"):
                    connection.execute(f"create role {role} login".encode())
            url = server.url().replace("postgresql://", "postgresql+psycopg://")
            with create_engine(url, poolclass=NullPool).connect() as alembic:
                migrate(alembic)
            with psycopg.connect(server.url(), autocommit=True, prepare_threshold=None) as connection:
                connection.execute("create extension vector")
                connection.execute("set hnsw.ef_search = 200")
                yield connection
        finally:
            server.stop()


def load(connection: psycopg.Connection, hashes: Hashes) -> list[UUID]:
    """Fill the table with the fingerprints and rebuild its indexes; return the ids."""
    indexes: dict[str, str] = dict(
        connection.execute(
            "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
            " where indrelid = 'proofs.fingerprints'::regclass and indpred is not null"
        ).fetchall()
    )
    connection.execute("set session_replication_role = replica")
    connection.execute(f"drop index {', '.join(indexes)}".encode())
    connection.execute("truncate proofs.fingerprints")
    ids = [UUID(int=index + 1) for index in range(len(hashes))]
    with connection.cursor().copy(
        "copy proofs.fingerprints (proof_id, challenge_id, user_id, sha256, pdq, quality, comparable) from stdin"
    ) as copy:
        for proof, person, pdq in zip(ids, itertools.cycle(PEOPLE), hashes, strict=False):
            copy.write_row((proof, CHALLENGE, person, proof.bytes * 2, text(pdq), 100, True))
    began = time.perf_counter()
    for index in indexes.values():
        connection.execute(index)
    seconds = time.perf_counter() - began
    connection.execute("vacuum analyze proofs.fingerprints")
    names = {"names": list(indexes)}
    row = connection.execute(
        "select pg_relation_size('proofs.fingerprints'), sum(pg_relation_size(name::regclass))"
        " from unnest(%(names)s::text[]) as name", names,
    ).fetchone()  # fmt: skip
    assert row is not None
    each = [float(size) / len(hashes) for size in row]
    print(f"  indexes built in {seconds:.0f} s; bytes a photo: {each[0]:.0f} of table, {each[1]:.0f} of indexes")
    return ids


def measure(connection: psycopg.Connection, name: str, hashes: Hashes) -> None:
    chance = np.random.default_rng(8)
    print(f"{len(hashes):,} {name} hashes")
    ids = load(connection, hashes)
    questions = [question(chance, hashes) for _ in range(QUESTIONS)]
    stored = packed(hashes)

    def sql(statement: str) -> Callable[[Question], Found]:
        return lambda asked: {proof: int(bits) for proof, bits in connection.execute(statement.encode(), asked.params)}

    def memory(asked: Question) -> Found:
        nearest = np.full(len(stored), BITS, np.uint16)
        for variant in asked.packed:
            bits = np.bitwise_count(stored[:, 0] ^ variant[0]).astype(np.uint16)
            for word in range(1, 4):
                bits += np.bitwise_count(stored[:, word] ^ variant[word])
            np.minimum(nearest, bits, out=nearest)
        return {ids[place]: int(nearest[place]) for place in np.flatnonzero(nearest <= DUPLICATE_DISTANCE)}

    truths = [memory(asked) for asked in questions]
    ours = sql(NEAR)
    print(f"  proofs.find_similar: recall {recall(ours, questions, truths)}")
    against(
        "scan with bit_count" + (" (goal: at least 20)" if len(hashes) == 10**6 else ""), sql(SCAN), ours, questions
    )
    against("numpy in memory", memory, ours, questions)
    began = time.perf_counter()
    connection.execute("create index hnsw on proofs.fingerprints using hnsw (pdq bit_hamming_ops)")
    built = time.perf_counter() - began
    against("pgvector HNSW", sql(HNSW), ours, questions)
    print(f"    of which recall {recall(sql(HNSW), questions, truths)}, index built in {built:.0f} s")
    connection.execute("drop index proofs.hnsw")


def recall(search: Callable[[Question], Found], questions: list[Question], truths: list[Found]) -> str:
    """The share of new photos near a stored one for which the nearest was found."""
    found = [search(asked) for asked in questions]
    assert all(each.items() <= truth.items() for each, truth in zip(found, truths, strict=True)), "one that is not near"
    there = [(each, truth) for each, truth in zip(found, truths, strict=True) if truth]
    nearest = [bool(each) and min(each.values()) == min(truth.values()) for each, truth in there]
    return f"{sum(nearest) / len(there):.3f} of {len(there)}"


def against(
    what: str, theirs: Callable[[Question], Found], ours: Callable[[Question], Found], asked: list[Question]
) -> None:
    """Time both on the same query in each round."""
    first, second = itertools.cycle(asked), itertools.cycle(asked)
    measured = ratio(lambda: theirs(next(first)), lambda: ours(next(second)), rounds=9)
    print(f"  {what + ' over proofs.find_similar':<56} {measured}", flush=True)


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or SIZES
    print("near pictures of one challenge, eight variants, at most 31 bits; time of the first over time of the second")
    with connected() as connection:
        for size in sizes:
            for name, hashes in (("random", random_hashes), ("skewed", skewed_hashes)):
                measure(connection, name, hashes(np.random.default_rng(size), size))


if __name__ == "__main__":
    main()
