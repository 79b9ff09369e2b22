"""Fixtures of the tests of challenges: people and one challenge."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chally import clock
from tests.support.api import Client
from tests.support.challenges import ChallengeJson, challenge_body
from tests.support.concurrency import TwoTransactions
from tests.support.database import Database
from tests.support.people import SignUp


@pytest.fixture
def owner(person: SignUp) -> Client:
    return person("owner")


@pytest.fixture
def challenge(owner: Client) -> dict[str, Any]:
    """An active challenge by code that started an hour ago and allows late joining."""
    answer = owner.post("/v1/challenges", challenge_body(clock.now()))
    assert answer.status == 201, answer.text
    return dict(answer.json)


@pytest.fixture
def member(person: SignUp, challenge: dict[str, Any]) -> Client:
    client = person("member", "Asia/Tokyo")
    assert client.post(f"/v1/challenges/{challenge['invite_code']}/join", {}).status == 201
    return client


@pytest.fixture
def stranger(person: SignUp) -> Client:
    return person("stranger")


@pytest.fixture
def path(challenge: dict[str, Any]) -> str:
    return f"/v1/challenges/{challenge['id']}"


@pytest.fixture
def by_code(challenge: dict[str, Any]) -> str:
    return f"/v1/challenges/{challenge['invite_code']}/join"


@pytest.fixture
def make(owner: Client) -> Callable[..., ChallengeJson]:
    def made(**changes: Any) -> ChallengeJson:
        answer = owner.post("/v1/challenges", challenge_body(clock.now(), **changes))
        assert answer.status == 201, answer.text
        return dict(answer.json)

    return made


@pytest.fixture
def two(database: Database) -> Iterator[TwoTransactions]:
    pair = TwoTransactions(database)
    yield pair
    pair.first.close()
    pair.second.close()
