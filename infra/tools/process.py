"""Child processes, and errors that a person can act on.

Standard library and Python 3.8 only: bootstrap.py and doctor.py use it before anything is installed.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_TAIL_LINES = 25


class ToolError(Exception):
    """An error that a person has to fix: the problem, and what to do about it."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}\n{fix}".rstrip())
        self.problem = problem
        self.fix = fix


class ChildFailed(ToolError):
    """A child process ended with an error. The message includes the last lines of its output."""

    def __init__(self, argv: Sequence[str], status: int, log: Path, output: str) -> None:
        name = " ".join([Path(argv[0]).name, *argv[1:3]])
        lines = "".join(f"\n    {line}" for line in output.splitlines()[-_TAIL_LINES:])
        super().__init__(f"{name} ended with status {status}. Its last lines:{lines}", f"Its whole log: {log}")
        self.output = output


def run(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep: Sequence[int] = (),
    watch: Callable[[], None] | None = None,
    user: int | None = None,
) -> str:
    """Run a child to its end, append its output to a log file, and return that output.

    The child inherits the file descriptors in `keep`. `watch` is called every second and may raise to give up. The
    child is terminated if `watch` raises or the user interrupts. `user` is the id of the user to run it as, for root.
    Raises ChildFailed if the child's status is not 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # colours off, as the output goes to a file
    plain = {name: value for name, value in (os.environ if env is None else env).items() if name != "FORCE_COLOR"}
    plain.update(NO_COLOR="1", PYTHON_COLORS="0")
    with log.open("ab") as out:
        out.write(f"$ {' '.join(argv)}\n".encode())
        out.flush()
        start = out.tell()
        # no standard input: a child must not wait for an answer, because its question is not shown
        identity: dict[str, Any] = {}
        if user is not None:
            identity = {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=plain, cwd=cwd, pass_fds=tuple(keep), **identity
        )
        try:
            while True:
                try:
                    status = child.wait(timeout=1 if watch else None)
                    break
                except subprocess.TimeoutExpired:
                    if watch:
                        watch()
        except BaseException:
            child.terminate()
            child.wait()
            raise
    output = tail(log, start)
    if status:
        raise ChildFailed(argv, status, log, output)
    return output


def tail(log: Path, start: int = 0) -> str:
    """Return the text of a log file from a byte offset on."""
    with log.open("rb") as written:
        written.seek(start)
        return written.read().decode(errors="replace")
