"""People who act at the same time, each on a separate connection, as separate Lambda environments do."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg

from challenges import membership
from challenges.jobs import nightly_handler
from challenges.queries import CONSTRAINTS
from chally import clock
from chally.actor import Actor
from chally.db import Tx
from chally.errors import AppError
from tests.support.api import LambdaContext
from tests.support.challenges import ChallengeJson
from tests.support.database import Database

AT_ONCE = 50  # connections


@contextmanager
def acting(connection: psycopg.Connection[Any], user: UUID) -> Iterator[Tx]:
    """A transaction of one person, as the role chally_app."""
    tx = Tx(connection, Actor(user, uuid4()))
    with connection.transaction():
        connection.execute("select set_config('chally.actor', %s, true)", [str(user)])
        yield tx


def connect(database: Database) -> psycopg.Connection[Any]:
    return psycopg.connect(database.app, autocommit=True, prepare_threshold=None)


def code_of(error: Exception) -> str:
    """The error code that a client would get."""
    if isinstance(error, AppError):
        return error.code
    if isinstance(error, psycopg.Error):
        named = CONSTRAINTS.get(error.diag.constraint_name or "")
        return named.code if named else type(error).__name__
    raise error


def all_at_once(
    database: Database, people: Sequence[UUID], act: Callable[[Tx], str], *, threads: int = AT_ONCE
) -> list[str]:
    """Let everybody act, each in a transaction, `threads` at a time; return the outcomes in order."""
    threads = min(threads, len(people))
    own = threading.local()
    start = threading.Barrier(threads)
    opened: list[psycopg.Connection[Any]] = []

    def begin() -> None:
        own.connection = connect(database)
        opened.append(own.connection)
        start.wait()

    def one(user: UUID) -> str:
        try:
            with acting(own.connection, user) as tx:
                return act(tx)
        except (AppError, psycopg.Error) as error:
            return code_of(error)

    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        futures = [pool.submit(one, user) for user in people]
        outcomes = [future.result() for future in futures]
    for connection in opened:
        connection.close()
    return outcomes


def waits(database: Database, pid: int) -> bool:
    """Whether this backend waits for another one."""
    return bool(database.execute("select cardinality(pg_blocking_pids(%(pid)s)) > 0", pid=pid)[0][0])


class TwoTransactions:
    """Two people's transactions: the first runs step by step, the second in a thread that may have to wait."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.first, self.second = connect(database), connect(database)
        self.outcome = ""

    def commits(self, user: UUID, act: Callable[[Tx], object]) -> str:
        """Let the first act and commit; return the result."""
        try:
            with acting(self.first, user) as tx:
                act(tx)
        except psycopg.Error as error:
            return code_of(error)
        return "committed"

    def begin(self, user: UUID, act: Callable[[Tx], str]) -> threading.Thread:
        """Start the second; return once it waits for the first, or is done."""

        def run() -> None:
            try:
                with acting(self.second, user) as tx:
                    self.outcome = act(tx)
            except (psycopg.Error, AppError) as error:
                self.outcome = code_of(error)

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive() and not waits(self.database, self.second.info.backend_pid):
            pass
        return thread


def joining(made: ChallengeJson) -> Callable[[Tx], str]:
    def join(tx: Tx) -> str:
        joined = membership.join(tx, made["invite_code"], None, clock.now())
        return "joined" if joined.is_new else "had joined"

    return join


def leaving(made: ChallengeJson) -> Callable[[Tx], str]:
    def leave(tx: Tx) -> str:
        membership.leave(tx, UUID(made["id"]), clock.now())
        return "left"

    return leave


def check_counts(database: Database) -> None:
    """Check participant counts with the test's SQL and with the nightly job."""
    wrong = database.execute(
        "select id, participant_count from challenges.challenges c where participant_count <>"
        " (select count(*) from challenges.participants p where p.challenge_id = c.id and p.left_at is null)"
    )
    assert wrong == []
    assert nightly_handler({}, LambdaContext())["wrong"] == 0
