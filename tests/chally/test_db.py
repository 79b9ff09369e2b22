"""Transactions as pipelines: which statements share a round trip, failures, callbacks, lost connections."""

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
def member(things: Database, person: SignUp) -> Actor:
    return access_tokens.authenticate(str(person("kari").token), issuer=load(HttpSettings).public_url)


def names(database: Database) -> set[str]:
    return {name for (name,) in database.execute("select name from public.things")}


class TestRoundTrips:
    @pytest.fixture
    def relay(self, member: Actor, things: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
        """A connected proxy that counts round trips."""
        with relayed(things, monkeypatch) as relay:
            with db.as_user(member):
                pass
            relay.trips = 0
            yield relay

    def test_begin_and_the_actor_share_the_first_querys_round_trip(self, member: Actor, relay: Relay) -> None:
        with db.as_user(member, read_only=True) as tx:
            assert tx.value("select 1", {}) == 1
            assert tx.session.role == "user"
        assert relay.trips == 2

    def test_statements_without_results_share_the_commits_round_trip(
        self, member: Actor, things: Database, relay: Relay
    ) -> None:
        with db.as_user(member) as tx:
            for name in "abc":
                tx.run(INSERT, {"name": name})
        assert relay.trips == 1
        assert names(things) == {"a", "b", "c"}


class TestQueuedFailure:
    """A queued statement, sent with `Tx.run`, that fails."""

    def test_the_next_query_raises_its_error(self, member: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": "a"})
            tx.value("select 1", {})
            pytest.fail("the failure was ignored")

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(member, act)
        assert names(things) == set()

    def test_the_next_count_raises_its_error(self, member: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": "a"})
            tx.count(INSERT, {"name": "b"})
            pytest.fail("the failure was ignored")

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(member, act)
        assert names(things) == set()

    def test_commit_raises_its_error_and_nothing_is_stored(self, member: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "before"})
            tx.run(FAILING, {"name": "a"})
            tx.run(INSERT, {"name": "after"})

        with pytest.raises(psycopg.errors.CheckViolation):
            as_user(member, act)
        assert names(things) == set()

    def test_the_callers_exception_wins_and_the_failed_row_is_not_logged(
        self, member: Actor, things: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        def act(tx: Tx) -> None:
            tx.run(FAILING, {"name": SECRET})
            raise LookupError

        with pytest.raises(LookupError):
            as_user(member, act)
        assert SECRET not in caplog.text
        assert names(things) == set()

    def test_the_connection_works_after_a_failure(self, member: Actor, things: Database) -> None:
        def add(name: str) -> int:
            with db.as_user(member) as tx:
                pid: int = tx.value("select pg_backend_pid()", {})
                tx.run(INSERT, {"name": name})
            return pid

        first = add("a")
        for _ in range(2):
            with pytest.raises(psycopg.errors.UniqueViolation):
                add("a")
        assert add("b") == first
        assert names(things) == {"a", "b"}

    def test_a_caller_that_ignores_the_failure_does_not_get_success(self, member: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            with suppress(psycopg.Error):
                tx.count(FAILING, {"name": "b"})

        with pytest.raises(ServiceUnavailable):
            as_user(member, act)
        assert names(things) == set()

    def test_the_error_does_not_quote_the_failed_row(self, member: Actor) -> None:
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            as_user(member, lambda tx: tx.run(FAILING, {"name": SECRET}))
        assert SECRET not in str(caught.value)


class TestEndedSession:
    @pytest.fixture
    def ended(self, member: Actor) -> Actor:
        return Actor(member.user_id, uuid4())

    def test_every_transaction_is_refused(self, ended: Actor, things: Database) -> None:
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.run(INSERT, {"name": "a"}))
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.value(INSERT + " returning name", {"name": "a"}))
        with pytest.raises(SessionEnded), db.as_account(ended, "tests"):
            pass
        assert names(things) == set()

    def test_no_other_error_is_raised_instead(self, ended: Actor) -> None:
        """Neither that of a statement, nor the caller's own."""
        with pytest.raises(SessionEnded):
            as_user(ended, lambda tx: tx.value(FAILING + " returning name", {"name": "a"}))
        with pytest.raises(SessionEnded), db.as_user(ended):
            raise LookupError


class TestOnCommit:
    def test_callbacks_run_once_each_after_the_commit(self, member: Actor, things: Database) -> None:
        seen: list[set[str]] = []

        def callback() -> None:
            seen.append(names(things))

        def act(tx: Tx) -> None:
            tx.on_commit(callback)
            tx.run(INSERT, {"name": "a"})
            tx.on_commit(callback)

        as_user(member, act)
        assert seen == [{"a"}]

    def test_a_callback_may_open_the_next_transaction(self, member: Actor, things: Database) -> None:
        def follow_up() -> None:
            as_user(member, lambda tx: tx.run(INSERT, {"name": "b"}))

        as_user(member, lambda tx: tx.on_commit(follow_up))
        assert names(things) == {"b"}

    @pytest.mark.parametrize("statement", [FAILING, None])
    def test_callbacks_do_not_run_after_a_rollback(self, member: Actor, statement: str | None) -> None:
        def act(tx: Tx) -> None:
            tx.on_commit(lambda: pytest.fail("called without a commit"))
            if statement is None:
                raise LookupError
            tx.run(statement, {"name": "a"})

        with pytest.raises((LookupError, psycopg.errors.CheckViolation)):
            as_user(member, act)

    def test_a_failing_callback_is_logged_and_the_others_run(
        self, member: Actor, things: Database, logs: Callable[[], str]
    ) -> None:
        called: list[str] = []

        def fail() -> None:
            raise OSError("queue unreachable")

        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            tx.on_commit(fail)
            tx.on_commit(lambda: called.append("second"))

        as_user(member, act)
        assert names(things) == {"a"}
        assert called == ["second"]
        assert "on_commit_failure" in logs()
        assert "queue unreachable" in logs()


class TestLargeStatements:
    """Statements larger than the socket buffers."""

    def test_large_statements_are_sent_completely(self, member: Actor, things: Database) -> None:
        large = "x" * 20_000_000

        def refused(tx: Tx) -> None:
            tx.run("select length(%(large)s)", {"large": large})
            raise LookupError

        with db.as_user(member) as tx:
            assert tx.value("select length(%(large)s)", {"large": large}) == len(large)
            assert tx.count("insert into public.things select 'a' where length(%(large)s) > 0", {"large": large}) == 1
        with pytest.raises(LookupError):
            as_user(member, refused)
        as_user(member, lambda tx: tx.run("select length(%(large)s)", {"large": large}))
        assert names(things) == {"a"}


class TestLostConnection:
    def test_a_connection_closed_between_statements_is_503_and_replaced(self, member: Actor, things: Database) -> None:
        def act(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            assert tx.value("select 1", {}) == 1
            things.execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'chally_app'")
            tx.run(INSERT, {"name": "b"})

        with pytest.raises(ServiceUnavailable):
            as_user(member, act)
        as_user(member, lambda tx: tx.run(INSERT, {"name": "c"}))
        assert names(things) == {"c"}

    def test_the_server_ends_a_transaction_that_stalls(self, member: Actor, things: Database) -> None:
        """A function that is frozen, or loses its network, inside a transaction must not keep its locks."""

        def stall(tx: Tx) -> None:
            tx.value(INSERT + " returning name", {"name": "a"})
            until = time.monotonic() + 60
            while things.execute(
                "select 1 from pg_stat_activity where usename = 'chally_app' and datname = current_database()"
            ):
                assert time.monotonic() < until, "the server has not ended the transaction"

        things.execute("alter role chally_app set transaction_timeout = '200ms'")
        db.close()  # the setting applies to new connections
        try:
            with pytest.raises(ServiceUnavailable):
                as_user(member, stall)
        finally:
            things.execute("alter role chally_app set transaction_timeout = '30s'")
            db.close()
        assert names(things) == set()

    def test_an_interrupted_rollback_leaks_nothing_into_the_next_transaction(
        self, member: Actor, things: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(tx: Tx) -> None:
            tx.run(INSERT, {"name": "a"})
            raise LookupError

        def interrupted(_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Connection, "rollback", interrupted)
            with pytest.raises(KeyboardInterrupt):
                as_user(member, refused)
        as_user(member, lambda tx: tx.run(INSERT, {"name": "b"}))
        assert names(things) == {"b"}


def as_user(actor: Actor, act: Callable[[Tx], object]) -> None:
    with db.as_user(actor) as tx:
        act(tx)
