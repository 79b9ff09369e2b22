"""The key cache and the lifetime of access tokens. Forged tokens: tests/security/test_access_tokens.py."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest

from chally import access_tokens, db
from identity.keyring import Keyring, SigningKey
from identity.queries import keys
from tests.support.api import Client
from tests.support.environment import PUBLIC_URL
from tests.support.people import SignUp

Token = Callable[..., str]


@pytest.fixture
def token(person: SignUp, keyring: Keyring) -> Token:
    """Issues an access token for a real session, signed with the first key or with another one."""
    claims = jwt.decode(str(person("kari").token), options={"verify_signature": False})
    assert claims["iss"] == PUBLIC_URL

    def make(*, key: SigningKey = keyring.keys[0], clock_offset: timedelta = timedelta(0)) -> str:
        return Keyring((key,), keyring.refresh_key, keyring.sealing_key).access_token(
            issuer=PUBLIC_URL,
            user_id=UUID(claims["sub"]),
            session_id=UUID(claims["sid"]),
            csrf=None,
            now=datetime.now(UTC) + clock_offset,
        )

    return make


def status(token: str) -> int:
    return Client(token).get("/v1/me").status


def test_an_unknown_kid_reads_the_keys_again_after_an_interval(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a key that was published after the cache was filled is found, and unknown kids cannot flood the database."""
    new = SigningKey.make(datetime.now(UTC))
    assert status(token(key=new)) == 401
    with db.as_system("test") as tx:
        keys.publish_key(tx, new.kid, new.public_jwk())
    assert status(token(key=new)) == 401  # the keys were read a moment ago
    later = time.monotonic() + access_tokens.UNKNOWN_KID_INTERVAL + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert status(token(key=new)) == 200


def test_an_unusable_published_key_does_not_hide_the_others(token: Token) -> None:
    """A later release may publish keys of other types; sessions signed with today's keys must continue."""
    with db.as_system("test") as tx:
        keys.publish_key(tx, "other", {"kty": "ML-DSA", "alg": "ML-DSA-44", "kid": "other", "use": "sig"})
        keys.publish_key(tx, "empty", {})
    access_tokens.key_cache.clear()
    assert status(token()) == 200


def test_a_token_from_a_clock_slightly_ahead_is_valid(token: Token) -> None:
    """By up to five seconds, but not by a minute."""
    assert status(token(clock_offset=timedelta(seconds=3))) == 200
    assert status(token(clock_offset=timedelta(minutes=1))) == 401


def test_a_token_expires_after_fifteen_minutes(token: Token) -> None:
    assert status(token(clock_offset=timedelta(seconds=-880))) == 200
    assert status(token(clock_offset=timedelta(seconds=-901))) == 401
