"""A local system of the tests' own: deployed once, on free ports and in a directory of its own, beside any other."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.bootstrap import ROOT
from infra.local import system as local
from infra.local.workspace import Workspace

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
