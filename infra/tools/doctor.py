"""`make doctor`: what this machine and the local system lack, and how to fix it.

Standard library and Python 3.8 only: it must also work before anything is installed.
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
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from infra.tools import bootstrap
from infra.tools.process import ToolError

_HOST = "127.0.0.1"
_REGISTRY_SECONDS = 10
_SERVER_SECONDS = 15
_NEEDED_BYTES = 1_000_000_000
_UP = "`make up`"


class Diagnosis(NamedTuple):
    """One row of the table. There is a problem if `fix` says what to do about it."""

    name: str
    state: str
    fix: str = ""


def examine(directory: Path) -> int:
    """Print a table of checks; return 1 if there is a problem, otherwise 0."""
    problems = 0
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    red, green, plain = ("\x1b[31m", "\x1b[32m", "\x1b[0m") if colour else ("", "", "")
    for row in _rows(directory):
        problems += bool(row.fix)
        mark = f"{red}problem{plain}" if row.fix else f"{green}ok     {plain}"
        print(f"  {mark}  {row.name:<14} {row.state}", flush=True)
        if row.fix:
            print(f"           {'':<14} → {row.fix}", flush=True)
    print(f"\n{problems} problem{'s' if problems != 1 else ''}" if problems else "\nNo problems.")
    return 1 if problems else 0


def _rows(directory: Path) -> Iterator[Diagnosis]:
    old = "" if sys.version_info >= (3, 8) else "Install Python 3.8 or later as python3."
    yield Diagnosis("python3", platform.python_version(), old)
    tools = [*_tools()]
    yield from tools
    if any(row.fix for row in tools):
        pip = _output(sys.executable, "-m", "pip", "--version").split(" from ")[0]
        yield Diagnosis("pip", pip or "missing; uv will be fetched without it")
        for name, variable, default, page in (
            ("PyPI", "PIP_INDEX_URL", "https://pypi.org/simple", "uv/"),
            ("npm registry", "NPM_CONFIG_REGISTRY", "https://registry.npmjs.org", "aws-cdk"),
        ):
            url = f"{os.environ.get(variable, default).rstrip('/')}/{page}"
            status = _status(url, _REGISTRY_SECONDS)
            fix = "" if status == "200" else "Check the network and HTTPS_PROXY, or the mirror's address."
            yield Diagnosis(name, url if status == "200" else f"{url}: {status}", fix)
    # the tools and the system's own directory may lie on different disks
    place = next(place for place in (directory, *directory.resolve().parents) if place.exists())
    free = min(shutil.disk_usage(path).free for path in (bootstrap.ROOT, place))
    needed = _NEEDED_BYTES if bootstrap.current() else bootstrap.NEEDED_BYTES
    yield Diagnosis("disk", f"{free / 1e9:.1f} GB free", "" if free >= needed else f"{needed / 1e9:.1f} GB are needed.")
    if os.access(place, os.W_OK):
        yield Diagnosis("directory", str(directory))
    else:
        yield Diagnosis("directory", f"{directory} is read-only", "Clone to a directory you own, or set DIRECTORY=….")
    yield from _servers(directory)


def _tools() -> Iterator[Diagnosis]:
    try:
        yield Diagnosis("uv", _output(bootstrap.uv(), "--version"))
    except ToolError:
        yield Diagnosis("uv", "missing", f"{_UP} installs it.")
    reinstall = "Delete .venv and run `make up`."
    if bootstrap.PYTHON.exists():
        version = _output(str(bootstrap.PYTHON), "--version")
        yield Diagnosis("Python 3.13", version or "broken", "" if version.startswith("Python 3.13") else reinstall)
    else:
        pyenv = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
        found = [shutil.which("python3.13"), *map(str, sorted(pyenv.glob("3.13*/bin/python3.13")))]
        interpreter = next((path for path in found if path), None)
        state = f"{interpreter}, no environment yet" if interpreter else "missing"
        download = "lets uv download it from GitHub. If GitHub is unreachable, install python3.13 or set"
        fix = "creates it." if interpreter else f"{download} UV_PYTHON_INSTALL_MIRROR."
        yield Diagnosis("Python 3.13", state, f"{_UP} {fix}")
    for name, command in {"Node": [bootstrap.NODE], "cdk CLI": [bootstrap.NODE, bootstrap.CDK]}.items():
        if command[-1].exists():
            version = _output(*map(str, command), "--version")
            yield Diagnosis(name, version or "does not run", "" if version else reinstall)
        else:
            yield Diagnosis(name, "missing", f"{_UP} installs it.")
    if not bootstrap.current():
        yield Diagnosis("tools", "differ from the lock files", "`make bootstrap` updates them.")


def _servers(directory: Path) -> Iterator[Diagnosis]:
    ports, outputs = _read(directory / "ports.json"), _read(directory / "outputs.json")
    port = ports.get("postgres", 0)
    if os.environ.get("CHALLY_DATABASE_URL"):
        yield Diagnosis("Postgres", "CHALLY_DATABASE_URL")
    elif (directory / "postgres" / "data" / "postmaster.pid").exists() and _listens(port):
        yield Diagnosis("Postgres", f"{_HOST}:{port}")
    else:
        yield Diagnosis("Postgres", "not running", f"{_UP} starts it.")
    yield _local_aws(directory, ports.get("aws", 4566))
    if not outputs:
        yield Diagnosis("stack", "not deployed", f"{_UP} deploys it.")
        return
    yield Diagnosis("stack", ", ".join(sorted(outputs["functions"])) or "no functions")
    url = outputs["api_url"] + "/ready"
    status = _status(url)
    yield Diagnosis("API", f"{url}: {status}", "" if status == "200" else "See `make logs`.")


def _local_aws(directory: Path, port: int) -> Diagnosis:
    if external := os.environ.get("AWS_ENDPOINT_URL", "").rstrip("/"):
        status = _status(external + "/_localstack/health")
        fix = "" if status == "200" else "Start it, or unset AWS_ENDPOINT_URL."
        return Diagnosis("local AWS", f"{external}: {status}", fix)
    if _is_alive(directory / "aws" / "ministack.pid"):
        status = _status(f"http://{_HOST}:{port}/_ministack/ready")
        fix = "" if status == "200" else f"{_UP} starts it again."
        return Diagnosis("local AWS", f"http://{_HOST}:{port}: {status}", fix)
    if _listens(port):
        problem = f"port {port} is in use by another process"
        return Diagnosis("local AWS", problem, "Choose another port: `make up PORT=4577`.")
    return Diagnosis("local AWS", "not running", f"{_UP} starts it.")


def _is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text().split()[0]), 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((_HOST, port)) == 0


def _status(url: str, seconds: float = _SERVER_SECONDS) -> str:
    try:
        with urlopen(url, timeout=seconds) as response:
            return str(response.status)
    except HTTPError as error:
        return f"{error.code} {error.read(300).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return str(error)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}


def _output(*command: str) -> str:
    """Return the first line that a command prints, or "" if it cannot be run."""
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
