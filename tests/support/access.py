"""Who may call what: every route of a context, tried as everybody. A route without a row fails.

A test of a context has a table of rows, and people in two challenges: one by code, and a public one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts

from chally import clock, db
from identity import sessions
from identity.keyring import Keyring
from identity.queries import users
from tests.support.api import Client, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.people import insert_users

# In the order in which they try, so that who may change something does so last.
KINDS = ("nobody", "stranger", "moderator", "removed", "participant", "owner")


@dataclass(frozen=True)
class Row:
    """The statuses of one route for each of KINDS, in a challenge by code and in a public one; what they send."""

    by_code: str
    public: str
    body: Any = None
    query: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Club:
    """A challenge with its people; `values` fills in the routes' paths."""

    people: dict[str, Client]
    values: dict[str, str]

    def statuses(self, route: str, row: Row) -> str:
        """What everybody is answered, in the order of KINDS."""
        return " ".join(str(self.call(kind, route, row).status) for kind in KINDS)

    def call(self, kind: str, route: str, row: Row) -> Response:
        method, path = route.split()
        return self.people[kind].call(method, path.format(**self.values), body=row.body, query=dict(row.query))


def open_club(database: Database, keyring: Keyring, visibility: str) -> Club:
    """Everybody in their place, and a bystander, whom the owner may remove."""
    people = signed_in(database, keyring, [*KINDS[1:], "bystander"])
    owner, moderator = people["owner"], people["moderator"].user["id"]
    made = owner.post("/v1/challenges", challenge_body(clock.now(), visibility=visibility)).json
    for kind in ("participant", "removed", "bystander"):
        assert people[kind].post(f"/v1/challenges/{made['invite_code']}/join").status == 201
    path = f"/v1/challenges/{made['id']}/participants"
    places = {item["user_id"]: item["participant_id"] for item in owner.get(path).json["items"]}
    assert owner.delete(f"{path}/{places[people['removed'].user['id']]}").status == 204
    # all that a moderator needs for the calls of moderators
    database.execute("update identity.users set role = 'moderator' where id = %(id)s", id=moderator)
    database.execute("update identity.sessions set second_factor = true where user_id = %(id)s", id=moderator)
    values = {
        "challenge_id": made["id"],
        "ref": made["id"] if visibility == "public" else made["invite_code"],
        "participant_id": places[people["bystander"].user["id"]],
    }
    return Club(people | {"nobody": Client()}, values)


def signed_in(database: Database, keyring: Keyring, kinds: Sequence[str]) -> dict[str, Client]:
    """So many people, without the work of a sign-up."""
    device = sessions.ClientInfo(user_agent=None, ip=None, cookies=False, keyring=keyring, issuer=PUBLIC_URL)
    found = {}
    with db.as_system("tests") as tx:
        for kind, user_id in zip(kinds, insert_users(database, len(kinds)), strict=True):
            user = users.user(tx, user_id)
            assert user is not None
            session = sessions.start(tx, user, device, clock.now(), second_factor=False)
            found[kind] = Client(session.access_token, {"id": str(user_id)})
    return found


def routes(router: APIRouter) -> set[str]:
    """Every method and path of a context, as `GET /v1/challenges`, also of what the documentation leaves out."""
    return {f"{method} {each.path}" for each in iter_route_contexts(router.routes) for method in each.methods or ()}
