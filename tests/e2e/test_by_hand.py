"""What an operator does with `make`: create the next signing key, appoint the first admin."""

from collections.abc import Callable

import jwt
import pytest

from tests.support.deployed import DeployedPerson, DeployedSystem, infra_local

pytestmark = pytest.mark.e2e


def published(system: DeployedSystem) -> set[str]:
    return {key["kid"] for key in system.api.get("/.well-known/jwks.json").json()["keys"]}


def test_the_next_key_is_published_before_it_signs(
    system: DeployedSystem, person: Callable[[str], DeployedPerson]
) -> None:
    kari = person("Europe/Oslo")
    signing = jwt.get_unverified_header(kari.token)["kid"]
    rotate = ("invoke", "identity-keys", "--payload", '{"rotate": true}')
    before = published(system)
    infra_local(system.workspace, *rotate)
    after = published(system)
    assert signing in before < after
    infra_local(system.workspace, *rotate)
    infra_local(system.workspace, "invoke", "identity-keys")
    assert published(system) == after
    assert kari.call("GET", "/v1/me").status_code == 200
    assert jwt.get_unverified_header(person("Asia/Tokyo").token)["kid"] == signing


def test_an_operator_appoints_the_first_admin(system: DeployedSystem, person: Callable[[str], DeployedPerson]) -> None:
    kari = person("Europe/Oslo")
    infra_local(system.workspace, "role", kari.email, "admin")
    assert kari.call("GET", "/v1/me").json()["role"] == "admin"
    infra_local(system.workspace, "role", kari.email, "user")
    assert kari.call("GET", "/v1/me").json()["role"] == "user"
    with pytest.raises(AssertionError, match="No account has this address"):
        infra_local(system.workspace, "role", "nobody@example.com", "admin")
