"""A TCP relay between the functions and Postgres that counts round trips on the wire."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chally import db, settings
from tests.support.database import Database

# psycopg sends this Flush after the Sync that ends a pipeline. It requests nothing.
FLUSH = b"H\0\0\0\4"


class Relay:
    """Forwards bytes between functions and Postgres; `trips` counts how often the functions spoke after the server."""

    def __init__(self, port: int) -> None:
        self.port, self.trips, self._server_spoke = port, 0, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.own_port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            for source, sink, is_client in ((client, server, True), (server, client, False)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, sink, is_client), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_client: bool) -> None:
        with contextlib.suppress(OSError), sink:  # whichever side closes first closes both
            while data := source.recv(65536):
                if data != FLUSH:
                    self.trips += is_client and self._server_spoke
                    self._server_spoke = not is_client
                sink.sendall(data)


@contextlib.contextmanager
def relayed(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """Connect the functions through a relay."""
    relay = Relay(urlsplit(database.app).port or 0)
    with connecting_by(relay.own_port, database, monkeypatch):
        yield relay


@contextlib.contextmanager
def connecting_by(port: int, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Connect the functions to another port of this machine; yields the database as reached there."""
    direct = urlsplit(database.app).port
    there = Database(
        database.url, *(url.replace(f":{direct}/", f":{port}/") for url in (database.app, database.system))
    )
    monkeypatch.setenv("CHALLY_DATABASE_APP_URL", f"{there.app}?sslmode=disable")
    monkeypatch.setenv("CHALLY_DATABASE_SYSTEM_URL", f"{there.system}?sslmode=disable")
    settings.load.cache_clear()
    db.close()
    yield there
    db.close()
