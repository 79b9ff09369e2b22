"""`make doctor`: what this machine and the local system lack, and how to put it right.

Standard library and Python 3.8 only, as it must also speak where nothing is installed yet.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from infra import bootstrap
from infra.local.progress import LocalError, Palette

_HOST = "127.0.0.1"
_REGISTRY_SECONDS = 10
_SERVER_SECONDS = 15
_NEEDED_BYTES = 1_000_000_000
_UP = "`make up`"


@dataclass
class Finding:
    """One row of the table. `fix` says what to do about a problem; there is a problem when it says anything."""

    name: str
    state: str
    fix: str = ""


def examine(directory: Path) -> int:
    """Prints the table of checks; returns 1 if there is a problem, otherwise 0."""
    palette = Palette(sys.stdout)
    problems = 0
    for finding in _findings(directory):
        problems += bool(finding.fix)
        mark = palette.paint(31, "problem") if finding.fix else palette.paint(32, "ok     ")
        print(f"  {mark}  {finding.name:<14} {finding.state}")
        if finding.fix:
            print(f"           {'':<14} → {finding.fix}")
        sys.stdout.flush()
    print(f"\n{problems} problem{'s' if problems != 1 else ''}" if problems else "\nAll is well.")
    return 1 if problems else 0


def _findings(directory: Path) -> Iterator[Finding]:
    yield _python()
    tools = [*_tools()]
    yield from tools
    if any(finding.fix for finding in tools):
        yield _pip()
        yield _registry("PyPI", os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/uv/")
        yield _registry(
            "npm registry", os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org") + "/aws-cdk"
        )
    yield _disk(directory)
    yield _writable(directory)
    yield from _servers(directory)


def _python() -> Finding:
    version = platform.python_version()
    fix = "" if sys.version_info >= (3, 8) else "Install Python 3.8 or later as python3."
    return Finding("python3", version, fix)


def _tools() -> Iterator[Finding]:
    try:
        yield Finding("uv", _output(bootstrap.uv(), "--version"))
    except LocalError:
        yield Finding("uv", "missing", f"{_UP} brings it.")
    if bootstrap.PYTHON.exists():
        version = _output(str(bootstrap.PYTHON), "--version")
        broken = not version.startswith("Python 3.13")
        yield Finding("Python 3.13", version or "broken", "Delete .venv and run `make up`." if broken else "")
    else:
        yield _python_313()
    yield _tool("Node", bootstrap.NODE, "--version")
    yield _tool("cdk CLI", bootstrap.CDK, "--version", through=bootstrap.NODE)
    if not bootstrap.current():
        yield Finding("tools", "not those that the locks name", "`make bootstrap` brings them up to date.")


def _python_313() -> Finding:
    """Whether uv will find a Python 3.13, or must fetch one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    found = [shutil.which("python3.13"), *map(str, sorted(pyenv.glob("3.13*/bin/python3.13")))]
    here = next((path for path in found if path), None)
    if here:
        return Finding("Python 3.13", f"{here}, no environment yet", f"{_UP} makes it.")
    return Finding(
        "Python 3.13",
        "missing",
        f"{_UP} lets uv download one from GitHub; where that cannot be reached, install python3.13 "
        "or set UV_PYTHON_INSTALL_MIRROR.",
    )


def _tool(name: str, path: Path, argument: str, through: Path | None = None) -> Finding:
    if not path.exists():
        return Finding(name, "missing", f"{_UP} brings it.")
    version = _output(*([str(through)] if through else []), str(path), argument)
    return Finding(name, version or "does not run", "" if version else "Delete .venv and run `make up`.")


def _pip() -> Finding:
    version = _output(sys.executable, "-m", "pip", "--version").split(" from ")[0]
    return Finding("pip", version or "missing; uv will be fetched without it")


def _registry(name: str, url: str) -> Finding:
    try:
        with urlopen(url, timeout=_REGISTRY_SECONDS):
            return Finding(name, url)
    except (OSError, ValueError) as error:
        return Finding(name, f"{url}: {error}", "Check the network and HTTPS_PROXY, or the mirror's address.")


def _disk(directory: Path) -> Finding:
    """Of the tools, and of the system's own directory, which may lie on another disk."""
    there = next(place for place in (directory, *directory.resolve().parents) if place.exists())
    free = min(shutil.disk_usage(place).free for place in (bootstrap.ROOT, there))
    needed = _NEEDED_BYTES if bootstrap.current() else bootstrap.NEEDED_BYTES
    return Finding("disk", f"{free / 1e9:.1f} GB free", "" if free >= needed else f"{needed / 1e9:.1f} GB are needed.")


def _writable(directory: Path) -> Finding:
    place = directory
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK):
        return Finding("directory", str(directory))
    return Finding("directory", f"{directory} is read-only", "Clone to a directory you own, or give DIRECTORY=….")


def _servers(directory: Path) -> Iterator[Finding]:
    ports = _read(directory / "ports.json")
    outputs = _read(directory / "outputs.json")
    if os.environ.get("CHALLY_DATABASE_URL"):
        yield Finding("Postgres", "CHALLY_DATABASE_URL")
    else:
        yield _postgres(directory, ports.get("postgres", 0))
    yield _local_aws(directory, ports.get("aws", 4566))
    if not outputs:
        yield Finding("stack", "not deployed", f"{_UP} deploys it.")
        return
    yield Finding("stack", ", ".join(sorted(outputs["functions"])) or "no functions")
    ready = _answers(outputs["api_url"] + "/ready")
    yield Finding("API", f"{outputs['api_url']}/ready: {ready}", "" if ready == "200" else "`make logs` shows why.")


def _local_aws(directory: Path, port: int) -> Finding:
    external = os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/")
    if external:
        answer = _answers(external + "/_localstack/health")
        return Finding(
            "local AWS", f"{external}: {answer}", "" if answer == "200" else "Start it, or unset AWS_ENDPOINT_URL."
        )
    url = f"http://{_HOST}:{port}"
    if not _lives(directory / "aws" / "ministack.pid"):
        if _listens(port):
            return Finding(
                "local AWS", f"port {port} is taken by another process", "Choose another: `make up PORT=4577`."
            )
        return Finding("local AWS", "not running", f"{_UP} starts it.")
    answer = _answers(url + "/_ministack/ready")
    return Finding("local AWS", f"{url}: {answer}", "" if answer == "200" else f"{_UP} starts it anew.")


def _lives(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text().split()[0]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def _postgres(directory: Path, port: int) -> Finding:
    if not (directory / "postgres" / "data" / "postmaster.pid").exists() or not _listens(port):
        return Finding("Postgres", "not running", f"{_UP} starts it.")
    return Finding("Postgres", f"{_HOST}:{port}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _answers(url: str) -> str:
    try:
        with urlopen(url, timeout=_SERVER_SECONDS) as answer:
            return str(answer.status)
    except HTTPError as error:
        return f"{error.code} {error.read(300).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _output(*command: str) -> str:
    """The first line a command prints, or "" when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=bootstrap.environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines: list[str] = done.stdout.strip().splitlines()
    return lines[0] if lines and done.returncode == 0 else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=bootstrap.ROOT / ".local")
    sys.exit(examine(parser.parse_args().directory.resolve()))
