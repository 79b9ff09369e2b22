"""Every route of challenges, as nobody, stranger, moderator, removed one, participant and owner."""

import pytest

from challenges.routes import router
from chally import clock
from identity.keyring import Keyring
from tests import access
from tests.access import Row
from tests.conftest import Database, challenge_body

CHALLENGE = "/v1/challenges/{challenge_id}"
DAYS = {"from": "2027-01-01", "to": "2027-01-02"}

# nobody, stranger, moderator, removed, participant, owner
ALL_SIGNED_IN = "401 200 200 200 200 200"
THOSE_IN = Row("401 404 404 404 200 200", "401 403 403 403 200 200")
OWNER_ALONE = ("401 404 404 404 403 200", "401 403 403 403 403 200")
TABLE = {
    "GET /v1/challenges": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/mine": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/joined": Row(ALL_SIGNED_IN, ALL_SIGNED_IN),
    "GET /v1/challenges/rules.schema.json": Row("200 200 200 200 200 200", "200 200 200 200 200 200"),
    "POST /v1/challenges": Row("401 201 201 201 201 201", "401 201 201 201 201 201", challenge_body(clock.now())),
    f"GET {CHALLENGE}": Row("401 404 404 404 200 200", ALL_SIGNED_IN),
    f"PATCH {CHALLENGE}": Row(*OWNER_ALONE, {"title": "Another"}),
    f"POST {CHALLENGE}/transitions": Row(*OWNER_ALONE, {"to": "paused"}),
    f"POST {CHALLENGE}/invite-code": Row(*OWNER_ALONE),
    # who is in already, 200; the owner always is
    "POST /v1/challenges/{ref}/join": Row("401 201 201 403 200 403", "401 201 201 403 200 403"),
    f"POST {CHALLENGE}/leave": Row("401 404 404 204 204 403", "401 403 403 204 204 403"),
    f"DELETE {CHALLENGE}/participants/{{participant_id}}": Row("401 404 404 404 403 204", "401 403 403 403 403 204"),
    f"GET {CHALLENGE}/participants": THOSE_IN,
    f"GET {CHALLENGE}/standings": THOSE_IN,
    f"GET {CHALLENGE}/windows": Row(THOSE_IN.by_code, THOSE_IN.public, query=DAYS),
    f"GET {CHALLENGE}/windows/current": THOSE_IN,
    "POST /v1/me/timezone/preview": Row(ALL_SIGNED_IN, ALL_SIGNED_IN, {"timezone": "Asia/Tokyo"}),
}


def test_every_route_has_a_row() -> None:
    assert access.routes(router) == set(TABLE)


@pytest.mark.parametrize("route", TABLE)
@pytest.mark.parametrize("visibility", ["by_code", "public"])
@pytest.mark.usefixtures("cloud")
def test_everybody(database: Database, keyring: Keyring, visibility: str, route: str) -> None:
    club = access.open_club(database, keyring, visibility.removeprefix("by_"))
    assert club.statuses(route, TABLE[route]) == getattr(TABLE[route], visibility)
