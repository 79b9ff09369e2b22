"""The search for duplicates finds every photo within 31 bits and none beyond, by person and by challenge."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from chally.db import Tx
from proofs.queries import duplicates, proofs
from proofs.queries.arrivals import Arrival
from proofs.queries.duplicates import Match
from proofs.rules.verdict import DISCARDED_QUALITY, DUPLICATE_DISTANCE
from tests.support import fingerprints
from tests.support.database import Database
from tests.support.fingerprints import Hash, Hashes, Sent, as_system, keep, near, neighbour, somebody, text

LIMIT = DUPLICATE_DISTANCE
FILE = b"f" * 32


def search(database: Database, sent: Sent, *variants: Hash, file: bytes = FILE) -> Match | None:
    with as_system(database) as tx:
        return duplicates.find_nearest(tx, sent.arrival(), file, [text(variant) for variant in variants])


def eight(chance: np.random.Generator) -> Hashes:
    return fingerprints.random_hashes(chance, 8)


class TestExact:
    @pytest.mark.parametrize("hashes", [fingerprints.random_hashes, fingerprints.skewed_hashes])
    @pytest.mark.parametrize("number", [300, 10_000])
    @pytest.mark.parametrize("crowded", ["challenge", "person"])
    def test_the_search_finds_what_a_full_scan_finds(
        self, database: Database, hashes: Callable[[np.random.Generator, int], Hashes], number: int, crowded: str
    ) -> None:
        """Plants neighbours on both sides of the limit, for every variant, among many other photos and scopes."""
        chance = np.random.default_rng(31)
        scope = uuid4()
        kept = hashes(chance, number)
        asked = [np.stack([kept[place], *eight(chance)[1:]]) for place in chance.integers(0, number, 8)]
        planted = [
            neighbour(chance, variants[distance % 8], distance) for variants in asked for distance in range(LIMIT + 9)
        ]
        kept = np.concatenate([kept, planted, worst(asked[0][3])])
        by = [somebody(scope) if crowded == "challenge" else somebody(user_id=scope) for _ in kept]
        ids = keep(database, by, kept)
        keep(database, [somebody() for _ in planted], np.array(planted))
        with as_system(database) as tx:
            for variants in asked:
                truth = fingerprints.distances(kept, variants)
                expected = {ids[place]: int(truth[place]) for place in np.flatnonzero(truth <= LIMIT)}
                assert len(expected) > LIMIT
                assert near(tx, scope, variants, LIMIT) == expected

    def test_the_nearest_photo_is_found_at_every_distance(self, database: Database) -> None:
        chance = np.random.default_rng(32)
        new = eight(chance)
        challenge = uuid4()
        for distance in reversed(range(LIMIT + 1)):
            (proof,) = keep(database, [somebody(challenge)], neighbour(chance, new[distance % 8], distance)[np.newaxis])
            found = search(database, somebody(challenge), *new)
            assert found is not None
            assert (found.proof_id, found.kind, found.distance) == (proof, "picture", distance)

    def test_a_photo_beyond_the_limit_is_never_found(self, database: Database) -> None:
        chance = np.random.default_rng(33)
        new = eight(chance)
        challenge = uuid4()
        beyond = [neighbour(chance, variant, LIMIT + 1) for variant in new for _ in range(50)]
        keep(database, [somebody(challenge) for _ in beyond], np.array(beyond))
        assert search(database, somebody(challenge), *new) is None

    def test_a_distance_beyond_what_the_index_covers_is_refused(self, database: Database) -> None:
        with as_system(database) as tx, pytest.raises(psycopg.errors.RaiseException):
            near(tx, uuid4(), eight(np.random.default_rng(34)), LIMIT + 1)


def worst(pdq: Hash) -> Hashes:
    """Neighbours that a single index finds: one bit away in one of 16 bands, two bits away in every other."""
    found = np.repeat(pdq[np.newaxis], 256, axis=0)
    for bit, hash_ in enumerate(found):
        for band in range(16):
            first = band * 16 + bit % 15
            hash_[first : first + 2] ^= 1
        own = bit // 16 * 16
        hash_[own : own + 16] = pdq[own : own + 16]
        hash_[bit] ^= 1
    return found


class TestScope:
    """Which photos are compared."""

    def test_photos_of_this_challenge_and_of_this_person_count(self, database: Database) -> None:
        chance = np.random.default_rng(41)
        new = eight(chance)
        me = somebody()
        close = neighbour(chance, new[5], 20)[np.newaxis]
        keep(database, [somebody()], close)
        assert search(database, me, *new) is None  # a stranger in another challenge
        mine = somebody(user_id=me.user_id)
        (elsewhere,) = keep(database, [mine], close)
        assert search(database, me, *new) == Match(
            elsewhere, "picture", 20, mine.participant_id, me.user_id, same_challenge=False, rejected=False
        )
        theirs = somebody(me.challenge_id)
        (here,) = keep(database, [theirs], neighbour(chance, new[0], 19)[np.newaxis])
        assert search(database, me, *new) == Match(
            here, "picture", 19, theirs.participant_id, theirs.user_id, same_challenge=True, rejected=False
        )

    def test_the_same_file_is_found_in_any_challenge_and_comes_first(self, database: Database) -> None:
        chance = np.random.default_rng(42)
        new = eight(chance)
        me, stranger = somebody(), somebody()
        keep(database, [somebody(me.challenge_id)], new[:1])
        (same,) = keep(database, [stranger], eight(chance)[:1], files=[FILE])
        expected = Match(
            same, "file", 0, stranger.participant_id, stranger.user_id, same_challenge=False, rejected=False
        )
        assert search(database, me, *new) == expected
        assert search(database, me) == expected  # also where pictures are not compared
        assert search(database, me, file=b"g" * 32) is None

    def test_a_persons_own_photo_of_the_same_window_does_not_count(self, database: Database) -> None:
        new = eight(np.random.default_rng(43))
        me = somebody()
        keep(database, [me], new[:1], files=[FILE])
        assert search(database, me, *new) is None
        tomorrow = Sent(me.challenge_id, me.user_id, me.participant_id, me.local_date + timedelta(days=1))
        assert search(database, tomorrow, *new) is not None
        assert search(database, somebody(user_id=me.user_id), *new) is not None

    def test_a_persons_own_photo_does_not_hide_another_persons(self, database: Database) -> None:
        chance = np.random.default_rng(44)
        new = eight(chance)
        me = somebody()
        _, theirs = keep(database, [me, somebody(me.challenge_id)], np.stack([new[0], neighbour(chance, new[0], 30)]))
        found = search(database, me, *new)
        assert found is not None
        assert (found.proof_id, found.distance) == (theirs, 30)

    def test_the_oldest_of_equally_near_photos_is_found(self, database: Database) -> None:
        chance = np.random.default_rng(45)
        new = eight(chance)
        me = somebody()
        sent = [somebody(me.challenge_id), somebody(user_id=me.user_id), somebody(me.challenge_id)]
        first, *_ = keep(database, sent, np.array([neighbour(chance, variant, 12) for variant in new[:3]]))
        found = search(database, me, *new)
        assert found is not None
        assert found.proof_id == first

    @pytest.mark.parametrize("near_me", ["challenge", "person"])
    def test_a_photo_of_low_quality_is_found_and_marked(self, database: Database, near_me: str) -> None:
        """Its bits are those of the photo it was made of; whether it is the same is for a person to say."""
        new = eight(np.random.default_rng(46))
        me = somebody()
        other = somebody(me.challenge_id) if near_me == "challenge" else somebody(user_id=me.user_id)
        for quality, comparable in ((0, False), (DISCARDED_QUALITY, False), (DISCARDED_QUALITY + 1, True)):
            (proof,) = keep(database, [other], new[:1], quality=quality)
            found = search(database, me, *new)
            assert found is not None
            assert (found.proof_id, found.comparable) == (proof, comparable)
            database.execute("delete from proofs.proofs")

    def test_the_nearest_photos_come_first_and_no_more_than_asked_for(self, database: Database) -> None:
        chance = np.random.default_rng(47)
        new = eight(chance)
        me = somebody()
        near_ones = np.array([neighbour(chance, new[0], distance) for distance in (9, 3, 6, LIMIT + 1)])
        ids = keep(database, [somebody(me.challenge_id) for _ in near_ones], near_ones)
        with as_system(database) as tx:
            variants = [text(variant) for variant in new]
            found = duplicates.find_matches(tx, me.arrival(), FILE, variants, limit=2)
        assert [(match.proof_id, match.distance) for match in found] == [(ids[1], 3), (ids[2], 6)]


class TestReviewers:
    def test_proofs_to_review_are_found_by_index(self, database: Database) -> None:
        me = somebody()
        first, *_, last = keep(database, [me] * 3000, fingerprints.random_hashes(np.random.default_rng(53), 3000))
        database.execute("update proofs.proofs set status = 'needs_review' where id = any(%(ids)s)", ids=[first, last])
        with as_system(database) as tx:
            tx.run("select set_config('chally.actor', %(owner)s, true)", {"owner": str(me.user_id)})
            # its people are not in this database: only the number of rows read matters
            proofs.list_proofs(tx, me.challenge_id, to_review=True, before=None, offset=0, limit=26)
            read = tx.value(
                "select sum(coalesce(idx_tup_fetch, 0) + seq_tup_read) from pg_stat_xact_user_tables"
                " where schemaname = 'proofs' and relname = 'proofs'", {},
            )  # fmt: skip
        assert 2 <= read <= 10


class TestCost:
    """A search reads only the index entries of its keys, whatever the planner estimates."""

    @pytest.mark.parametrize("counted", ["all", "the small ones"])
    def test_a_search_in_a_large_challenge_among_small_ones_reads_only_the_index(
        self, database: Database, counted: str
    ) -> None:
        """The planner expects small challenges, and would read all of one."""
        chance = np.random.default_rng(51)
        me, crowd = somebody(), 5000
        small = [uuid4() for _ in range(5000)]
        add(database, chance, [somebody(small[n // 2]) for n in range(10_000)])
        if counted == "the small ones":
            database.execute("vacuum analyze proofs.fingerprints")
        add(database, chance, [somebody(me.challenge_id) for _ in range(crowd)])
        add(database, chance, [somebody(user_id=me.user_id) for _ in range(30)])
        if counted == "all":
            database.execute("vacuum analyze proofs.fingerprints")
        check_cost(database, chance, me, crowd, own=30)

    def test_a_search_without_table_statistics_reads_only_the_index(self, database: Database) -> None:
        chance = np.random.default_rng(52)
        me = somebody()
        add(database, chance, [somebody(me.challenge_id) for _ in range(5000)])
        check_cost(database, chance, me, 5000, own=0)


def add(database: Database, chance: np.random.Generator, sent: Sequence[Sent]) -> None:
    keep(database, sent, fingerprints.random_hashes(chance, len(sent)))


def check_cost(database: Database, chance: np.random.Generator, sent: Sent, crowd: int, own: int) -> None:
    """Assert the cost of a search in a challenge of `crowd` photos and `own` photos of the person.

    It reads every band and scans no table. With random hashes, a key matches one photo in 65,536.
    """
    with as_system(database) as tx:
        variants = [text(variant) for variant in eight(chance)]
        assert duplicates.find_nearest(tx, sent.arrival(), FILE, variants) is None
        read: dict[str, int] = tx.value(
            "select json_object_agg(indexrelid::regclass, pg_stat_get_xact_tuples_returned(indexrelid)) from pg_index"
            " where indrelid = 'proofs.fingerprints'::regclass and pg_stat_get_xact_numscans(indexrelid) > 0",
            {},
        )
        scanned = tx.value("select sum(seq_scan) from pg_stat_xact_user_tables where schemaname = 'proofs'", {})
    assert scanned == 0
    bands = {f"proofs.fingerprints_band_{band:02}" for band in range(16)}
    assert bands <= set(read) <= bands | {"proofs.fingerprints_sha256", "proofs.fingerprints_user"}
    assert sum(read.values()) <= 2 * 8 * 16 * 17 * crowd / 65_536 + 3 * own + 10


class TestConcurrency:
    """Concurrent verdicts, each in its own transaction, as in several environments of the function."""

    @pytest.mark.parametrize("alike", ["challenge", "person", "file"])
    def test_the_second_of_two_equal_photos_waits_and_sees_the_first(self, database: Database, alike: str) -> None:
        chance = np.random.default_rng(61)
        new = eight(chance)
        first = stored(database)
        second = {
            "challenge": lambda: stored(database, challenge_id=first.challenge_id),
            "person": lambda: stored(database, user_id=first.user_id),
            "file": lambda: stored(database),
        }[alike]()
        began, decided = threading.Event(), []

        def follow() -> None:
            with as_system(database) as tx:
                pids.append(tx.value("select pg_backend_pid()", {}))
                began.set()
                decided.append(decide(tx, second, neighbour(chance, new[0], 9), FILE if alike == "file" else b"2" * 32))

        pids: list[int] = []
        with ThreadPoolExecutor(1) as pool:
            with as_system(database) as tx:
                assert decide(tx, first, new[0], FILE) is None
                following = pool.submit(follow)
                assert began.wait(60)
                while not database.execute("select cardinality(pg_blocking_pids(%(pid)s)) > 0", pid=pids[0])[0][0]:
                    assert not following.done()
            following.result(60)
        (match,) = decided
        assert match is not None
        assert (match.kind, match.user_id) == ("file" if alike == "file" else "picture", first.user_id)

    def test_one_of_many_concurrent_copies_is_accepted_without_deadlock(self, database: Database) -> None:
        """Each of four people to each of four challenges, all at once: every two share a person, a challenge or
        neither, and then perhaps the file."""
        chance = np.random.default_rng(62)
        picture = eight(chance)[0]
        people, challenges = [uuid4() for _ in range(4)], [uuid4() for _ in range(4)]
        proofs = [(stored(database, each, user), bytes([n]) * 32)
                  for n, user in enumerate(people) for each in challenges]  # fmt: skip
        start = threading.Barrier(len(proofs))

        def send(proof: tuple[Arrival, bytes]) -> bool:
            with as_system(database) as tx:
                start.wait(60)
                return decide(tx, proof[0], picture, proof[1]) is None

        with ThreadPoolExecutor(len(proofs)) as pool:
            accepted = [proof for (proof, _), first in zip(proofs, pool.map(send, proofs), strict=True) if first]
        assert accepted
        assert len({proof.user_id for proof in accepted}) == len(accepted)
        assert len({proof.challenge_id for proof in accepted}) == len(accepted)


def decide(tx: Tx, arrival: Arrival, pdq: Hash, file: bytes) -> Match | None:
    """Search and save in the order of the job."""
    duplicates.lock_for_verdict(tx, arrival, file)
    match = duplicates.find_nearest(tx, arrival, file, [text(pdq)])
    if match is None:
        tx.run("update proofs.proofs set status = 'accepted' where id = %(id)s", {"id": arrival.id})
        duplicates.save_fingerprint(tx, arrival, file, pdq=text(pdq), quality=100)
    return match


def stored(database: Database, challenge_id: UUID | None = None, user_id: UUID | None = None) -> Arrival:
    """A proof that waits for its verdict; its challenge exists, because fingerprints refer to it."""
    sent = somebody(challenge_id, user_id)
    arrival = sent.arrival()
    with psycopg.connect(database.url) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "insert into challenges.challenges"
            " (id, owner_id, title, status, invite_code, timezone, starts_at, ends_at, rules)"
            " values (%s, %s, 't', 'active', %s, 'UTC', now(), now() + interval '9 days', '{}') on conflict do nothing",
            (sent.challenge_id, sent.user_id, sent.challenge_id.hex),
        )
        connection.execute(
            "insert into proofs.proofs (id, challenge_id, participant_id, user_id, local_date, opens_at, closes_at,"
            " status, content_type, content_length, sha256, object_key, created_at)"
            " values (%s, %s, %s, %s, %s, now(), now(), 'processing', 'image/jpeg', 1, %s, %s, now())",
            (arrival.id, sent.challenge_id, sent.participant_id, sent.user_id, sent.local_date, FILE, str(arrival.id)),
        )
    return arrival
