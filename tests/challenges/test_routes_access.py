"""Every route of challenges as anonymous, stranger, moderator, removed participant, participant and owner."""

import pytest

from challenges.routes import router
from identity.keyring import Keyring
from tests.support import access
from tests.support.access_tables import CHALLENGES
from tests.support.database import Database


def test_every_route_has_a_row_in_the_access_table() -> None:
    assert access.routes(router) == set(CHALLENGES)


@pytest.mark.parametrize("route", CHALLENGES)
@pytest.mark.parametrize("visibility", ["by_code", "public"])
@pytest.mark.usefixtures("cloud")
def test_every_role_gets_the_expected_response(
    database: Database, keyring: Keyring, visibility: str, route: str
) -> None:
    club = access.open_club(database, keyring, visibility.removeprefix("by_"))
    assert club.statuses(route, CHALLENGES[route]) == getattr(CHALLENGES[route], visibility)
