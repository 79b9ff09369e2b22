"""The whole local system: up, down, reset. Every step may be interrupted and run again."""

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from infra import assets
from infra.local import aws, database, deployment
from infra.local.progress import LocalError, Steps
from infra.local.workspace import Workspace, free_port, port_taken, write_private

_READY_SECONDS = 30
_KEPT_BY_RESET = {"tools", "lock"}


def up(workspace: Workspace, steps: Steps) -> dict[str, Any]:
    """Brings the system up to the sources and returns its outputs, which are also in outputs.json.

    What runs is left running; what is current is not deployed again. Raises LocalError that says what to do.
    """
    workspace.check_disk()
    with workspace.lock("make up") as lock:
        with steps.step("Layers") as step:
            step.note = ", ".join(assets.build(assets.HOST)) or "up to date"
        workspace.close_to_others()
        with steps.step("Postgres") as step:
            workspace, step.note = _start_postgres(workspace)
        with steps.step("Local AWS") as step:
            step.note = _start_aws(workspace)
        with steps.step("Stack") as step:
            current = deployment.current(workspace)
            step.note = "unchanged" if current else "to be deployed"
        if not current:
            workspace.outputs.unlink(missing_ok=True)
            with steps.step("cdk bootstrap"):
                deployment.bootstrap(workspace)
            with steps.step("cdk deploy") as step:
                deployment.deploy(workspace, lock)
                step.note = "migrated"
        with steps.step("Functions") as step:
            deployment.wait_for_functions(workspace)
            outputs = deployment.outputs(workspace)
            write_private(workspace.outputs, json.dumps(outputs, indent=2) + "\n")
            step.note = f"{len(outputs['functions'])} ready"
        with steps.step("API") as step:
            step.note = _wait_for_api(outputs["api_url"])
    return outputs


def down(workspace: Workspace, steps: Steps) -> None:
    """Stops both servers; data and state stay."""
    with workspace.lock("make down"):
        _stop(workspace, steps)


def reset(workspace: Workspace, steps: Steps) -> None:
    """Stops both servers and deletes all of the workspace but its tools. Nothing outside the directory is touched."""
    with workspace.lock("make reset"):
        _stop(workspace, steps)
        with steps.step("Delete the data") as step:
            for path in workspace.directory.iterdir():
                if path.name not in _KEPT_BY_RESET:
                    _delete(path)
            step.note = str(workspace.directory)
        if database.external_url():
            steps.say(f"The database `{database.DATABASE}` at CHALLY_DATABASE_URL is yours to drop.")


def read_outputs(workspace: Workspace) -> dict[str, Any]:
    """The outputs of the last `up`. Raises LocalError when there was none."""
    try:
        return dict(json.loads(workspace.outputs.read_text()))
    except (FileNotFoundError, ValueError) as error:
        raise LocalError("The local system is not up.", f"{workspace.make('up')} starts it.") from error


def _start_postgres(workspace: Workspace) -> tuple[Workspace, str]:
    if database.external_url():
        database.prepare(workspace)
        return workspace, "CHALLY_DATABASE_URL"
    server = database.embedded(workspace)
    if not server.running() and port_taken(server.port):
        # Nobody was promised this port: it was a free one when the workspace was made.
        workspace = workspace.with_postgres_port(free_port())
        server = database.embedded(workspace)
    started = server.start()
    database.prepare(workspace)
    return workspace, f"{'started' if started else 'running'} on port {server.port}"


def _start_aws(workspace: Workspace) -> str:
    if external := aws.external_url():
        return f"AWS_ENDPOINT_URL {external}"
    server = aws.embedded(workspace)
    return f"{'started' if server.start() else 'running'} on port {server.port}"


def _wait_for_api(url: str) -> str:
    """Waits for /ready: 200 is all well; anything else is passed on, with what it says."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urlopen(f"{url}/ready", timeout=_READY_SECONDS):
                return "ready"
        except HTTPError as error:
            problem = f"{error.code} {error.read(500).decode(errors='replace')}"
        except (URLError, OSError) as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise LocalError(f"{url}/ready does not say that the API is ready: {problem}", "`make logs` shows why.")
        time.sleep(0.5)


def _stop(workspace: Workspace, steps: Steps) -> None:
    with steps.step("Local AWS") as step:
        step.note = "stopped, state saved" if aws.embedded(workspace).stop() else "was not running"
    with steps.step("Postgres") as step:
        step.note = "stopped" if database.embedded(workspace).stop() else "was not running"
    workspace.outputs.unlink(missing_ok=True)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
