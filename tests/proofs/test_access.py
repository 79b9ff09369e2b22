"""Every route of proofs, as nobody, stranger, moderator, removed one, participant and owner."""

import pytest

from identity.keyring import Keyring
from proofs.routes import router
from tests import access
from tests.access import Row
from tests.conftest import Database

PROOFS = "/v1/challenges/{challenge_id}/proofs"
REJECT = {"decision": "reject", "reason": "It is not you."}
PHOTO = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}

# nobody, stranger, moderator, removed, participant, owner; the proof is the participant's
TABLE = {
    f"POST {PROOFS}": Row("401 404 404 404 201 201", "401 403 403 403 201 201", PHOTO),
    f"GET {PROOFS}": Row("401 404 200 404 200 200", "401 403 200 403 200 200"),
    "GET /v1/proofs/{proof_id}": Row("401 404 200 404 200 200", "401 404 200 404 200 200"),
    "GET /v1/proofs/{proof_id}/image": Row("401 404 307 404 307 307", "401 404 307 404 307 307"),
    "GET /v1/proofs/{proof_id}/receipt": Row("401 404 200 404 200 200", "401 404 200 404 200 200"),
    "POST /v1/proofs/{proof_id}/review": Row("401 404 200 404 403 200", "401 404 200 404 403 200", REJECT),
    # it is accepted
    "POST /v1/proofs/{proof_id}/appeal": Row("401 404 404 404 409 404", "401 404 404 404 409 404", {"message": "!"}),
    "DELETE /v1/proofs/{proof_id}": Row("401 404 404 404 204 404", "401 404 404 404 204 404"),
}


def test_every_route_has_a_row() -> None:
    assert access.routes(router) == set(TABLE)


@pytest.mark.parametrize("route", TABLE)
@pytest.mark.parametrize("visibility", ["by_code", "public"])
@pytest.mark.usefixtures("cloud")
def test_everybody(database: Database, keyring: Keyring, visibility: str, route: str) -> None:
    club = access.open_club(database, keyring, visibility.removeprefix("by_"))
    asked = club.call("participant", f"POST {PROOFS}", TABLE[f"POST {PROOFS}"])
    club.values["proof_id"] = asked.json["proof"]["id"]
    database.execute("update proofs.proofs set status = 'accepted', picture_key = 'pictures/a.jpg', decided_at = now()")
    if route == f"POST {PROOFS}":
        # a window takes one
        database.execute("delete from proofs.proofs")
    assert club.statuses(route, TABLE[route]) == getattr(TABLE[route], visibility)
