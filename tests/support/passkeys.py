"""Passkeys of test users."""

from typing import Any

from tests.support.api import Client, Response
from tests.support.authenticator import BACKED_UP, PRESENT, VERIFIED, Authenticator, text
from tests.support.database import Database

# False statements that are possible in either ceremony, and a word of the refusal.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another origin": ({"origin": "https://evil.test"}, "origin"),
    "an origin that begins like ours": ({"origin": "https://api.test.evil.test"}, "origin"),
    "our host without TLS": ({"origin": "http://api.test"}, "origin"),
    "no text for an origin": ({"origin": ["https://api.test"]}, "origin"),
    "another relying party": ({"rp_id": "evil.test"}, "relying party"),
    "nobody verified": ({"flags": PRESENT}, "verification"),
    "nobody present": ({"flags": VERIFIED}, "presence"),
    "inside a page of another site": ({"cross_origin": True}, "Cross-origin"),
    "inside a page of another site, in words": ({"cross_origin": "true"}, "Cross-origin"),
    "below another site": ({"client_data": {"topOrigin": "https://evil.test"}}, "Cross-origin"),
    "another kind of ceremony": ({"kind": "payment.get"}, "ceremony"),
    "backed up without being able to": ({"flags": PRESENT | VERIFIED | BACKED_UP}, ""),
    "a challenge of its own": ({"challenge": text(b"x" * 32)}, "challenge"),
    "no challenge": ({"challenge": ""}, "Malformed"),
}


def add_passkey(who: Client) -> Authenticator:
    authenticator = Authenticator()
    attestation = authenticator.create(who.post("/v1/me/passkeys/options").json)
    response = who.post("/v1/me/passkeys", {"name": "Laptop", "attestation": attestation})
    assert response.status == 201, response.text
    return authenticator


def assertion(nobody: Client, authenticator: Authenticator, **lies: Any) -> dict[str, Any]:
    return authenticator.get(nobody.post("/v1/auth/passkey/options").json, **lies)


def register_passkey(who: Client, authenticator: Authenticator, name: str = "Phone", **lies: Any) -> Response:
    """Registers a passkey; `lies` are passed to the authenticator."""
    options = who.post("/v1/me/passkeys/options")
    assert options.status == 200, options.text
    return who.post("/v1/me/passkeys", {"name": name, "attestation": authenticator.create(options.json, **lies)})


def sign_in_by_passkey(who: Client, authenticator: Authenticator, **lies: Any) -> Response:
    options = who.post("/v1/auth/passkey/options")
    assert options.status == 200, options.text
    return who.post("/v1/auth/passkey", {"assertion": authenticator.get(options.json, **lies)})


def audited_actions_of(database: Database, user: Client) -> list[str]:
    found = database.execute("select action from core.audit where user_id = %(id)s order by id", id=user.user["id"])
    return [action for (action,) in found]
