"""Tokens we make: signed access tokens (RFC 9068), refresh tokens, and the single-use tokens that mails carry."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from chally.actor import ALGORITHM, AUDIENCE, TYPE
from identity.rules import ACCESS_LIFE

SECRET_LIVES = 300  # seconds that a function trusts the signing secret it has read


@dataclass(frozen=True, slots=True)
class Signer:
    """The private half of our key, and what refresh tokens are derived with. Kept in Secrets Manager."""

    kid: str
    private_key: str
    refresh_key: str

    def access_token(self, *, issuer: str, user_id: UUID, session_id: UUID, role: str, now: datetime) -> str:
        """A JWT that says who is speaking, for 15 minutes."""
        claims = {
            "iss": issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role,
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_LIFE).timestamp()),
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, self.private_key, ALGORITHM, headers={"kid": self.kid, "typ": TYPE})

    def child_of(self, refresh_token: str) -> str:
        """The token that follows `refresh_token`, always the same: tabs that refresh at once hold the same child."""
        derived = hmac.new(bytes.fromhex(self.refresh_key), refresh_token.encode(), hashlib.sha512).digest()
        return _text(derived[:32])


def random() -> str:
    """A new unguessable token: 256 bits, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token. It is random, so a plain SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def make_signer() -> Signer:
    """A new RSA-2048 key and derivation key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Signer(secrets.token_hex(8), pem, secrets.token_hex(32))


def public_jwk(signer: Signer) -> dict[str, Any]:
    """The public half, as it is published (RFC 7517)."""
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    public = algorithm.prepare_key(signer.private_key).public_key()  # type: ignore[union-attr]
    jwk: dict[str, Any] = algorithm.to_jwk(public, as_dict=True)
    return {"kty": jwk["kty"], "n": jwk["n"], "e": jwk["e"], "kid": signer.kid, "use": "sig", "alg": ALGORITHM}


def signer(secret_arn: str) -> Signer:
    """The signing key in force. Asks Secrets Manager: never call it inside a transaction."""
    from aws_lambda_powertools.utilities import parameters

    text = parameters.get_secret(secret_arn, max_age=SECRET_LIVES)
    return Signer(**json.loads(text))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
