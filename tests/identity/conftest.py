"""Fixtures of several test files: sessions that refresh, second factors, and signing keys."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chally import outbox, settings
from identity import sessions
from identity.keyring import Keyring
from tests.support.api import Client
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.refreshing import THREADS, Parallel, World
from tests.support.signing_keys import SigningSecret
from tests.support.totp_phone import Later, Phone, turn_on


@pytest.fixture
def world(cloud: None, database: Database, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(outbox, "send_nudge", lambda: None)
    return World(database, sessions.ClientInfo(None, "192.0.2.7", False, keyring, PUBLIC_URL))


@pytest.fixture
def parallel(world: World) -> Iterator[Parallel]:
    with ThreadPoolExecutor(THREADS) as threads:
        system = Parallel(world.client, world.database.system, threads)
        yield system
        system.close()


@pytest.fixture
def owned(kari: Client, later: Later) -> tuple[Phone, list[str]]:
    """Kari's phone and backup codes."""
    return turn_on(kari, later)


@pytest.fixture
def phone(owned: tuple[Phone, list[str]]) -> Phone:
    return owned[0]


@pytest.fixture
def secret(cloud: None) -> SigningSecret:
    """With the key of the tests, ten days old."""
    found = SigningSecret(settings.load(settings.SigningKeysSettings).signing_secret_arn)
    ring = found.keyring()
    begun = (datetime.now(UTC) - timedelta(days=10)).timestamp()
    found.put(replace(ring, keys=(replace(ring.keys[0], signs_from=begun),)).dumps())
    return found


@pytest.fixture
def ends(database: Database) -> Callable[[], dict[str, datetime | None]]:
    """Until when each published key of access tokens verifies."""
    query = "select kid, verifies_until from core.signing_keys where jwk ->> 'alg' = 'RS256'"
    return lambda: dict(database.execute(query))
