"""Every route of privacy, called by everyone: anonymous, stranger, moderator, removed, participant and owner."""

import pytest

from identity.keyring import Keyring
from privacy.routes import router
from tests.support import access
from tests.support.access_tables import PRIVACY
from tests.support.database import Database


def test_every_route_has_a_row() -> None:
    assert access.routes(router) == set(PRIVACY)


@pytest.mark.parametrize("route", PRIVACY)
@pytest.mark.parametrize("visibility", ["by_code", "public"])
@pytest.mark.usefixtures("cloud")
def test_each_caller_gets_the_expected_status(
    database: Database, keyring: Keyring, visibility: str, route: str
) -> None:
    club = access.open_club(database, keyring, visibility.removeprefix("by_"))
    assert club.statuses(route, PRIVACY[route]) == getattr(PRIVACY[route], visibility)
