"""Print the logs of the local system: functions from CloudWatch Logs, servers from their files."""

import time
from collections.abc import Iterable

from rich.console import Console

from infra import names
from infra.local import aws, database, stack
from infra.local.workspace import Workspace
from infra.tools.process import ToolError

_PLATFORM_LINES = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START")
_SERVER_LINES = 20
_POLL_SECONDS = 1.0
_NAME_WIDTH = 18


def show(workspace: Workspace, *, function: str | None, follow: bool, minutes: float) -> None:
    """Print the functions' log events of the last minutes, oldest first, and then the end of the servers' logs.

    Each line is `function | event`; events are JSON. `follow` continues with new events until it is interrupted.
    """
    since = int((time.time() - minutes * 60) * 1000)
    seen: set[str] = set()
    if not aws.is_running(workspace):
        _print(_server_lines(workspace))
        raise ToolError("The local AWS is not running: no function logs.", f"{workspace.make('up')} starts it.")
    if function:
        stack.check_function(workspace, function)
    _print(_events(workspace, function, since, seen))
    if not function:
        _print(_server_lines(workspace))
    while follow:
        time.sleep(_POLL_SECONDS)
        _print(_events(workspace, function, since, seen))


def _events(workspace: Workspace, only: str | None, since: int, seen: set[str]) -> list[tuple[str, str]]:
    """Return (function, line) of the events that are not in `seen`, and add them to it."""
    client = aws.client(workspace, "logs")
    found: list[tuple[int, str, str]] = []
    for function in [only] if only else stack.functions(workspace):
        group = f"/aws/lambda/{names.function('local', function)}"
        try:
            pages = [*client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)]
        except client.exceptions.ResourceNotFoundException:
            continue
        for event in (event for page in pages for event in page["events"]):
            key = event.get("eventId") or f"{event['logStreamName']} {event['timestamp']} {event['message']}"
            if key not in seen and not event["message"].startswith(_PLATFORM_LINES):
                found.append((event["timestamp"], function, event["message"].rstrip()))
            seen.add(key)
    return [(function, message) for _, function, message in sorted(found, key=lambda event: event[0])]


def _server_lines(workspace: Workspace) -> list[tuple[str, str]]:
    servers = {"postgres": database.embedded(workspace).log, "ministack": aws.embedded(workspace).log}
    return [
        (name, line)
        for name, log in servers.items()
        if log.exists()
        for line in log.read_text(errors="replace").splitlines()[-_SERVER_LINES:]
    ]


def _print(lines: Iterable[tuple[str, str]]) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    for name, text in lines:
        for line in text.splitlines():
            console.print(f"{name:<{_NAME_WIDTH}}", style="cyan", end="")
            console.print(f" | {line}")
