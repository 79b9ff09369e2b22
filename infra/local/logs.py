"""What the functions logged, from CloudWatch Logs in the local AWS, and what the servers printed."""

import sys
import time
from collections.abc import Iterator
from typing import Any

from infra import names
from infra.local import aws, database, deployment
from infra.local.progress import LocalError, Palette
from infra.local.workspace import Workspace

_PLATFORM_LINES = ("START RequestId", "END RequestId", "REPORT RequestId", "INIT_START")
_SERVER_LINES = 20
_POLL_SECONDS = 1.0
_NAME_WIDTH = 18


def show(workspace: Workspace, *, function: str | None, follow: bool, minutes: float) -> None:
    """Prints the functions' log events of the last minutes, oldest first, and then the end of the servers' logs.

    `follow` goes on with new events, until interrupted. Each line is `function | event`; events are JSON lines.
    """
    since = int((time.time() - minutes * 60) * 1000)
    seen: set[str] = set()
    if not aws.alive(workspace):
        _servers(workspace)
        fix = f"{workspace.make('up')} starts it."
        raise LocalError("The local AWS does not run, so there are no function logs.", fix)
    if function:
        deployment.check_function(workspace, function)
    _print(_events(workspace, function, since, seen))
    if not function:
        _servers(workspace)
    while follow:
        time.sleep(_POLL_SECONDS)
        _print(_events(workspace, function, since, seen))


def _events(workspace: Workspace, function: str | None, since: int, seen: set[str]) -> Iterator[tuple[str, str]]:
    """(function, line) of the events not seen yet."""
    client = aws.client(workspace, "logs")
    prefix = f"/aws/lambda/{names.function('local', function or '')}"
    found: list[tuple[int, str, str]] = []
    groups = client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    for group in (group["logGroupName"] for page in groups for group in page["logGroups"]):
        name = group.rsplit("/", 1)[-1].removeprefix(names.function("local", ""))
        if not name.islower() or (function and name != function):
            continue  # A custom resource of CDK's, or another function whose name begins alike.
        pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
        for event in (event for page in pages for event in page["events"]):
            if _new(event, seen) and not event["message"].startswith(_PLATFORM_LINES):
                found.append((event["timestamp"], name, event["message"].rstrip()))
    found.sort(key=lambda event: event[0])
    for _, name, message in found:
        yield name, message


def _new(event: dict[str, Any], seen: set[str]) -> bool:
    key = event.get("eventId") or f"{event['logStreamName']} {event['timestamp']} {event['message']}"
    if key in seen:
        return False
    seen.add(key)
    return True


def _servers(workspace: Workspace) -> None:
    for name, log in (
        ("postgres", database.embedded(workspace).log),
        ("ministack", aws.embedded(workspace).log),
    ):
        if log.exists():
            _print((name, line) for line in log.read_text(errors="replace").splitlines()[-_SERVER_LINES:])


def _print(lines: Iterator[tuple[str, str]]) -> None:
    cyan = Palette(sys.stdout)
    for name, text in lines:
        for line in text.splitlines():
            print(f"{cyan.paint(36, f'{name:<{_NAME_WIDTH}}')} | {line}")
    sys.stdout.flush()
