"""Access to every route of proofs: anonymous, stranger, moderator, removed participant, participant and owner."""

import pytest

from identity.keyring import Keyring
from proofs.routes import router
from tests.support import access
from tests.support.access_tables import CHALLENGE_PROOFS, PROOFS
from tests.support.database import Database


def test_every_route_has_a_row_in_the_access_table() -> None:
    assert access.routes(router) == set(PROOFS)


@pytest.mark.parametrize("route", PROOFS)
@pytest.mark.parametrize("visibility", ["by_code", "public"])
@pytest.mark.usefixtures("cloud")
def test_each_kind_of_person_gets_the_status_of_the_table(
    database: Database, keyring: Keyring, visibility: str, route: str
) -> None:
    club = access.open_club(database, keyring, visibility.removeprefix("by_"))
    asked = club.call("participant", f"POST {CHALLENGE_PROOFS}", PROOFS[f"POST {CHALLENGE_PROOFS}"])
    club.values["proof_id"] = asked.json["proof"]["id"]
    database.execute("update proofs.proofs set status = 'accepted', picture_key = 'pictures/a.jpg', decided_at = now()")
    if route == f"POST {CHALLENGE_PROOFS}":
        # a window accepts one proof
        database.execute("delete from proofs.proofs")
    assert club.statuses(route, PROOFS[route]) == getattr(PROOFS[route], visibility)
