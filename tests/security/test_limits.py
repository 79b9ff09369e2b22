"""Every write has a limit: with all limits used up, each is refused before it changes, mails or audits anything."""

import importlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from chally import ratelimit
from identity.keyring import Keyring
from tests.support import access_tables
from tests.support.access import routes, signed_in
from tests.support.api import Client, Response
from tests.support.database import Database

TOKEN = {"token": "x" * 43}
PASSWORD = {"password": "long enough for us"}
FACTOR = {"backup_code": "7d0kx-mq3vt"}
# What identity's writes take.
IDENTITY: dict[str, Any] = {
    "POST /v1/auth/register": {
        "email": "new@people.test",
        "username": "newcomer",
        "password": "another good one",
        "timezone": "UTC",
    },
    "POST /v1/auth/verify-email": TOKEN,
    "POST /v1/auth/login": {"login": "kari"} | PASSWORD,
    "POST /v1/auth/mfa": {"mfa_token": "x"} | FACTOR,
    "POST /v1/auth/refresh": {"refresh_token": "x"},
    "POST /v1/auth/logout": {"refresh_token": "x"},
    "POST /v1/auth/logout-all": {"refresh_token": "x"},
    "POST /v1/auth/magic-link": {"email": "kari@people.test"},
    "POST /v1/auth/magic-link/verify": TOKEN,
    "POST /v1/auth/password/forgot": {"email": "kari@people.test"},
    "POST /v1/auth/password/reset": TOKEN | PASSWORD,
    "POST /v1/auth/email/confirm": TOKEN,
    "POST /v1/auth/unlock": TOKEN,
    "POST /v1/auth/passkey/options": None,
    "POST /v1/auth/passkey": {"assertion": {}},
    "POST /v1/me/password": {"current_password": "x", "new": "another good one"},
    "POST /v1/me/email": {"current_password": "x", "new": "new@people.test"},
    "POST /v1/me/step-up": PASSWORD,
    "POST /v1/me/totp": None,
    "POST /v1/me/totp/confirm": {"code": "123456"},
    "DELETE /v1/me/totp": None,
    "POST /v1/me/backup-codes": {"code": "123456"},
    "POST /v1/me/passkeys/options": None,
    "POST /v1/me/passkeys": {"name": "phone", "attestation": {}},
    "DELETE /v1/me/passkeys/{passkey_id}": None,
    "DELETE /v1/me/sessions/{session_id}": None,
}
TABLES = (access_tables.CHALLENGES, access_tables.PRIVACY, access_tables.PROOFS)
BODIES = IDENTITY | {
    route: row.body for table in TABLES for route, row in table.items() if not route.startswith("GET ")
}


def test_every_write_is_in_the_table() -> None:
    contexts = ("identity", "privacy", "challenges", "proofs", "system")
    known = {route for name in contexts for route in routes(importlib.import_module(f"{name}.routes").router)}
    assert {route for route in known if route.split()[0] not in ("GET", "HEAD")} == BODIES.keys()


class Refused:
    """Every limit is used up, for the callers of a test."""

    def __init__(self, database: Database, signed_in: Client) -> None:
        self.database, self.signed_in = database, signed_in

    def call(self, route: str) -> Response:
        method, path = route.split()
        caller = Client() if "/auth/" in path else self.signed_in
        names = ("challenge_id", "participant_id", "proof_id", "passkey_id", "session_id")
        return caller.call(method, path.format(ref=uuid4(), **{name: uuid4() for name in names}), body=BODIES[route])

    def rows(self) -> list[tuple[Any, ...]]:
        return self.database.execute(
            "select (select count(*) from core.outbox), (select count(*) from core.audit),"
            " (select jsonb_agg(s) from identity.sessions s), (select jsonb_agg(u) from identity.users u)"
        )


@pytest.fixture
def refused(cloud: None, database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> Refused:
    callers = signed_in(database, keyring, ["caller"])
    take: Callable[..., timedelta | None] = lambda tx, now, **subjects: timedelta(hours=1) if subjects else None  # noqa: E731
    monkeypatch.setattr(ratelimit, "take", take)
    return Refused(database, callers["caller"])


OPTIONAL = {"POST /v1/challenges/{ref}/join", "DELETE /v1/me", "DELETE /v1/me/totp"}


@pytest.mark.parametrize("route", [route for route, body in BODIES.items() if body is not None or route in OPTIONAL])
def test_a_body_that_is_refused_uses_up_no_limit(refused: Refused, route: str) -> None:
    method, path = route.split()
    names = ("ref", "challenge_id", "participant_id", "proof_id", "passkey_id", "session_id")
    caller = Client() if "/auth/" in path else refused.signed_in
    response = caller.call(method, path.format(**{name: uuid4() for name in names}), body={"no_such_field": 1})
    assert response.status == 422, response.text


@pytest.mark.parametrize("route", BODIES)
def test_a_write_whose_limit_is_used_up_is_refused_before_it_does_anything(refused: Refused, route: str) -> None:
    before = refused.rows()
    response = refused.call(route)
    assert (response.status, response.code) == (429, "rate_limited"), response.text
    assert response.headers["retry-after"] == "3600"
    assert refused.rows() == before
