"""The place of one local system: its directory, its ports, and a lock that admits one command at a time."""

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

from infra.tools.bootstrap import ROOT
from infra.tools.process import ToolError

HOST = "127.0.0.1"
AWS_PORT = 4566
API_ID = "chally"

_NEEDED_BYTES = 1_000_000_000
"""Measured: 0.4 GB for Postgres, layers and unpacked functions; the rest is room to work in."""
_LOCK_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """One local system: the directory that contains all of it, and the ports of its two servers.

    A second system needs another directory and other ports: `Workspace.open(directory, aws_port=0)`.
    """

    directory: Path
    aws_port: int
    postgres_port: int

    @classmethod
    def open(
        cls, directory: Path = ROOT / ".local", aws_port: int | None = None, postgres_port: int | None = None
    ) -> Self:
        """Open a directory's workspace, creating it if necessary.

        A port that is not given stays as it was; 0 picks a free one. Raises ToolError if the directory is not writable.
        """
        directory = directory.resolve()
        for port in (aws_port, postgres_port):
            if port is not None and not 0 <= port < 2**16:
                raise ToolError(f"There is no port {port}.", "Ports are 1 to 65535; 0 picks a free one.")
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / "logs").mkdir(exist_ok=True)
            (directory / "lock").touch()
        except OSError as error:
            fix = "Free some space." if error.errno == errno.ENOSPC else "Give a directory that you own (DIRECTORY=…)."
            raise ToolError(f"Cannot write in {directory}: {error.strerror}.", fix) from error
        try:
            known = json.loads((directory / "ports.json").read_text())
        except (FileNotFoundError, ValueError):
            known = {}
        aws = known.get("aws", AWS_PORT) if aws_port is None else aws_port
        postgres = known.get("postgres", 0) if postgres_port is None else postgres_port
        workspace = cls(directory=directory, aws_port=aws or free_port(), postgres_port=postgres or free_port())
        workspace._save_ports()
        return workspace

    def make(self, target: str) -> str:
        """Return the `make` command that runs a target on this workspace."""
        where = "" if self.directory == (ROOT / ".local").resolve() else f" DIRECTORY={self.directory}"
        return f"`make {target}{where}`"

    @property
    def postgres_directory(self) -> Path:
        """The embedded Postgres: data and server log."""
        return self.directory / "postgres"

    @property
    def aws_directory(self) -> Path:
        """The local AWS: state, objects, temporary files, and a record of the deployed stack."""
        return self.directory / "aws"

    @property
    def logs(self) -> Path:
        """The output of servers and child processes."""
        return self.directory / "logs"

    @property
    def passwords(self) -> Path:
        """The random passwords of the database roles, readable only by their owner."""
        return self.directory / "passwords.json"

    @property
    def outputs(self) -> Path:
        """The URLs of the running system, for clients and tests."""
        return self.directory / "outputs.json"

    @property
    def cloud_assembly(self) -> Path:
        """The synthesised CDK app."""
        return self.directory / "cdk.out"

    def with_postgres_port(self, port: int) -> Self:
        """Return the same workspace with its Postgres on another port, and save that."""
        moved = replace(self, postgres_port=port)
        moved._save_ports()
        return moved

    def restrict_permissions(self) -> None:
        """From here on make every file of child processes private: templates and state contain URLs and keys.

        Called after the layers are built, because Lambda must be able to read those.
        """
        os.umask(0o077)
        for directory in (self.aws_directory, self.logs, self.cloud_assembly):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o700)

    def check_disk(self) -> None:
        """Raises ToolError if the disk is too full to begin."""
        free = shutil.disk_usage(self.directory).free
        if free < _NEEDED_BYTES:
            raise ToolError(
                f"Only {free / 1e9:.1f} GB of disk are free at {self.directory}; need {_NEEDED_BYTES / 1e9:.0f} GB.",
                "Free some space, or delete the local data with `make reset`, and run again.",
            )

    @contextmanager
    def lock(self, command: str) -> Iterator[int]:
        """Hold the workspace for one command; yields the lock's file descriptor.

        A child that must finish before another command may begin inherits that descriptor. So if a command is killed,
        the lock is held until its `cdk deploy` ends. Raises ToolError if another command holds it.
        """
        path = self.directory / "lock"
        with path.open("a+") as file:
            deadline = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        holder = path.read_text().strip() or "another command"
                        raise ToolError(
                            f"{holder}, or a cdk deploy that it started, is still running in {self.directory}.",
                            "Wait until it ends, or use another directory (DIRECTORY=…).",
                        ) from None
                time.sleep(0.2)
            file.truncate(0)
            file.write(f"`{command}` (process {os.getpid()})")
            file.flush()
            yield file.fileno()

    def _save_ports(self) -> None:
        write_private(self.directory / "ports.json", json.dumps({"aws": self.aws_port, "postgres": self.postgres_port}))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def free_port() -> int:
    """Return a port of the loopback interface that no process listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_taken(port: int) -> bool:
    """Return whether a process listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def check_port(port: int, server: str, fix: str) -> None:
    """Raises ToolError that names the process listening on a port, as far as this user may know it."""
    if not port_taken(port):
        return
    holder = "another process"
    try:
        for connection in psutil.net_connections("inet"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                holder = f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    raise ToolError(f"Port {port} of the {server} is in use by {holder}.", fix)
