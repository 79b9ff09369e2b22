"""The Lambda layers of third-party wheels, built from uv.lock.

`layers/<name>/<platform>/` is one layer, as Lambda unpacks it under /opt. It is rebuilt when its part of uv.lock
changes. A layer is built under another name and renamed when it is complete.
"""

import argparse
import compileall
import fcntl
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from platform import machine

from infra.tools.bootstrap import ROOT, uv

HOST = f"{sys.platform}-{machine()}"
"""The platform of this machine, whose Python runs the functions of the local stage."""
LAMBDA = "aarch64-manylinux_2_34"
"""Lambda's Python 3.13 on arm64: Amazon Linux 2023, glibc 2.34."""
PLATFORMS = (HOST, LAMBDA)

LAYERS = ROOT / "layers"
GROUPS = {"vendor": None, "imaging": "imaging", "migrations": "migrations"}
"""Layer name → dependency group in pyproject.toml. `None`: the project's dependencies, which every function has."""

PYTHON_VERSION = "3.13"


class LayerError(Exception):
    """uv could not export or install the wheels of a layer; the message is uv's."""


def layer_path(name: str, platform: str) -> Path:
    """Return the directory of a layer for `Code.from_asset`. Raises FileNotFoundError if it is not built."""
    path = _directory(name, platform)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not built: run `.venv/bin/python -m infra.assets {platform}`")
    return path


def build(platform: str) -> list[str]:
    """Build the layers of a platform that are missing or out of date; return the names of those built.

    A lock lets concurrent builds take turns; the later ones find nothing to do.
    """
    with open(LAYERS / "build.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return [name for name in GROUPS if _build(name, platform)]


def fingerprint(platform: str) -> str:
    """Return a text that changes with each build of the layers; an empty part is a layer that is not built."""
    return ",".join(_built(name, platform) for name in GROUPS)


def _build(name: str, platform: str) -> bool:
    requirements = _uv("export", "--frozen", "--no-default-groups", "--no-emit-project", "--no-header",
                       *_group(name))  # fmt: skip
    # a change of this file rebuilds the layers too
    digest = hashlib.sha256(requirements.encode() + Path(__file__).read_bytes()).hexdigest()
    target, stamp = _directory(name, platform), _stamp(name, platform)
    if target.is_dir() and _built(name, platform) == digest:
        return False
    stamp.unlink(missing_ok=True)
    fresh = target.with_name(f"{platform}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    python = fresh / "python"
    python.mkdir(parents=True)
    listing = fresh / "requirements.txt"
    listing.write_text(requirements)
    # uv checks the lock's hashes again; --no-deps because the export already lists every dependency
    _uv("pip", "install", "--target", str(python), "--python", sys.executable, "--python-version", PYTHON_VERSION,
        *(() if platform == HOST else ("--python-platform", platform)),
        "--only-binary", ":all:", "--no-deps", "--require-hashes", "--link-mode", "copy",
        "--requirement", str(listing))  # fmt: skip
    listing.unlink()
    _slim(python)
    _compile(python)
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
    stamp.write_text(digest)
    return True


def _slim(python: Path) -> None:
    """Delete what no function runs: a cold start unpacks the layers, and Lambda allows 250 MB for all of them."""
    shutil.rmtree(python / "bin", ignore_errors=True)
    for tests in [path for path in python.rglob("tests") if path.is_dir()]:
        shutil.rmtree(tests, ignore_errors=True)


def _compile(python: Path) -> None:
    """Add bytecode, so that a cold start does not compile the modules it imports.

    The pyc files are unchecked, because zip changes the modification times that checked ones depend on.
    """
    compileall.compile_dir(
        python,
        quiet=2,
        workers=os.cpu_count() or 1,
        stripdir=str(python),
        prependdir="/opt/python",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _group(name: str) -> tuple[str, ...]:
    group = GROUPS[name]
    return ("--only-group", group) if group else ()


def _directory(name: str, platform: str) -> Path:
    return LAYERS / name / platform


def _stamp(name: str, platform: str) -> Path:
    return LAYERS / name / f"{platform}.stamp"


def _built(name: str, platform: str) -> str:
    stamp = _stamp(name, platform)
    return stamp.read_text() if stamp.exists() else ""


def _uv(*arguments: str) -> str:
    done = subprocess.run([uv(), *arguments, "--quiet"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise LayerError(f"uv {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the Lambda layers of third-party wheels.")
    parser.add_argument("platform", nargs="?", choices=PLATFORMS, help="default: all")
    only = parser.parse_args().platform
    for wanted in [only] if only else PLATFORMS:
        print(wanted, "built:", ", ".join(build(wanted)) or "nothing, everything is up to date")
