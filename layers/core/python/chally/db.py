"""The database: one lazy connection per role and Lambda environment. Every transaction begins here.

A Lambda environment serves one event at a time, so psycopg is used synchronously. A connection is opened on first use,
and so after a SnapStart restore. `prepare_threshold=None` and transaction-local settings keep RDS Proxy from pinning.

A transaction is a pipeline: a statement is sent at once, and waits for the server only if its result is needed. BEGIN,
the actor and the first query share one round trip; a statement without a result shares that of the next query, or of
COMMIT. If a statement fails, the server skips everything queued after it, including COMMIT.
"""

import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import certifi
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, scalar_row

from chally import aws, context
from chally.actor import Actor, SessionState
from chally.errors import ServiceUnavailable, SessionEnded
from chally.log import logger
from chally.settings import DatabaseSettings, load

DatabaseRole = Literal["chally_app", "chally_system"]
Params = Mapping[str, object]

SESSION_ENDED = "ZC401"  # raised by core.identify()
TIMED_OUT = ("25P03", "25P04")  # an idle or a long transaction: the server has closed the connection


class Tx:
    """An open transaction. `queries` modules send their SQL through it and get typed rows."""

    def __init__(self, connection: psycopg.Connection[Any], actor: Actor | None) -> None:
        self._connection = connection
        self.actor = actor
        self._identity: psycopg.Cursor[Any] | None = None
        self._session: SessionState | None = None
        self._on_commit: dict[Callable[[], None], None] = {}

    @property
    def session(self) -> SessionState:
        """The actor's session as it is now. LookupError if this transaction has no actor."""
        if self._session is None:
            row = self._identity.fetchone() if self._identity else None
            if row is None:
                raise LookupError("this transaction has no actor")
            self._session = SessionState(*row)
        return self._session

    def identify(self, *, read_only: bool, reason: str) -> None:
        """Set the actor, for policies. If their session has ended, this statement fails and so does the transaction."""
        actor = self.actor
        self._identity = self._connection.execute(
            "select role, authenticated_at, second_factor"
            " from core.identify(%(actor)s, %(session)s, %(reason)s, %(traceparent)s, %(read_only)s)",
            {
                "actor": actor.user_id if actor else None,
                "session": actor.session_id if actor else None,
                "reason": reason,
                "traceparent": context.current().traceparent,
                "read_only": read_only,
            },
        )

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` after a successful COMMIT; once, however often it is registered.

        The transaction stands by then, so an exception in a callback is logged and not raised.
        """
        self._on_commit[callback] = None

    def run_on_commit(self) -> None:
        for callback in self._on_commit:
            try:
                callback()
            except Exception:
                logger.exception("on_commit_failure", callback=repr(callback))

    def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
        """Every row, as a `row`: a dataclass with the columns' names."""
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(sql.encode(), params).fetchall()

    def maybe[T](self, sql: str, params: Params, *, row: type[T]) -> T | None:
        """The first row, or None."""
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(sql.encode(), params).fetchone()

    def one[T](self, sql: str, params: Params, *, row: type[T]) -> T:
        """The first row. LookupError if there is none."""
        found = self.maybe(sql, params, row=row)
        if found is None:
            raise LookupError("expected exactly one row, got none")
        return found

    def value(self, sql: str, params: Params) -> Any:
        """The first column of the first row, or None."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(sql.encode(), params).fetchone()

    def count(self, sql: str, params: Params) -> int:
        """Execute, and return the number of affected rows."""
        cursor = self._connection.execute(sql.encode(), params)
        _sync(self._connection)
        return cursor.rowcount

    def run(self, sql: str, params: Params) -> None:
        """Queue a statement without a result. If it fails, the next statement with a result, or COMMIT, raises."""
        self._connection.execute(sql.encode(), params)


@contextmanager
def as_user(actor: Actor, *, read_only: bool = False) -> Iterator[Tx]:
    """A transaction as a person: row-level security limits it to what they may see."""
    with _transaction("chally_app", actor=actor, read_only=read_only) as tx:
        yield tx


@contextmanager
def as_anonymous(*, read_only: bool = False) -> Iterator[Tx]:
    """A transaction without an actor: it sees what is public."""
    with _transaction("chally_app", actor=None, read_only=read_only) as tx:
        yield tx


@contextmanager
def as_system(reason: str, *, read_only: bool = False, one_snapshot: bool = False) -> Iterator[Tx]:
    """A transaction of the system, for jobs and for sign-in, where there is no actor yet. `reason` is for audit.

    `one_snapshot`: all its statements see the database as it is at the first (REPEATABLE READ).
    """
    with _transaction("chally_system", actor=None, read_only=read_only, reason=reason, one_snapshot=one_snapshot) as tx:
        yield tx


@contextmanager
def as_account(actor: Actor, reason: str, *, read_only: bool = False) -> Iterator[Tx]:
    """A transaction as a person with the system's rights, for data that they may not read themselves, such as their
    password's hash. Every statement in it must filter by the person.
    """
    with _transaction("chally_system", actor=actor, read_only=read_only, reason=reason) as tx:
        yield tx


_connections: dict[DatabaseRole, psycopg.Connection[Any]] = {}
_open: set[DatabaseRole] = set()


@contextmanager
def _transaction(
    role: DatabaseRole, *, actor: Actor | None, read_only: bool, reason: str = "", one_snapshot: bool = False
) -> Iterator[Tx]:
    if _open:
        raise RuntimeError("transactions cannot be nested: pass tx down instead")
    _open.add(role)
    try:
        connection = _connection(role)
        with begin(connection, actor, read_only=read_only, reason=reason, one_snapshot=one_snapshot) as tx:
            yield tx
    except psycopg.Error as error:
        if error.sqlstate == SESSION_ENDED:
            raise SessionEnded from None
        if error.diag.message_primary is not None:
            # The detail of an error quotes the row that failed, such as addresses and hashes, and would be logged.
            error.args = (error.diag.message_primary,)
        lost = isinstance(error, psycopg.OperationalError) and (
            error.sqlstate is None or error.sqlstate.startswith(("57", "08", "53"))
        )
        if lost or error.sqlstate in TIMED_OUT:
            close()  # the next request must not use a broken connection
            logger.warning("database_connection_loss", sqlstate=error.sqlstate)
            raise ServiceUnavailable from error
        raise
    finally:
        _open.discard(role)
    tx.run_on_commit()


@contextmanager
def begin(
    connection: psycopg.Connection[Any],
    actor: Actor | None,
    *,
    read_only: bool = False,
    reason: str = "",
    one_snapshot: bool = False,
) -> Iterator[Tx]:
    """A transaction on this connection. Commits on success, else rolls back; if neither works, closes the connection.

    Does not run `on_commit` callbacks.
    """
    try:
        with connection.pipeline():
            connection.execute("begin isolation level repeatable read" if one_snapshot else "begin")
            tx = Tx(connection, actor)
            tx.identify(read_only=read_only, reason=reason)
            try:
                yield tx
            except BaseException:
                try:
                    _sync(connection)
                except psycopg.Error as error:  # from a queued statement
                    if error.sqlstate == SESSION_ENDED:
                        raise
                raise
            connection.execute("commit")
    finally:
        _end_transaction(connection)


def _sync(connection: psycopg.Connection[Any]) -> None:
    """Wait for the results of everything sent; raises the first error.

    `Pipeline.sync()` cannot be used: it never returns if a statement has not been sent completely.
    """
    connection.execute("select").fetchall()


def _end_transaction(connection: psycopg.Connection[Any]) -> None:
    """Roll back what is still open, or close the connection: the next transaction must inherit nothing."""
    try:
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            with suppress(psycopg.Error):
                connection.rollback()
    finally:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()


def _connection(role: DatabaseRole) -> psycopg.Connection[Any]:
    connection = _connections.get(role)
    if connection is not None and not connection.closed:
        if _is_alive(connection):
            return connection
        connection.close()
    connection = _connect(role)
    _connections[role] = connection
    return connection


def _is_alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server still holds the connection: an idle one becomes readable when the server closes it."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _connect(role: DatabaseRole) -> psycopg.Connection[Any]:
    settings = load(DatabaseSettings)
    url = settings.database_app_url if role == "chally_app" else settings.database_system_url
    if url is not None:
        conninfo, tls = url.get_secret_value(), {}
    elif settings.database_host is not None:
        conninfo, tls = "", _iam_parameters(settings, role)
    else:
        raise RuntimeError(f"this function's environment has no connection for {role}")
    return psycopg.connect(
        conninfo, autocommit=True, prepare_threshold=None, connect_timeout=5, application_name="chally", **tls
    )


def _iam_parameters(settings: DatabaseSettings, role: DatabaseRole) -> dict[str, Any]:
    """Connection parameters for RDS Proxy. The password is a token signed for the role, valid for 15 minutes."""
    assert settings.database_host is not None
    token = aws.database_token(settings.database_host, settings.database_port, role, settings.region)
    return {
        "host": settings.database_host,
        "port": settings.database_port,
        "dbname": settings.database_name,
        "user": role,
        "password": token,
        "sslmode": "verify-full",
        "sslrootcert": certifi.where(),
    }


def close() -> None:
    """Close every connection of this environment; the next transaction opens a new one."""
    for connection in _connections.values():
        connection.close()
    _connections.clear()
