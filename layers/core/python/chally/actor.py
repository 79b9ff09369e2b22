"""Who is asking: the person behind a verified access token (RFC 9068, RS256), and the session they speak through."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import jwt

from chally import db, jws
from chally.errors import AppError, Forbidden, Unauthenticated

AUDIENCE = "chally"
ALGORITHM = "RS256"
TYPE = "at+jwt"
# How long a function trusts the keys it has read, and how often an unknown kid may make it look again (seconds).
KEYS_LIVE = 300.0
KEYS_LOOK_AGAIN = 5.0
MAX_TOKEN_LENGTH = 4096
CLAIMS = {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
MAX_LIFE = 3600  # seconds; ours live for a quarter of that
SKEW = 5.0  # seconds: two machines' clocks
# How long a sign-in, or a second factor, counts as fresh: see `check_fresh`.
FRESH = timedelta(minutes=10)

Role = Literal["user", "moderator", "admin"]


class StepUpRequired(AppError):
    status = 403
    code = "step_up_required"
    detail = "Confirm that it is you: POST /v1/me/step-up, or sign in again. That is good for ten minutes."


class SecondFactorRequired(AppError):
    status = 403
    code = "second_factor_required"
    detail = "This takes a second factor: turn one on, and sign in with it."


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in person: their id, and the session they speak through. `csrf`: the token is one for cookies."""

    user_id: UUID
    session_id: UUID
    csrf: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """What the database knows of an actor's session at this moment. `authenticated_at`: when they last proved who they
    are; `second_factor`: whether with one.
    """

    role: Role
    authenticated_at: datetime
    second_factor: bool


def check_fresh(session: Session, now: datetime) -> None:
    """Raise `StepUpRequired` unless the person proved lately who they are."""
    if now - session.authenticated_at > FRESH:
        raise StepUpRequired


def check_role(session: Session, *roles: Role) -> None:
    """Raise `Forbidden` to other roles, and `SecondFactorRequired` to who signed in without one."""
    if session.role not in roles:
        raise Forbidden
    if not session.second_factor:
        raise SecondFactorRequired


def moderates(session: Session) -> bool:
    """Whether they look after the club, and signed in with a second factor: as core.moderates() has it for policies."""
    return session.role in ("moderator", "admin") and session.second_factor


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
            self._keys = {key.kid: jwt.PyJWK(key.jwk, ALGORITHM) for key in public_keys() if _verifies(key.jwk)}
            self._read_at = time.monotonic()
        return self._keys.get(kid)

    def forget(self) -> None:
        self._keys.clear()
        self._read_at = float("-inf")


def _verifies(jwk: dict[str, Any]) -> bool:
    """Whether a key is for verifying RS256 and nothing else (RFC 7517, 4.2 to 4.4; RFC 8725, 3.1). The key of receipts,
    which other functions hold, is not.
    """
    return (
        jwk.get("kty") == "RSA"
        and jwk.get("alg") == ALGORITHM
        and jwk.get("use", "sig") == "sig"
        and "verify" in jwk.get("key_ops", ["verify"])
    )


keys = _Keys()


def public_keys() -> list[SigningKey]:
    """The keys that tokens and receipts may be verified with now, as public JWKs (RFC 7517)."""
    with db.as_anonymous(read_only=True) as tx:
        return tx.all(
            "select kid, jwk from core.signing_keys"
            " where verifies_until is null or verifies_until > now() order by created_at",
            {},
            row=SigningKey,
        )


def authenticate(token: str, *, issuer: str) -> Actor:
    """The person an access token speaks for. Everything is pinned: algorithm, type, issuer, audience, known kid.

    Raises `Unauthenticated` for anything else.
    """
    try:
        signed = jws.Signed.read(token, algorithm=ALGORITHM, max_length=MAX_TOKEN_LENGTH)
        key = keys.find(signed.kid) if signed.typ == TYPE else None
        if key is None or not signed.is_signed_by(key):
            raise Unauthenticated
        claims = jws.members(signed.payload)
    except jws.Malformed:
        raise Unauthenticated from None
    csrf = claims.pop("csrf", None)  # only in one for cookies
    if claims.keys() != CLAIMS or (claims["iss"], claims["aud"]) != (issuer, AUDIENCE):
        raise Unauthenticated
    if not isinstance(csrf, str | None):
        raise Unauthenticated
    issued, expires = claims["iat"], claims["exp"]
    if type(issued) is not int or type(expires) is not int or not 0 < expires - issued <= MAX_LIFE:
        raise Unauthenticated
    if not issued - SKEW <= time.time() < expires:
        raise Unauthenticated
    try:
        return Actor(UUID(claims["sub"]), UUID(claims["sid"]), csrf)
    except (ValueError, TypeError, AttributeError):
        raise Unauthenticated from None
