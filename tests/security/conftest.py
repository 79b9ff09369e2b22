"""A forger with our private key."""

import jwt
import pytest

from identity.keyring import Keyring
from tests.support.people import SignUp
from tests.support.token_forger import Forger


@pytest.fixture
def forger(person: SignUp, keyring: Keyring) -> Forger:
    claims = jwt.decode(str(person("kari").token), options={"verify_signature": False})
    return Forger(claims, keyring.keys[0])
