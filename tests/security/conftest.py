"""Whoever attacks."""

import jwt
import pytest

from identity.keyring import Keyring
from tests.conftest import Join
from tests.security.forger import Forger


@pytest.fixture
def forger(person: Join, keyring: Keyring) -> Forger:
    claims = jwt.decode(str(person("kari").token), options={"verify_signature": False})
    return Forger(claims, keyring.keys[0])
