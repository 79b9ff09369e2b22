"""Access tokens: whatever is not exactly ours is refused."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from chally import actor
from identity.tokens import Signer, public_jwk
from tests.api import Client
from tests.conftest import PUBLIC_URL, Join


@pytest.fixture
def forge(person: Join, signer: Signer) -> Callable[..., str]:
    """Makes a token for a real person; `header` and `claims` change it, `key` signs it."""
    kari = person("kari")
    claims = jwt.decode(str(kari.token), options={"verify_signature": False})

    def make(*, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        body = {name: value for name, value in (claims | changes).items() if value is not None}
        algorithm = (header or {}).get("alg", "RS256")
        headers = {"kid": signer.kid, "typ": "at+jwt"} | (header or {})
        return jwt.encode(body, signer.private_key if key is None else key, algorithm, headers=headers)

    return make


def status(token: str) -> int:
    return Client(token).get("/v1/me").status


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def test_ours_is_good(forge: Callable[..., str]) -> None:
    assert status(forge()) == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"}, {"aud": "others"}, {"exp": 1}, {"sub": "me"}, {"sid": None}, {"jti": None},
        {"iat": None}, {"exp": None}, {"sub": None}, {"aud": None}, {"iat": 32503680000},
    ],
)  # fmt: skip
def test_claims_must_be_ours(forge: Callable[..., str], changes: dict[str, Any]) -> None:
    assert status(forge(**changes)) == 401


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"}, {"typ": "AT+JWT"}, {"kid": "../../etc/passwd"}, {"kid": "' or 1=1 --"}, {"kid": ""},
        {"alg": "RS512"}, {"alg": "PS256"}, {"crit": ["exp"]}, {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"}, {"jwk": {"kty": "oct", "k": "AA"}}, {"b64": False},
    ],
)  # fmt: skip
def test_headers_must_be_ours(forge: Callable[..., str], header: dict[str, Any]) -> None:
    assert status(forge(header=header)) == 401


def test_another_key_is_refused(forge: Callable[..., str]) -> None:
    assert status(forge(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))) == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_unsigned_is_refused(forge: Callable[..., str], signer: Signer, algorithm: str) -> None:
    claims = jwt.decode(forge(), options={"verify_signature": False})
    assert status(unsigned({"alg": algorithm, "kid": signer.kid, "typ": "at+jwt"}, claims)) == 401


def test_the_public_key_is_no_shared_secret(forge: Callable[..., str], signer: Signer) -> None:
    """HS256 keyed with what everybody knows."""
    claims = jwt.decode(forge(), options={"verify_signature": False})
    for secret in (json.dumps(public_jwk(signer)).encode(), public_jwk(signer)["n"].encode()):
        body = unsigned({"alg": "HS256", "kid": signer.kid, "typ": "at+jwt"}, claims).rpartition(".")[0]
        signature = hmac.new(secret, body.encode(), hashlib.sha256).digest()
        assert status(body + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")) == 401


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "." * 5000, "e30.e30.e30", "\x7f.\x7f.\x7f"])
def test_garbage_is_refused(person: Join, token: str) -> None:
    assert status(token) == 401


def test_a_new_key_is_found_when_first_met(
    person: Join, forge: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key published after the cache was filled: looked for again, but not at every unknown kid."""
    from chally import db
    from identity import queries, tokens

    new = tokens.make_signer()
    token = forge(header={"kid": new.kid}, key=new.private_key)
    assert status(token) == 401
    with db.as_system("test") as tx:
        queries.publish_key(tx, new.kid, public_jwk(new))
    assert status(token) == 401  # looked a moment ago
    later = time.monotonic() + actor.KEYS_LOOK_AGAIN + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert status(token) == 200


def test_the_issuer_is_the_api(forge: Callable[..., str]) -> None:
    assert jwt.decode(forge(), options={"verify_signature": False})["iss"] == PUBLIC_URL
