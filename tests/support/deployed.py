"""A deployed local system as its clients see it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx

from infra.local import system as local
from infra.local.workspace import Workspace
from infra.tools.bootstrap import ROOT

PRIVATE = ("AWS_", "CHALLY_", "POWERTOOLS_", "COVERAGE_")  # prefixes of what the tests set for themselves
Eventually = Callable[..., Any]


@dataclass(frozen=True)
class DeployedSystem:
    """A deployed system: its URLs, and a client of the API."""

    workspace: Workspace
    api: httpx.Client

    @property
    def outputs(self) -> dict[str, Any]:
        """The current outputs: a new deployment has new names."""
        return local.read_outputs(self.workspace)

    def mails(self, address: str) -> list[dict[str, Any]]:
        accounts = httpx.get(self.outputs["mailbox_url"]).json()["messages"]
        return [mail for mails in accounts.values() for mail in mails if address in mail["To"]]


def infra_local(workspace: Workspace, *arguments: str) -> None:
    """Run a command of `infra.tools` as `make` does, without the variables of the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(PRIVATE)}
    done = subprocess.run(
        [sys.executable, "-m", "infra.tools", "--directory", str(workspace.directory), *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class DeployedPerson:
    system: DeployedSystem
    username: str
    email: str
    token: str

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return self.system.api.request(method, path, json=body, headers=headers)

    def prove(self, challenge: dict[str, Any], data: bytes, content_type: str = "image/jpeg") -> str:
        """Request an upload and make it; return the proof's id."""
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


def verdict(person: DeployedPerson, proof_id: str, eventually: Eventually) -> dict[str, Any]:
    """Wait for the verdict; return the proof."""

    def decided() -> dict[str, Any] | None:
        proof: dict[str, Any] = person.call("GET", f"/v1/proofs/{proof_id}").json()
        return proof if proof["status"] not in ("awaiting_upload", "processing") else None

    return dict(eventually(decided, "the verdict"))
