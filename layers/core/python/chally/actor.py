"""Who is asking: the person behind a verified access token (RFC 9068, RS256)."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from chally import db
from chally.errors import Unauthenticated

AUDIENCE = "chally"
ALGORITHM = "RS256"
TYPE = "at+jwt"
# How long a function trusts the keys it has read, and how often an unknown kid may make it look again (seconds).
KEYS_LIVE = 300.0
KEYS_LOOK_AGAIN = 5.0
MAX_TOKEN_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in person: their id, the session they speak through, and their role."""

    user_id: UUID
    session_id: UUID
    role: str


@dataclass(frozen=True, slots=True)
class SigningKey:
    kid: str
    jwk: dict[str, Any]


class _Keys:
    """The public keys, cached: read from the database when old, or when a kid is unknown."""

    def __init__(self) -> None:
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")

    def find(self, kid: str) -> jwt.PyJWK | None:
        age = time.monotonic() - self._read_at
        if age > KEYS_LIVE or (kid not in self._keys and age > KEYS_LOOK_AGAIN):
            self._keys = {key.kid: jwt.PyJWK(key.jwk, algorithm=ALGORITHM) for key in public_keys()}
            self._read_at = time.monotonic()
        return self._keys.get(kid)

    def forget(self) -> None:
        self._keys.clear()
        self._read_at = float("-inf")


keys = _Keys()


def public_keys() -> list[SigningKey]:
    """The keys that tokens may be verified with now, as public JWKs (RFC 7517)."""
    with db.as_anonymous(read_only=True) as tx:
        return tx.all(
            "select kid, jwk from core.signing_keys"
            " where verifies_until is null or verifies_until > now() order by created_at",
            {},
            row=SigningKey,
        )


def authenticate(token: str, *, issuer: str) -> Actor:
    """The person a bearer token speaks for. Everything is pinned: algorithm, type, issuer, audience, known kid.

    Raises `Unauthenticated` for anything else; nothing in the token chooses a key by URL or by value.
    """
    try:
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated
        header = jwt.get_unverified_header(token)
        if set(header) != {"alg", "typ", "kid"} or header["typ"] != TYPE or header["alg"] != ALGORITHM:
            raise Unauthenticated
        key = keys.find(str(header["kid"]))
        if key is None:
            raise Unauthenticated
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=issuer,
            options={"require": ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]},
        )
        return Actor(UUID(claims["sub"]), UUID(claims["sid"]), str(claims.get("role", "user")))
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
        raise Unauthenticated from None
