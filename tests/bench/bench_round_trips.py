"""Round trips to the database of every route of challenges and proofs, counted on the wire (read: 2, write: 3).

.venv/bin/python -m tests.bench.bench_round_trips

The functions connect through a relay that counts how often they speak after the server has. All of a request counts:
the limit of its own transaction, BEGIN, who is asking, its statements, COMMIT.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from chally import db, settings
from identity.keyring import Keyring
from tests import access
from tests.challenges import test_routes_access as of_challenges
from tests.conftest import Database
from tests.proofs import test_access as of_proofs

READ, WRITE = 2, 3
TABLE = of_challenges.TABLE | of_proofs.TABLE
# What its owner may not do, somebody else is asked to.
OTHERS = {"POST /v1/challenges/{ref}/join": "stranger", "POST /v1/challenges/{challenge_id}/leave": "participant"}


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
                self.trips += asks and self._heard
                self._heard = not asks
                sink.sendall(data)


@contextlib.contextmanager
def relayed(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """The functions connect by a relay."""
    relay = Relay(urlsplit(database.app).port or 0)
    for role, url in (("APP", database.app), ("SYSTEM", database.system)):
        by = url.replace(f":{relay.port}/", f":{relay.own_port}/") + "?sslmode=disable"
        monkeypatch.setenv(f"CHALLY_DATABASE_{role}_URL", by)
    settings.load.cache_clear()
    db.close()
    yield relay
    db.close()


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize("route", sorted(TABLE))
def test_round_trips(
    database: Database,
    keyring: Keyring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    route: str,
) -> None:
    club = access.open_club(database, keyring, "code")
    kind = OTHERS.get(route, "owner")
    asked = club.call("participant", f"POST {of_proofs.PROOFS}", TABLE[f"POST {of_proofs.PROOFS}"])
    club.values["proof_id"] = asked.json["proof"]["id"]
    with relayed(database, monkeypatch) as relay:
        club.call("bystander", "GET /v1/challenges/mine", TABLE["GET /v1/challenges/mine"])  # connects
        relay.trips = 0
        answer = club.call(kind, route, TABLE[route])
        trips = relay.trips
    assert answer.status < 300, answer.text
    goal = READ if route.startswith("GET") else WRITE
    with capsys.disabled():
        print(f"\r{route:<64} {trips:>2}  (goal: {goal})")


def main() -> None:
    """On the fixtures of the tests, so by pytest."""
    command = ["-m", "pytest", __file__, "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider"]
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
