"""Who may call which route: every route of a context is called by every kind of caller.

The expected statuses are in access_tables.py. Callers try twice: in a challenge by code, and in a public one.
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

# Callers try in this order: those who may change something come last.
KINDS = ("nobody", "stranger", "moderator", "removed", "participant", "owner")


@dataclass(frozen=True)
class Row:
    """Expected statuses of one route, one per kind of caller, and the body and query that they send."""

    by_code: str
    public: str
    body: Any = None
    query: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Club:
    """A challenge and its people. `values` fills the placeholders in the paths of routes."""

    people: dict[str, Client]
    values: dict[str, str]

    def statuses(self, route: str, row: Row) -> str:
        """The status that each kind of caller gets, in the order of KINDS."""
        return " ".join(str(self.call(kind, route, row).status) for kind in KINDS)

    def call(self, kind: str, route: str, row: Row) -> Response:
        method, path = route.split()
        return self.people[kind].call(method, path.format(**self.values), body=row.body, query=dict(row.query))


def open_club(database: Database, keyring: Keyring, visibility: str) -> Club:
    """Create a challenge with every kind of caller in place, and a bystander for the owner to remove."""
    people = signed_in(database, keyring, [*KINDS[1:], "bystander"])
    owner, moderator = people["owner"], people["moderator"].user["id"]
    made = owner.post("/v1/challenges", challenge_body(clock.now(), visibility=visibility)).json
    for kind in ("participant", "removed", "bystander"):
        assert people[kind].post(f"/v1/challenges/{made['invite_code']}/join").status == 201
    path = f"/v1/challenges/{made['id']}/participants"
    places = {item["user_id"]: item["participant_id"] for item in owner.get(path).json["items"]}
    assert owner.delete(f"{path}/{places[people['removed'].user['id']]}").status == 204
    # A moderator's calls need the role and a second factor.
    database.execute("update identity.users set role = 'moderator' where id = %(id)s", id=moderator)
    database.execute("update identity.sessions set second_factor = true where user_id = %(id)s", id=moderator)
    values = {
        "challenge_id": made["id"],
        "ref": made["id"] if visibility == "public" else made["invite_code"],
        "participant_id": places[people["bystander"].user["id"]],
    }
    return Club(people | {"nobody": Client()}, values)


def signed_in(database: Database, keyring: Keyring, kinds: Sequence[str]) -> dict[str, Client]:
    """Insert and sign in one person per kind, without the cost of signing up."""
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
    """Every method and path of a context, such as `GET /v1/challenges`, including undocumented ones."""
    return {f"{method} {each.path}" for each in iter_route_contexts(router.routes) for method in each.methods or ()}
