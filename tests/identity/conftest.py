"""Fixtures of several test files: sessions that refresh, and a user's second factors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chally import outbox
from identity import sessions
from identity.keyring import Keyring
from tests.support.api import Client
from tests.support.database import Database
from tests.support.environment import PUBLIC_URL
from tests.support.refreshing import THREADS, Parallel, World
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
