"""Packages of npm that a directory's package-lock.json pins, installed when something first needs them."""

import fcntl
import hashlib
from pathlib import Path

from infra.tools.bootstrap import NODE, NPM, ROOT, environment
from infra.tools.process import ChildFailed, ToolError, run

_LOG = ROOT / ".local" / "logs" / "npm.log"


def install(directory: Path) -> Path:
    """Install the packages unless they are, and return the directory of their programs. No install script runs."""
    lock = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    packages = directory / "node_modules"
    stamp = packages / ".chally"
    with open(directory / "package-lock.json") as file:  # test processes share the packages
        fcntl.flock(file, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != lock:
            npm = [str(NODE), str(NPM), "ci", "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"]
            try:
                run(npm, log=_LOG, env=environment(), cwd=directory)
            except ChildFailed as failed:
                problem = f"Could not install the packages of {directory.relative_to(ROOT)} from the npm registry."
                fix = f"Check the network, HTTPS_PROXY, and npm's registry setting; see {_LOG.relative_to(ROOT)}."
                raise ToolError(problem, fix) from failed
            stamp.write_text(lock)
    return packages / ".bin"
