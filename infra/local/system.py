"""The whole local system: up, down, reset. Every step may be interrupted and run again."""

import json
import shutil
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from infra import assets
from infra.local import aws, database, stack
from infra.local.workspace import Workspace, free_port, port_taken, write_private
from infra.tools.process import ToolError
from infra.tools.progress import Steps

_READY_SECONDS = 30
_KEPT_BY_RESET = {"tools", "lock"}


def up(workspace: Workspace, steps: Steps) -> dict[str, Any]:
    """Start and update the system; return its outputs, which are also in outputs.json.

    Running servers are left running, and a current stack is not deployed again. Raises ToolError.
    """
    workspace.check_disk()
    with workspace.lock("make up") as lock:
        with steps.step("Layers") as step:
            step.note = ", ".join(assets.build(assets.HOST)) or "up to date"
        workspace.restrict_permissions()
        with steps.step("Postgres") as step:
            workspace, step.note = _start_postgres(workspace)
        with steps.step("Local AWS") as step:
            if external := aws.external_url():
                step.note = f"AWS_ENDPOINT_URL {external}"
            else:
                started = aws.embedded(workspace).start()
                step.note = f"{'started' if started else 'running'} on port {workspace.aws_port}"
        with steps.step("Stack") as step:
            current = stack.is_current(workspace)
            step.note = "unchanged" if current else "to be deployed"
        if not current:
            workspace.outputs.unlink(missing_ok=True)
            with steps.step("cdk bootstrap"):
                stack.bootstrap(workspace)
            with steps.step("cdk deploy") as step:
                stack.deploy(workspace, lock)
                step.note = "migrated"
        with steps.step("Functions") as step:
            stack.wait_for_functions(workspace)
            outputs = stack.outputs(workspace)
            write_private(workspace.outputs, json.dumps(outputs, indent=2) + "\n")
            step.note = f"{len(outputs['functions'])} ready"
        with steps.step("API") as step:
            _wait_for_api(outputs["api_url"])
            step.note = "ready"
    return outputs


def down(workspace: Workspace, steps: Steps) -> None:
    """Stop both servers; data and state stay."""
    with workspace.lock("make down"):
        _stop(workspace, steps)


def reset(workspace: Workspace, steps: Steps) -> None:
    """Stop both servers and delete everything in the workspace's directory except the tools."""
    with workspace.lock("make reset"):
        _stop(workspace, steps)
        with steps.step("Delete the data") as step:
            for path in workspace.directory.iterdir():
                if path.name in _KEPT_BY_RESET:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            step.note = str(workspace.directory)
        if database.external_url():
            steps.say(f"The database `{database.DATABASE}` at CHALLY_DATABASE_URL was not dropped.")


def read_outputs(workspace: Workspace) -> dict[str, Any]:
    """Return the outputs of the last `up`. Raises ToolError if the system is not up."""
    try:
        return dict(json.loads(workspace.outputs.read_text()))
    except (FileNotFoundError, ValueError) as error:
        raise ToolError("The local system is not up.", f"{workspace.make('up')} starts it.") from error


def _start_postgres(workspace: Workspace) -> tuple[Workspace, str]:
    if database.external_url():
        database.prepare(workspace)
        return workspace, "CHALLY_DATABASE_URL"
    server = database.embedded(workspace)
    if not server.running() and port_taken(server.port):
        # the port was only a free one when the workspace was created, so another will do
        workspace = workspace.with_postgres_port(free_port())
        server = database.embedded(workspace)
    started = server.start()
    database.prepare(workspace)
    return workspace, f"{'started' if started else 'running'} on port {server.port}"


def _wait_for_api(url: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urlopen(f"{url}/ready", timeout=_READY_SECONDS):
                return
        except HTTPError as error:
            problem = f"{error.code} {error.read(500).decode(errors='replace')}"
        except OSError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise ToolError(f"{url}/ready does not return 200: {problem}", "See `make logs`.")
        time.sleep(0.5)


def _stop(workspace: Workspace, steps: Steps) -> None:
    with steps.step("Local AWS") as step:
        step.note = "stopped, state saved" if aws.embedded(workspace).stop() else "was not running"
    with steps.step("Postgres") as step:
        step.note = "stopped" if database.embedded(workspace).stop() else "was not running"
    workspace.outputs.unlink(missing_ok=True)
