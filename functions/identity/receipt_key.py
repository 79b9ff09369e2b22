"""The key that signs receipts of proofs: ES256, in a separate secret, so that a signer of receipts cannot sign anyone
in.

`identity-keys` generates it if the secret is empty, and rotates it on request only. Receipts are kept for years, so the
public half of a key stays published and its receipts verify for good. See `identity.rotation`.
"""

import json
import secrets
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import chally.secrets

ALGORITHM = "ES256"


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """A P-256 key: its id, its private half (PEM), and its creation time (seconds since the epoch)."""

    kid: str
    private_key: str = field(repr=False)
    made_at: float

    @classmethod
    def make(cls, now: datetime) -> Self:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return cls(f"receipt-{secrets.token_hex(8)}", pem, now.timestamp())

    @classmethod
    def loads(cls, text: str) -> Self:
        """Parse a secret. ValueError, TypeError or jwt's InvalidKeyError if it is no receipt key."""
        key = cls(**json.loads(text))
        if not (isinstance(key.kid, str) and isinstance(key.made_at, float)):
            raise ValueError
        key.public_jwk()
        return key

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as a JWK (RFC 7517)."""
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        private = algorithm.prepare_key(self.private_key)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("expected a private key, got a public one")
        jwk: dict[str, Any] = algorithm.to_jwk(private.public_key(), as_dict=True)
        members = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        return members | {"kid": self.kid, "use": "sig", "alg": ALGORITHM}

    def sign(self, payload: bytes, *, typ: str) -> str:
        """Return a compact JWS."""
        headers = {"kid": self.kid, "typ": typ}
        return jwt.api_jws.encode(payload, self.private_key, ALGORITHM, headers)


def load(secret_arn: str) -> ReceiptKey:
    """Return the current key, at most 5 minutes old. Never call this inside a transaction: it may call Secrets Manager.
    Raises `ServiceUnavailable`.
    """
    return ReceiptKey.loads(chally.secrets.read(secret_arn))
