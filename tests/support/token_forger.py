"""Makes tokens that differ from genuine ones in one thing."""

import base64
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from identity.keyring import SigningKey
from tests.support.api import Client


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def private(key: SigningKey) -> rsa.RSAPrivateKey:
    loaded = load_pem_private_key(key.private_key.encode(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded


def status(token: str) -> int:
    return Client(headers={"authorization": f"Bearer {token}"}).get("/v1/me").status


class Forger:
    """Has our private key and a real person's claims: a forgery differs from a genuine token in one thing only."""

    def __init__(self, claims: dict[str, Any], key: SigningKey) -> None:
        self.claims = claims
        self.header = {"alg": "RS256", "kid": key.kid, "typ": "at+jwt"}
        self.key = private(key)
        self.jwk = key.public_jwk()

    def sign(self, header: bytes, payload: bytes, key: rsa.RSAPrivateKey | None = None) -> str:
        """Sign with RS256, regardless of the header."""
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        body = f"{text(header)}.{text(payload)}"
        return f"{body}.{text(algorithm.sign(body.encode(), key or self.key))}"

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """A token with changed header members or claims; `...` removes one."""
        members = {name: value for name, value in (self.header | (header or {})).items() if value is not ...}
        body = {name: value for name, value in (self.claims | claims).items() if value is not ...}
        return self.sign(json.dumps(members).encode(), json.dumps(body).encode(), key)

    def refuses(self, forgeries: dict[str, str]) -> None:
        """Assert that every forgery gets a 401 while the genuine token gets a 200."""
        assert forgeries
        assert status(self.token()) == 200
        assert {name: status(token) for name, token in forgeries.items()} == dict.fromkeys(forgeries, 401)
