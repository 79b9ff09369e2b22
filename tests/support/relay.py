"""A relay between the functions and Postgres, which counts their round trips on the wire."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chally import db, settings
from tests.support.database import Database

# What psycopg sends behind the Sync that ends a pipeline. It asks for nothing.
FLUSH = b"H\0\0\0\4"


class Relay:
    """Passes bytes on between the functions and Postgres; `trips` are the turns that the functions took."""

    def __init__(self, port: int) -> None:
        self.port, self.trips, self._heard = port, 0, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.own_port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, sink, asks in ((client, server, True), (server, client, False)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, sink, asks), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError), sink:  # who hangs up first closes both
            while data := source.recv(65536):
                if data != FLUSH:
                    self.trips += asks and self._heard
                    self._heard = not asks
                sink.sendall(data)


@contextlib.contextmanager
def relayed(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The functions connect by a relay."""
    relay = Relay(urlsplit(database.app).port or 0)
    with connecting_by(relay.own_port, database, monkeypatch):
        yield relay


@contextlib.contextmanager
def connecting_by(port: int, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The functions connect to another port of this machine; the database as it is there."""
    former = urlsplit(database.app).port
    there = Database(
        database.url, *(url.replace(f":{former}/", f":{port}/") for url in (database.app, database.system))
    )
    monkeypatch.setenv("CHALLY_DATABASE_APP_URL", f"{there.app}?sslmode=disable")
    monkeypatch.setenv("CHALLY_DATABASE_SYSTEM_URL", f"{there.system}?sslmode=disable")
    settings.load.cache_clear()
    db.close()
    yield there
    db.close()
