"""Access tokens: JWTs for access (RFC 9068), signed with RS256. Every function verifies them with the public keys."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from chally import db, jws
from chally.actor import Actor
from chally.errors import Unauthenticated

AUDIENCE = "chally"
ALGORITHM = "RS256"
TYPE = "at+jwt"
# How long cached public keys are trusted, and how soon an unknown kid may cause the next read (seconds).
KEYS_MAX_AGE = 300.0
UNKNOWN_KID_INTERVAL = 5.0
MAX_TOKEN_LENGTH = 4096
CLAIMS = {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
MAX_LIFETIME = 3600  # seconds; we issue tokens for a quarter of that
CLOCK_SKEW = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A published key, as a JWK (RFC 7517)."""

    kid: str
    jwk: dict[str, Any]


class KeyCache:
    """The public keys by kid. Reads the database when the cache is old, or when a kid is unknown."""

    def __init__(self) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")

    def find(self, kid: str) -> jwt.PyJWK | None:
        age = time.monotonic() - self._read_at
        if age > KEYS_MAX_AGE or (kid not in self._keys and age > UNKNOWN_KID_INTERVAL):
            self._keys = {key.kid: jwt.PyJWK(key.jwk, ALGORITHM) for key in public_keys() if _verifies_tokens(key.jwk)}
            self._read_at = time.monotonic()
        return self._keys.get(kid)

    def clear(self) -> None:
        self._keys.clear()
        self._read_at = float("-inf")


def _verifies_tokens(jwk: dict[str, Any]) -> bool:
    """Whether a key may verify RS256 signatures (RFC 7517, 4.2 to 4.4; RFC 8725, 3.1). The receipts' key may not."""
    return (
        jwk.get("kty") == "RSA"
        and jwk.get("alg") == ALGORITHM
        and jwk.get("use", "sig") == "sig"
        and "verify" in jwk.get("key_ops", ["verify"])
    )


key_cache = KeyCache()


def public_keys() -> list[PublicKey]:
    """The keys that currently verify tokens and receipts."""
    with db.as_anonymous(read_only=True) as tx:
        return tx.all(
            "select kid, jwk from core.signing_keys"
            " where verifies_until is null or verifies_until > now() order by created_at",
            {},
            row=PublicKey,
        )


def authenticate(token: str, *, issuer: str) -> Actor:
    """The actor that an access token names. Algorithm, type, issuer, audience and the set of claims are all pinned.

    Raises `Unauthenticated` for any other token.
    """
    try:
        signed = jws.CompactJws.read(token, algorithm=ALGORITHM, max_length=MAX_TOKEN_LENGTH)
        key = key_cache.find(signed.kid) if signed.typ == TYPE else None
        if key is None or not signed.is_signed_by(key):
            raise Unauthenticated
        claims = jws.parse_object(signed.payload)
    except jws.MalformedJws:
        raise Unauthenticated from None
    csrf = claims.pop("csrf", None)  # present in tokens for cookies
    if claims.keys() != CLAIMS or (claims["iss"], claims["aud"]) != (issuer, AUDIENCE):
        raise Unauthenticated
    if not isinstance(csrf, str | None):
        raise Unauthenticated
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int or not 0 < expires - issued <= MAX_LIFETIME:
        raise Unauthenticated
    if not issued - CLOCK_SKEW <= time.time() < expires:
        raise Unauthenticated
    try:
        return Actor(UUID(claims["sub"]), UUID(claims["sid"]), csrf)
    except (ValueError, TypeError, AttributeError):
        raise Unauthenticated from None
