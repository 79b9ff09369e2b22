"""A local system of the tests' own: deployed once, on free ports and in a directory of its own, beside any other."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from infra.bootstrap import ROOT
from infra.local import system as local
from infra.local.workspace import Workspace

Eventually = Callable[..., Any]
PATIENCE = 120  # seconds that a condition may take on a busy machine; what is usual is far less


@dataclass(frozen=True)
class System:
    """A deployed system: its URLs, and a client of the API."""

    workspace: Workspace
    api: httpx.Client

    @property
    def outputs(self) -> dict[str, Any]:
        """As they are now: a deploy from nothing gives new names."""
        return local.read_outputs(self.workspace)

    def mails(self, address: str) -> list[dict[str, Any]]:
        accounts = httpx.get(self.outputs["mailbox_url"]).json()["messages"]
        return [mail for mails in accounts.values() for mail in mails if address in mail["To"]]


def infra_local(*arguments: str) -> None:
    """Runs a command of `infra.local` as `make` does, with none of the tests' own environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHALLY_", "POWERTOOLS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "infra.local", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process deploys one stack, and runs all that speak to it."""
    for item in items:
        if item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.xdist_group("e2e"))


@pytest.fixture(scope="session")
def system(place: Path) -> Iterator[System]:
    directory = place / "local"
    workspace = Workspace.open(directory, aws_port=0, postgres_port=0)
    infra_local("up", "--directory", str(directory))
    outputs = local.read_outputs(workspace)
    with httpx.Client(base_url=outputs["api_url"], timeout=60) as api:
        yield System(workspace, api)
    infra_local("down", "--directory", str(directory))


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Waits until a condition holds, and answers what it was."""

    def wait[T](condition: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
            time.sleep(0.1)
        return found

    return wait


@dataclass
class Person:
    system: System
    username: str
    email: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return self.system.api.request(method, path, json=body, headers=headers)

    def prove(self, challenge: dict[str, Any], data: bytes, content_type: str = "image/jpeg") -> str:
        """Asks for an upload and makes it; answers the proof's id."""
        asked = self.call(
            "POST",
            f"/v1/challenges/{challenge['id']}/proofs",
            {"content_type": content_type, "content_length": len(data), "sha256": sha256(data).hexdigest()},
        )
        assert asked.status_code == 201, asked.text
        upload = asked.json()["upload"]
        sent = httpx.put(upload["url"], content=data, headers=upload["headers"])
        assert sent.status_code == 200, sent.text
        return str(asked.json()["proof"]["id"])


def verdict(person: Person, proof_id: str, eventually: Eventually) -> dict[str, Any]:
    """The proof as it is once it is decided on."""

    def decided() -> dict[str, Any] | None:
        proof: dict[str, Any] = person.call("GET", f"/v1/proofs/{proof_id}").json()
        return proof if proof["status"] not in ("awaiting_upload", "processing") else None

    return dict(eventually(decided, "the verdict"))


@pytest.fixture(scope="session")
def person(system: System, eventually: Eventually) -> Callable[[str], Person]:
    def sign_up(timezone: str) -> Person:
        username = f"u{uuid4().hex[:12]}"
        email = f"{username}@example.com"
        body = {"email": email, "username": username, "password": "long enough for us", "timezone": timezone}
        assert system.api.post("/v1/auth/register", json=body).status_code == 202
        mail = eventually(lambda: system.mails(email), "the mail")[0]
        token = re.search(r"\?token=(\S+)", mail["BodyText"])
        assert token is not None
        session = system.api.post("/v1/auth/verify-email", json={"token": token[1]}).json()
        return Person(system, username, email, session["access_token"])

    return sign_up
