"""A local system for the tests, deployed once on free ports and in a separate directory, beside any other."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.local import system as local
from infra.local.workspace import Workspace
from tests.support.deployed import DeployedPerson, DeployedSystem, Eventually, infra_local

PATIENCE = 120  # seconds for a condition on a busy machine; it usually takes far less


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process deploy one stack and run every test that uses it."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
def system(place: Path) -> Iterator[DeployedSystem]:
    directory = place / "local"
    workspace = Workspace.open(directory, aws_port=0, postgres_port=0)
    infra_local(workspace, "up")
    outputs = local.read_outputs(workspace)
    with httpx.Client(base_url=outputs["api_url"], timeout=60) as api:
        yield DeployedSystem(workspace, api)
    infra_local(workspace, "down")


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Wait until a condition holds; return its value."""

    def wait[T](condition: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
            time.sleep(0.1)
        return found

    return wait


@pytest.fixture(scope="session")
def person(system: DeployedSystem, eventually: Eventually) -> Callable[[str], DeployedPerson]:
    def sign_up(timezone: str) -> DeployedPerson:
        username = f"u{uuid4().hex[:12]}"
        email = f"{username}@example.com"
        body = {"email": email, "username": username, "password": "long enough for us", "timezone": timezone}
        assert system.api.post("/v1/auth/register", json=body).status_code == 202
        mail = eventually(lambda: system.mails(email), "the mail")[0]
        token = re.search(r"\?token=(\S+)", mail["BodyText"])
        assert token is not None
        session = system.api.post("/v1/auth/verify-email", json={"token": token[1]}).json()
        return DeployedPerson(system, username, email, session["access_token"])

    return sign_up
