"""Passkeys of test users."""

from typing import Any

from tests.support.api import Client
from tests.support.authenticator import Authenticator


def add_passkey(who: Client) -> Authenticator:
    authenticator = Authenticator()
    attestation = authenticator.create(who.post("/v1/me/passkeys/options").json)
    response = who.post("/v1/me/passkeys", {"name": "Laptop", "attestation": attestation})
    assert response.status == 201, response.text
    return authenticator


def assertion(nobody: Client, authenticator: Authenticator, **lies: Any) -> dict[str, Any]:
    return authenticator.get(nobody.post("/v1/auth/passkey/options").json, **lies)
