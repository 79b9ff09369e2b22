"""Who is asking. What is refused, and that nothing else was wrong with it: tests/security/test_access_tokens.py."""

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
    """Makes an access token for a real session, signed by the first key or another."""
    claims = jwt.decode(str(person("kari").token), options={"verify_signature": False})
    assert claims["iss"] == PUBLIC_URL

    def make(*, key: SigningKey = keyring.keys[0], ahead: timedelta = timedelta(0)) -> str:
        return Keyring((key,), keyring.refresh_key, keyring.sealing_key).access_token(
            issuer=PUBLIC_URL,
            user_id=UUID(claims["sub"]),
            session_id=UUID(claims["sid"]),
            csrf=None,
            now=datetime.now(UTC) + ahead,
        )

    return make


def status(token: str) -> int:
    return Client(token).get("/v1/me").status


def test_a_new_key_is_found_when_first_met(token: Token, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key published after the cache was filled: looked for again, but not at every unknown kid."""
    new = SigningKey.make(datetime.now(UTC))
    assert status(token(key=new)) == 401
    with db.as_system("test") as tx:
        keys.publish_key(tx, new.kid, new.public_jwk())
    assert status(token(key=new)) == 401  # looked a moment ago
    later = time.monotonic() + access_tokens.UNKNOWN_KID_INTERVAL + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert status(token(key=new)) == 200


def test_a_key_that_we_cannot_use_hides_no_other(token: Token) -> None:
    """Such as one of a release to come: whoever signed in with today's stays signed in."""
    with db.as_system("test") as tx:
        keys.publish_key(tx, "other", {"kty": "ML-DSA", "alg": "ML-DSA-44", "kid": "other", "use": "sig"})
        keys.publish_key(tx, "empty", {})
    access_tokens.key_cache.clear()
    assert status(token()) == 200


def test_two_clocks_may_differ_a_little(token: Token) -> None:
    """A token is good where the clock is a moment behind that of its issuer, and not a minute."""
    assert status(token(ahead=timedelta(seconds=3))) == 200
    assert status(token(ahead=timedelta(minutes=1))) == 401


def test_expires(token: Token) -> None:
    assert status(token(ahead=timedelta(seconds=-880))) == 200
    assert status(token(ahead=timedelta(seconds=-901))) == 401
