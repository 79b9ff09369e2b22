"""The database: one lazy connection per role and environment, and the only place where transactions begin.

A Lambda environment serves one event at a time, so psycopg is used synchronously. The connection is opened after a
SnapStart restore, because it is opened when first needed. `prepare_threshold=None` and transaction-local settings
keep RDS Proxy from pinning.

A transaction is a pipeline: nobody waits before the result of a statement is asked for. So BEGIN, who is asking and the
first statement share a round trip, and a statement without an answer shares that of whatever comes next, or of COMMIT.
When one fails, the server skips all that was sent behind it, COMMIT too.
"""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, scalar_row

from chally.errors import SessionEnded, Unavailable
from chally.log import logger
from chally.settings import DatabaseSettings, load

if TYPE_CHECKING:
    from chally.actor import Actor, Session

Role = Literal["chally_app", "chally_system"]
Params = Mapping[str, object]

SESSION_ENDED = "ZC401"  # see core.identify()
TIMED_OUT = ("25P03", "25P04")  # an idle transaction, a long one: the server has hung up


class Tx:
    """One open transaction. `queries` send their SQL through it and get typed rows."""

    def __init__(self, connection: psycopg.Connection[Any], actor: "Actor | None") -> None:
        self._connection = connection
        self.actor = actor
        self._identity: psycopg.Cursor[Any] | None = None
        self._session: Session | None = None
        self.wrote_outbox = False

    @property
    def session(self) -> "Session":
        """The actor's session, as it is now. LookupError in a transaction that has no actor."""
        if self._session is None:
            row = self._identity.fetchone() if self._identity else None
            if row is None:
                raise LookupError("nobody is signed in here")
            from chally.actor import Session

            self._session = Session(*row)
        return self._session

    def identify(self, *, read_only: bool, reason: str) -> None:
        """Say who is asking. Where their session is over this fails, and with it all that follows."""
        actor = self.actor
        self._identity = self._connection.execute(
            "select role, authenticated_at, second_factor"
            " from core.identify(%(actor)s, %(session)s, %(reason)s, %(traceparent)s, %(read_only)s)",
            {
                "actor": actor.user_id if actor else None,
                "session": actor.session_id if actor else None,
                "reason": reason,
                "traceparent": traceparent,
                "read_only": read_only,
            },
        )

    def all[T](self, sql: str, params: Params, *, row: type[T]) -> list[T]:
        """Every row, as `row` (a dataclass with the columns' names)."""
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(sql.encode(), params).fetchall()

    def maybe[T](self, sql: str, params: Params, *, row: type[T]) -> T | None:
        """The first row, or None."""
        with self._connection.cursor(row_factory=class_row(row)) as cursor:
            return cursor.execute(sql.encode(), params).fetchone()

    def one[T](self, sql: str, params: Params, *, row: type[T]) -> T:
        """The row that must be there; LookupError if it is not."""
        found = self.maybe(sql, params, row=row)
        if found is None:
            raise LookupError("a statement that always answers answered no row")
        return found

    def value(self, sql: str, params: Params) -> Any:
        """The first column of the first row, or None."""
        with self._connection.cursor(row_factory=scalar_row) as cursor:
            return cursor.execute(sql.encode(), params).fetchone()

    def count(self, sql: str, params: Params) -> int:
        """Execute; answers the number of rows touched."""
        cursor = self._connection.execute(sql.encode(), params)
        _wait(self._connection)
        return cursor.rowcount

    def run(self, sql: str, params: Params) -> None:
        """Execute what has no answer. If it fails, the next statement that has one fails with its error, or COMMIT."""
        self._connection.execute(sql.encode(), params)


@contextmanager
def as_user(actor: "Actor", *, read_only: bool = False) -> Iterator[Tx]:
    """A transaction in the name of a person: row-level security shows it what they may see."""
    with _transaction("chally_app", actor=actor, read_only=read_only) as tx:
        yield tx


@contextmanager
def as_anonymous(*, read_only: bool = False) -> Iterator[Tx]:
    """A transaction in nobody's name: it sees what is public."""
    with _transaction("chally_app", actor=None, read_only=read_only) as tx:
        yield tx


@contextmanager
def as_system(reason: str, *, read_only: bool = False) -> Iterator[Tx]:
    """A transaction of the system itself, for jobs and for sign-in, where there is no actor; `reason` is for audit."""
    with _transaction("chally_system", actor=None, read_only=read_only, reason=reason) as tx:
        yield tx


@contextmanager
def as_account(actor: "Actor", reason: str, *, read_only: bool = False) -> Iterator[Tx]:
    """A transaction in the name of a person, with the system's rights: for what even they may not read of themselves,
    such as their password's hash. Whoever opens one names the person in every statement.
    """
    with _transaction("chally_system", actor=actor, read_only=read_only, reason=reason) as tx:
        yield tx


_connections: dict[Role, psycopg.Connection[Any]] = {}
_open: set[Role] = set()
# What the request carried, for every transaction of it (set by `chally.http`).
traceparent = ""


@contextmanager
def _transaction(role: Role, *, actor: "Actor | None", read_only: bool, reason: str = "") -> Iterator[Tx]:
    if _open:
        raise RuntimeError("transactions are never nested: pass tx down instead")
    _open.add(role)
    try:
        connection = _ready(role)
        with begun(connection, actor, read_only=read_only, reason=reason) as tx:
            yield tx
    except psycopg.Error as error:
        if error.sqlstate == SESSION_ENDED:
            raise SessionEnded from None
        if error.diag.message_primary is not None:
            # the detail of an error holds the row it failed on: addresses, hashes; whoever logs it logs those
            error.args = (error.diag.message_primary,)
        lost = isinstance(error, psycopg.OperationalError) and (
            error.sqlstate is None or error.sqlstate.startswith(("57", "08", "53"))
        )
        if lost or error.sqlstate in TIMED_OUT:
            close()  # a broken connection must not be used by the next request
            logger.warning("database connection lost", sqlstate=error.sqlstate)
            raise Unavailable(headers={"Retry-After": "1"}) from error
        raise
    finally:
        _open.discard(role)
    if tx.wrote_outbox:
        _nudge()


@contextmanager
def begun(
    connection: psycopg.Connection[Any], actor: "Actor | None", *, read_only: bool = False, reason: str = ""
) -> Iterator[Tx]:
    """A transaction on this connection, committed at the end or else rolled back. One that can do neither is closed."""
    try:
        with connection.pipeline():
            connection.execute("begin")
            tx = Tx(connection, actor)
            tx.identify(read_only=read_only, reason=reason)
            try:
                yield tx
            except BaseException:
                try:
                    _wait(connection)
                except psycopg.Error as error:  # of a statement that nobody has asked about
                    if error.sqlstate == SESSION_ENDED:
                        raise
                raise
            connection.execute("commit")
    finally:
        _settle(connection)


def _wait(connection: psycopg.Connection[Any]) -> None:
    """For the results of all that was sent; raises the first error. Not by `Pipeline.sync()`, which waits for ever for
    the answer to a statement that is not sent whole yet.
    """
    connection.execute("select").fetchall()


def _settle(connection: psycopg.Connection[Any]) -> None:
    """Nothing of a transaction may be left to the next, whatever happens here."""
    try:
        if connection.info.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            with suppress(psycopg.Error):
                connection.rollback()
    finally:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()


def _ready(role: Role) -> psycopg.Connection[Any]:
    connection = _connections.get(role)
    if connection is not None and not connection.closed:
        if _alive(connection):
            return connection
        connection.close()
    connection = _connect(role)
    _connections[role] = connection
    return connection


def _alive(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has hung up since the last use: readable data on an idle connection is the news of its end."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


def _connect(role: Role) -> psycopg.Connection[Any]:
    settings = load(DatabaseSettings)
    url = settings.database_app_url if role == "chally_app" else settings.database_system_url
    if url is not None:
        conninfo, tls = url.get_secret_value(), {}
    elif settings.database_host is not None:
        conninfo, tls = "", _iam(settings, role)
    else:
        raise RuntimeError(f"this function was given no way to connect as {role}")
    return psycopg.connect(
        conninfo, autocommit=True, prepare_threshold=None, connect_timeout=5, application_name="chally", **tls
    )


def _iam(settings: DatabaseSettings, role: Role) -> dict[str, Any]:
    """Connection parameters for RDS Proxy: the password is a token signed for the role, good for 15 minutes."""
    import certifi

    from chally import aws

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


def _nudge() -> None:
    from chally import outbox
    from chally.settings import OutboxWriterSettings

    outbox.nudge(load(OutboxWriterSettings).outbox_queue_url)


def close() -> None:
    """Close every connection of this environment; the next transaction opens a new one."""
    for connection in _connections.values():
        connection.close()
    _connections.clear()
