"""Where one local system lives: its directory, its ports, and the lock that lets one command change it at a time."""

import errno
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import psutil

from infra.bootstrap import ROOT
from infra.local.progress import LocalError

HOST = "127.0.0.1"
AWS_PORT = 4566
API_ID = "chally"

_NEEDED_BYTES = 1_000_000_000
"""Measured: 0.4 GB for Postgres, layers and what the functions unpack; the rest is room to work in."""
_LOCK_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One local system: a directory that holds all of it, and the ports of its two servers.

    A second one beside it needs another directory and other ports: `Workspace.open(directory, aws_port=0)`.
    """

    directory: Path
    aws_port: int
    postgres_port: int

    @classmethod
    def open(
        cls, directory: Path = ROOT / ".local", aws_port: int | None = None, postgres_port: int | None = None
    ) -> Self:
        """The workspace of a directory. A port not given is the one it had before; 0 asks for any free one.

        Raises LocalError when the directory cannot be written.
        """
        directory = directory.resolve()
        for port in (aws_port, postgres_port):
            if port is not None and not 0 <= port < 2**16:
                raise LocalError(f"There is no port {port}.", "Ports are 1 to 65535; 0 takes any free one.")
        _make(directory)
        known = _read_json(directory / "ports.json")
        aws = known.get("aws", AWS_PORT) if aws_port is None else aws_port
        postgres = known.get("postgres", 0) if postgres_port is None else postgres_port
        workspace = cls(directory=directory, aws_port=aws or free_port(), postgres_port=postgres or free_port())
        workspace._remember_ports()
        return workspace

    def make(self, target: str) -> str:
        """What a person types to have `make` do something to this workspace."""
        where = "" if self.directory == (ROOT / ".local").resolve() else f" DIRECTORY={self.directory}"
        return f"`make {target}{where}`"

    @property
    def postgres_directory(self) -> Path:
        """The embedded Postgres: data and server log."""
        return self.directory / "postgres"

    @property
    def aws_directory(self) -> Path:
        """The local AWS: state, objects, temporary files, and what is known of the stack deployed in it."""
        return self.directory / "aws"

    @property
    def logs(self) -> Path:
        """What the servers and the children of our commands print."""
        return self.directory / "logs"

    @property
    def passwords(self) -> Path:
        """The random passwords of the database roles, readable by their owner only."""
        return self.directory / "passwords.json"

    @property
    def outputs(self) -> Path:
        """outputs.json: the URLs of the running system, for any client or test."""
        return self.directory / "outputs.json"

    @property
    def cloud_assembly(self) -> Path:
        """What the CDK app synthesised."""
        return self.directory / "cdk.out"

    def with_postgres_port(self, port: int) -> Self:
        """The same workspace with its Postgres on another port, remembered."""
        moved = replace(self, postgres_port=port)
        moved._remember_ports()
        return moved

    def close_to_others(self) -> None:
        """From here on what our children write is its owner's alone: templates and state hold URLs and keys.

        Not before the layers are built: Lambda must be able to read those.
        """
        os.umask(0o077)
        for directory in (self.aws_directory, self.logs, self.cloud_assembly):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)

    def check_disk(self) -> None:
        """Raises LocalError when the disk is too full to begin."""
        free = shutil.disk_usage(self.directory).free
        if free < _NEEDED_BYTES:
            raise LocalError(
                f"Only {free / 1e9:.1f} GB of disk are free at {self.directory}; need {_NEEDED_BYTES / 1e9:.0f} GB.",
                "Free some space, or `make reset` to delete the local data, and run again.",
            )

    @contextmanager
    def lock(self, command: str) -> Iterator[int]:
        """Holds the workspace for one command; yields the lock's file descriptor.

        Children that must finish before another command may begin inherit that descriptor, so that the lock outlives
        a command that was killed for as long as its `cdk deploy` does. Raises LocalError when somebody else holds it.
        """
        path = self.directory / "lock"
        with path.open("a+") as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while not _try_lock(file.fileno()):
                if time.monotonic() > deadline:
                    holder = path.read_text().strip() or "another command"
                    raise LocalError(
                        f"{holder}, or the cdk deploy that it left behind, is at work in {self.directory}.",
                        "Wait a minute until that has ended; or give this one another directory (DIRECTORY=…).",
                    )
                time.sleep(0.2)
            file.truncate(0)
            file.write(f"`{command}` (process {os.getpid()})")
            file.flush()
            yield file.fileno()

    def _remember_ports(self) -> None:
        write_private(self.directory / "ports.json", json.dumps({"aws": self.aws_port, "postgres": self.postgres_port}))


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_taken(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def holder(port: int) -> str:
    """Names the process that listens on a port, as far as this user may know it."""
    try:
        for connection in psutil.net_connections("inet"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return "another process"


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / "logs").mkdir(exist_ok=True)
        probe = directory / "lock"
        probe.touch()
    except OSError as error:
        fix = "Free some space." if error.errno == errno.ENOSPC else "Give a directory that you own (DIRECTORY=…)."
        raise LocalError(f"Cannot write in {directory}: {error.strerror}.", fix) from error


def _read_json(path: Path) -> dict[str, int]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
