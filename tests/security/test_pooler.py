"""Behind a pooler a connection serves many people: no transaction leaves anything for the next."""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from chally import db
from chally.actor import Actor
from chally.errors import SessionEnded
from identity.keyring import Keyring
from infra.local.postgres import Postgres
from tests.support import access
from tests.support.access_tables import CHALLENGE_PROOFS, CHALLENGES, PROOFS
from tests.support.database import Database
from tests.support.pgbouncer import PGBOUNCER, PgBouncer
from tests.support.relay import connecting_by

WHO = "select core.actor()"


@pytest.fixture(scope="module")
def pooler(postgres: Postgres) -> Iterator[PgBouncer]:
    if not PGBOUNCER.exists():
        pytest.skip(f"{PGBOUNCER} is not there: apt-get install pgbouncer")
    with tempfile.TemporaryDirectory() as directory:
        pooler = PgBouncer(Path(directory), postgres.port)
        yield pooler
        pooler.kill()


@pytest.fixture
def pooled(pooler: PgBouncer, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with connecting_by(pooler.port, database, monkeypatch) as there:
        yield there


@pytest.mark.usefixtures("cloud")
def test_everybody_reads_only_what_they_may(pooled: Database, keyring: Keyring) -> None:
    table = CHALLENGES | PROOFS
    club = access.open_club(pooled, keyring, "code")
    asked = club.call("participant", f"POST {CHALLENGE_PROOFS}", table[f"POST {CHALLENGE_PROOFS}"])
    club.values["proof_id"] = asked.json["proof"]["id"]
    pooled.execute("update proofs.proofs set status = 'accepted', picture_key = 'pictures/a.jpg', decided_at = now()")
    reads = [route for route in table if route.startswith("GET")]
    assert len(reads) > 10
    for route in reads:
        assert club.statuses(route, table[route]) == table[route].by_code, route


def test_concurrent_people_on_one_connection_keep_their_identity(pooled: Database, keyring: Keyring) -> None:
    actors = _people(pooled, keyring, 8)

    def ask(actor: Actor) -> set[object]:
        with psycopg.connect(pooled.app, autocommit=True, prepare_threshold=None) as connection:
            return {_who(connection, actor) for _ in range(50)}

    with ThreadPoolExecutor(len(actors)) as pool:
        assert list(pool.map(ask, actors)) == [{actor.user_id} for actor in actors]


def test_the_next_transaction_has_no_actor_however_the_last_one_ended(pooled: Database, keyring: Keyring) -> None:
    (actor,) = _people(pooled, keyring, 1)
    pooled.execute("update identity.users set role = 'admin'")
    pooled.execute("update identity.sessions set second_factor = true")
    with psycopg.connect(pooled.app, autocommit=True, prepare_threshold=None) as other:

        def is_nobodys() -> bool:
            row = other.execute("select core.actor(), core.moderates(), pg_backend_pid()").fetchone()
            assert row is not None
            return (*row[:2], row[2] in pids) == (None, False, True)

        pids = set()
        with db.as_user(actor) as tx:
            assert tx.value("select core.moderates()", {})
            pids.add(tx.value("select pg_backend_pid()", {}))
        assert is_nobodys()
        with pytest.raises(psycopg.errors.DivisionByZero), db.as_user(actor) as tx:
            tx.run("select 1 / 0", {})
        assert is_nobodys()
        with pytest.raises(LookupError), db.as_user(actor):
            raise LookupError
        assert is_nobodys()
        with pytest.raises(SessionEnded), db.as_user(Actor(actor.user_id, uuid4())):
            pass
        assert is_nobodys()
        with db.as_user(actor) as tx:
            assert tx.value(WHO, {}) == actor.user_id


def _people(database: Database, keyring: Keyring, number: int) -> list[Actor]:
    people = access.signed_in(database, keyring, [str(n) for n in range(number)])
    sessions = dict(database.execute("select user_id, id from identity.sessions"))
    ids = [UUID(client.user["id"]) for client in people.values()]
    return [Actor(user_id, sessions[user_id]) for user_id in ids]


def _who(connection: psycopg.Connection, actor: Actor) -> object:
    """The actor that the database sees, in a transaction on a connection other than the one `db` keeps."""
    with db.begin(connection, actor) as tx:
        return tx.value(WHO, {})
