"""The private keys: they sign access tokens, derive refresh and CSRF tokens, and encrypt the secrets of authenticators.

They are one secret in Secrets Manager. A new signing key is published before it signs (`signs_from`), so every verifier
knows it by then; the previous key stays until its last token has expired. See `identity.rotation`.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import chally.secrets
from chally import base64url
from chally.access_tokens import ALGORITHM, AUDIENCE, TYPE
from identity.rules import ACCESS_LIFE

NONCE = 12  # bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key: its id, its private half (PEM), and the time from which it signs (seconds since the epoch)."""

    kid: str
    private_key: str
    signs_from: float

    @classmethod
    def make(cls, signs_from: datetime) -> Self:
        """Generate an RSA-2048 key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return cls(secrets.token_hex(8), pem, signs_from.timestamp())

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as a JWK (RFC 7517)."""
        algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        public = algorithm.prepare_key(self.private_key).public_key()  # type: ignore[union-attr]
        jwk: dict[str, Any] = algorithm.to_jwk(public, as_dict=True)
        return {"kty": jwk["kty"], "n": jwk["n"], "e": jwk["e"], "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True, slots=True)
class Keyring:
    """Signing keys, oldest first, and two keys that are never rotated (hex, 256 bits)."""

    keys: tuple[SigningKey, ...]
    refresh_key: str
    sealing_key: str

    @classmethod
    def make(cls, now: datetime) -> Self:
        """Generate new keys. The signing key signs at once: no tokens of another key exist yet."""
        return cls((SigningKey.make(now),), secrets.token_hex(32), secrets.token_hex(32))

    @classmethod
    def loads(cls, text: str) -> Self:
        """Parse a secret. ValueError, TypeError or KeyError if it is no keyring."""
        stored = json.loads(text)
        return cls(tuple(SigningKey(**key) for key in stored["keys"]), stored["refresh_key"], stored["sealing_key"])

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    def signing(self, now: datetime) -> SigningKey:
        """Return the newest key whose `signs_from` has passed."""
        return max(
            (key for key in self.keys if key.signs_from <= now.timestamp()),
            key=lambda key: key.signs_from,
            default=self.keys[0],
        )

    def access_token(self, *, issuer: str, user_id: UUID, session_id: UUID, csrf: str | None, now: datetime) -> str:
        """Sign a JWT that is valid for 15 minutes. `csrf`, a digest, makes it a token for cookies only."""
        claims = {
            "iss": issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": int(now.timestamp()),
            "exp": int((now + ACCESS_LIFE).timestamp()),
            "jti": secrets.token_hex(16),
        }
        if csrf is not None:
            claims["csrf"] = csrf
        key = self.signing(now)
        return jwt.encode(claims, _loaded(key.private_key), ALGORITHM, headers={"kid": key.kid, "typ": TYPE})

    def child_of(self, refresh_token: str) -> str:
        """Derive the successor of a refresh token: always the same one, so parallel tabs get the same child."""
        derived = hmac.new(bytes.fromhex(self.refresh_key), refresh_token.encode(), hashlib.sha512).digest()
        return base64url.encode(derived[:32])

    def csrf_token(self, session_id: UUID) -> str:
        """Derive the CSRF token of a session: the same for its whole life."""
        return base64url.encode(
            hmac.new(bytes.fromhex(self.refresh_key), b"csrf" + session_id.bytes, hashlib.sha256).digest()
        )

    def keyed_hash(self, text: str, *, purpose: str) -> bytes:
        """Hash a secret that is too short for a plain hash: without the key, brute force is impossible."""
        return hmac.new(bytes.fromhex(self.sealing_key), f"{purpose}:{text}".encode(), hashlib.sha256).digest()

    def seal(self, secret: str, *, owner: UUID) -> bytes:
        """Encrypt a secret (AES-256-GCM), bound to its owner: copied to another user's row, it does not decrypt."""
        nonce = secrets.token_bytes(NONCE)
        return nonce + AESGCM(bytes.fromhex(self.sealing_key)).encrypt(nonce, secret.encode(), owner.bytes)

    def unseal(self, sealed: bytes, *, owner: UUID) -> str:
        """Decrypt what `seal` returned. Raises cryptography's InvalidTag if it was altered."""
        aes = AESGCM(bytes.fromhex(self.sealing_key))
        return aes.decrypt(sealed[:NONCE], sealed[NONCE:], owner.bytes).decode()


def load(secret_arn: str) -> Keyring:
    """Return the current keys. Never call this inside a transaction: it may call Secrets Manager. Raises
    `ServiceUnavailable`.
    """
    return Keyring.loads(chally.secrets.read(secret_arn))


@lru_cache(maxsize=4)
def _loaded(private_key: str) -> rsa.RSAPrivateKey:
    """Parse a private key, cached. Validation is skipped: it takes 30 ms (a signature: 0.2 ms), and the key is ours."""
    key = load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
