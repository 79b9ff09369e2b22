"""Transactions as pipelines: what travels together, and what becomes of it when something fails."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

import psycopg
import pytest

from chally import access_tokens, db
from chally.actor import Actor
from chally.db import Tx
from chally.errors import ServiceUnavailable, SessionEnded
from chally.settings import HttpSettings, load
from tests.support.database import Database
from tests.support.people import SignUp
from tests.support.relay import Relay, relayed

SECRET = "secret@people.test"
INSERT = "insert into public.things (name) values (%(name)s)"
FAILING = "insert into public.things (name, age) values (%(name)s, -1)"


@pytest.fixture
def things(database: Database) -> Database:
    database.execute("create table public.things (name text primary key, age integer check (age > 0))")
    database.execute("grant usage on schema public to chally_app, chally_system")
    database.execute("grant all on public.things to chally_app, chally_system")
    return database


@pytest.fixture
def somebody(things: Database, person: SignUp) -> Actor:
    return access_tokens.authenticate(str(person("kari").token), issuer=load(HttpSettings).public_url)


def names(database: Database) -> set[str]:
    return {name for (name,) in database.execute("select name from public.things")}


class TestRoundTrips:
    @pytest.fixture
    def relay(self, somebody: Actor, things: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
        """Connected by it."""
        with relayed(things, monkeypatch) as relay:
            with db.as_user(somebody):
                pass
            relay.trips = 0
            yield relay

    def test_begin_and_who_is_asking_travel_with_the_first_statement(self, somebody: Actor, relay: Relay) -> None:
        with db.as_user(somebody, read_only=True) as tx:
            assert tx.value("select 1", {}) == 1
            assert tx.session.role == "user"
        assert relay.trips == 2

    def test_what_nobody_waits_for_travels_with_commit(self, somebody: Actor, things: Database, relay: Relay) -> None:
        with db.as_user(somebody) as tx:
            for name in "abc":
                tx.run(INSERT, {"name": name})
        assert relay.trips == 1
        assert names(things) == {"a", "b", "c"}


class TestFailing:
    """A statement whose result nobody has asked for."""

    def test_fails_the_next_that_is_asked(self, somebody: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": "a"})
            tx.value("select 1", {})
            pytest.fail("the failure was passed over")

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(somebody, act)
        assert names(things) == set()

    def test_fails_the_next_that_is_counted(self, somebody: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": "a"})
            tx.count(INSERT, {"name": "b"})
            pytest.fail("the failure was passed over")

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(somebody, act)
        assert names(things) == set()

    def test_fails_the_commit_and_takes_with_it_what_came_before_and_after(
        self, somebody: Actor, things: Database
    ) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "before"})
            tx.run(FAILING, {"name": "a"})
            tx.run(INSERT, {"name": "after"})

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(somebody, act)
        assert names(things) == set()

    def test_does_not_hide_what_the_caller_raised_and_its_row_is_not_logged(
        self, somebody: Actor, things: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": SECRET})
            raise LookupError

        with pytest.raises(LookupError):
            as_user(somebody, act)
        assert SECRET not in caplog.text
        assert names(things) == set()

    def test_leaves_a_connection_that_works(self, somebody: Actor, things: Database) -> None:
        def add(name: str) -> int:
            with db.as_user(somebody) as tx:
                pid: int = tx.value("select pg_backend_pid()", {})
                tx.run(INSERT, {"name": name})
            return pid

        first = add("a")
        for _ in range(2):
            with pytest.raises(psycopg.errors.UniqueViolation):
                add("a")
        assert add("b") == first
        assert names(things) == {"a", "b"}

    def test_who_goes_on_after_it_is_not_told_of_success(self, somebody: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            with suppress(psycopg.Error):
                tx.count(FAILING, {"name": "b"})

        with pytest.raises(ServiceUnavailable):
            as_user(somebody, act)
        assert names(things) == set()

    def test_its_error_says_nothing_of_its_row(self, somebody: Actor) -> None:
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            as_user(somebody, lambda tx: tx.run(FAILING, {"name": SECRET}))
        assert SECRET not in str(caught.value)


class TestEnded:
    """A session that is over."""

    @pytest.fixture
    def ended(self, somebody: Actor) -> Actor:
        return Actor(somebody.user_id, uuid4())

    def test_nothing_is_done_in_its_name(self, ended: Actor, things: Database) -> None:
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.run(INSERT, {"name": "a"}))
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.value(INSERT + " returning name", {"name": "a"}))
        with pytest.raises(SessionEnded), db.as_account(ended, "tests"):
            pass
        assert names(things) == set()

    def test_it_is_told_nothing_else(self, ended: Actor) -> None:
        """Neither what a statement met, nor what the caller makes of it."""
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.value(FAILING + " returning name", {"name": "a"}))
        with pytest.raises(SessionEnded), db.as_user(ended):
            raise LookupError


class TestOnCommit:
    def test_callbacks_run_once_each_after_the_commit(self, somebody: Actor, things: Database) -> None:
        seen: list[set[str]] = []

        def callback() -> None:
            seen.append(names(things))

        def act(tx: Tx) -> None:
            tx.on_commit(callback)
            tx.run(INSERT, {"name": "a"})
            tx.on_commit(callback)

        as_user(somebody, act)
        assert seen == [{"a"}]

    def test_a_callback_may_open_the_next_transaction(self, somebody: Actor, things: Database) -> None:
        def follow_up() -> None:
            as_user(somebody, lambda tx: tx.run(INSERT, {"name": "b"}))

        as_user(somebody, lambda tx: tx.on_commit(follow_up))
        assert names(things) == {"b"}

    @pytest.mark.parametrize("statement", [FAILING, None])
    def test_callbacks_do_not_run_after_a_rollback(self, somebody: Actor, statement: str | None) -> None:
        def act(tx: Tx) -> None:
            tx.on_commit(lambda: pytest.fail("called without a commit"))
            if statement is None:
                raise LookupError
            tx.run(statement, {"name": "a"})

        with pytest.raises((LookupError, psycopg.errors.CheckViolation)):
            as_user(somebody, act)

    def test_a_failing_callback_is_logged_and_the_others_run(
        self, somebody: Actor, things: Database, logs: Callable[[], str]
    ) -> None:
        called: list[str] = []

        def fail() -> None:
            raise OSError("queue unreachable")

        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            tx.on_commit(fail)
            tx.on_commit(lambda: called.append("second"))

        as_user(somebody, act)
        assert names(things) == {"a"}
        assert called == ["second"]
        assert "on_commit_failure" in logs()
        assert "queue unreachable" in logs()


class TestLarge:
    """Statements of more octets than the sockets hold."""

    def test_they_are_sent_whole(self, somebody: Actor, things: Database) -> None:
        large = "x" * 20_000_000

        def refused(tx: Tx) -> None:
            tx.run("select length(%(large)s)", {"large": large})
            raise LookupError

        with db.as_user(somebody) as tx:
            assert tx.value("select length(%(large)s)", {"large": large}) == len(large)
            assert tx.count("insert into public.things select 'a' where length(%(large)s) > 0", {"large": large}) == 1
        with pytest.raises(LookupError):
            as_user(somebody, refused)
        as_user(somebody, lambda tx: tx.run("select length(%(large)s)", {"large": large}))
        assert names(things) == {"a"}


class TestLost:
    def test_a_server_that_hangs_up_while_statements_wait(self, somebody: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            assert tx.value("select 1", {}) == 1
            things.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'chally_app'")
            tx.run(INSERT, {"name": "b"})

        with pytest.raises(ServiceUnavailable):
            as_user(somebody, act)
        as_user(somebody, lambda tx: tx.run(INSERT, {"name": "c"}))
        assert names(things) == {"c"}

    def test_who_stands_still_holds_nothing_for_ever(self, somebody: Actor, things: Database) -> None:
        """A function that is frozen, or whose network is gone, in the middle of a transaction."""

        def stand_still(tx: Tx) -> None:
            tx.value(INSERT + " returning name", {"name": "a"})
            until = time.monotonic() + 60
            while things.execute(
                "select 1 from pg_stat_activity where usename = 'chally_app' and datname = current_database()"
            ):
                assert time.monotonic() < until, "it still holds what it holds"

        things.execute("alter role chally_app set transaction_timeout = '200ms'")
        db.close()  # for the next connection
        try:
            with pytest.raises(ServiceUnavailable):
                as_user(somebody, stand_still)
        finally:
            things.execute("alter role chally_app set transaction_timeout = '30s'")
            db.close()
        assert names(things) == set()

    def test_an_interruption_of_the_end_leaves_nothing_to_the_next(
        self, somebody: Actor, things: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            raise LookupError

        def interrupted(_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Connection, "rollback", interrupted)
            with pytest.raises(KeyboardInterrupt):
                as_user(somebody, refused)
        as_user(somebody, lambda tx: tx.run(INSERT, {"name": "b"}))
        assert names(things) == {"b"}


def as_user(actor: Actor, act: Callable[[Tx], object]) -> None:
    with db.as_user(actor) as tx:
        act(tx)
