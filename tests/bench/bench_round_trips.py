"""Round trips to the database of every route of challenges and proofs, counted on the wire (read: 2, write: 3).

.venv/bin/python -m tests.bench.bench_round_trips

The functions connect through a relay that counts how often they speak after the server has. The whole request counts:
the transaction of its rate limit, BEGIN, the actor, its statements, COMMIT.
"""

import os
import sys

import pytest

from chally import db
from identity.keyring import Keyring
from tests.support import access
from tests.support.access_tables import CHALLENGE_PROOFS, CHALLENGES, PROOFS
from tests.support.database import Database
from tests.support.relay import relayed

READ, WRITE = 2, 3
TABLE = CHALLENGES | PROOFS
# Calls that the owner may not make.
OTHERS = {
    "POST /v1/challenges/{ref}/join": "stranger",
    "POST /v1/challenges/{challenge_id}/leave": "participant",
    "POST /v1/proofs/{proof_id}/appeal": "participant",
    "DELETE /v1/proofs/{proof_id}": "participant",
}


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
    asked = club.call("participant", f"POST {CHALLENGE_PROOFS}", TABLE[f"POST {CHALLENGE_PROOFS}"])
    club.values["proof_id"] = asked.json["proof"]["id"]
    status = "rejected" if route.endswith("/appeal") else "accepted"
    database.execute(
        "update proofs.proofs set status = %(status)s, picture_key = 'pictures/a.jpg', decided_at = now()",
        status=status,
    )
    with relayed(database, monkeypatch) as relay:
        with db.as_anonymous():
            pass  # connects
        with db.as_system("connects"):
            pass
        relay.trips = 0
        answer = club.call(kind, route, TABLE[route])
        trips = relay.trips
    assert answer.status < 400, answer.text
    goal = READ if route.startswith("GET") else WRITE
    with capsys.disabled():
        print(f"\r{route:<64} {trips:>2}  (goal: {goal})")


def main() -> None:
    """Run by pytest, for the fixtures of the tests."""
    command = ["-m", "pytest", __file__, "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider"]
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
