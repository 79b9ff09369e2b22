"""What a person sees while something takes long: named steps with their times, and the end of the log when one fails.

Standard library and Python 3.8 only, as bootstrap.py uses it before there is anything else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_TAIL = 25
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_SECONDS = 0.1
_TITLE_WIDTH = 34


class LocalError(Exception):
    """Something a person has to do: what is wrong, and how to put it right."""

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(f"{problem}\n{fix}" if fix else problem)
        self.problem = problem
        self.fix = fix


class ChildFailed(LocalError):
    """A child process ended with an error; the message ends with the last lines that it wrote."""

    def __init__(self, argv: Sequence[str], status: int, log: Path, output: str) -> None:
        tail = "\n".join("    " + line for line in output.splitlines()[-_TAIL:])
        super().__init__(f"{_name(argv)} ended with status {status}. Its last lines:\n{tail}", f"All of them: {log}")
        self.output = output


class Palette:
    """ANSI colours, or nothing: NO_COLOR (no-color.org), a dumb terminal and a pipe want none."""

    def __init__(self, out: TextIO) -> None:
        self.on = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, code: int, text: str) -> str:
        """The text in an SGR colour: 31 red, 32 green, 33 yellow, 36 cyan, 2 faint, 1 bold."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.on else text


class Step:
    """A step under way. Set `note` to say in a few words what came of it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.note = ""
        self.seconds = 0.0


class Steps:
    """Prints steps as they go; on a terminal the current one spins."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.done: list[Step] = []
        self._palette = Palette(self.out)
        self._spins = self.out.isatty() and os.environ.get("TERM") != "dumb"
        self._symbols = _symbols(self.out)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Times the block and prints one line for it, failed or not."""
        step = Step(title)
        started = time.monotonic()
        good, bad = self._symbols
        ended = threading.Event()
        spinner = None
        if self._spins:
            spinner = threading.Thread(target=self._spin, args=(step, started, ended), daemon=True)
            spinner.start()
        else:
            self._write(f"  {title:<{_TITLE_WIDTH}}")
        mark = self._palette.paint(31, bad)
        try:
            yield step
            mark = self._palette.paint(32, good)
        finally:
            step.seconds = time.monotonic() - started
            ended.set()
            if spinner:
                spinner.join()
                self._write(f"\r\x1b[K{mark} {title:<{_TITLE_WIDTH}}")
            self._write(f"{step.seconds:7.1f} s  {step.note if mark.find(bad) < 0 else 'failed'}".rstrip() + "\n")
            self.done.append(step)

    def say(self, text: str = "") -> None:
        """A line between steps."""
        self._write(text + "\n")

    def total(self) -> float:
        """Seconds spent in steps so far."""
        return sum(step.seconds for step in self.done)

    def _spin(self, step: Step, started: float, ended: threading.Event) -> None:
        frame = 0
        while not ended.wait(_FRAME_SECONDS):
            symbol = self._palette.paint(36, _FRAMES[frame % len(_FRAMES)])
            self._write(
                f"\r\x1b[K{symbol} {step.title:<{_TITLE_WIDTH}}{time.monotonic() - started:7.0f} s  {step.note}"
            )
            frame += 1

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def run(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep: Sequence[int] = (),
    watch: Callable[[], None] | None = None,
) -> str:
    """Runs a child to its end, its output appended to a log file; returns that output.

    The child inherits the file descriptors in `keep`. `watch` is called every second, and may raise to give up.
    Raises ChildFailed when the status is not 0. Interrupted in either way, it does not leave the child behind.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write(f"$ {' '.join(argv)}\n".encode())
        out.flush()
        start = out.tell()
        # The standard input is closed: nothing here may wait for an answer that nobody can see asked for.
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_plain(env), cwd=cwd, pass_fds=tuple(keep)
        )
        try:
            status = _wait(child, watch)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    output = tail(log, start)
    if status:
        raise ChildFailed(argv, status, log, output)
    return output


def _wait(child: subprocess.Popen[bytes], watch: Callable[[], None] | None) -> int:
    while watch:
        try:
            return child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            watch()
    return child.wait()


def tail(log: Path, start: int = 0) -> str:
    """What a log file holds from a byte offset on."""
    with log.open("rb") as written:
        written.seek(start)
        return written.read().decode(errors="replace")


def _plain(env: Mapping[str, str] | None) -> dict[str, str]:
    """The environment with colours off: the output goes to a file."""
    kept = {name: value for name, value in (os.environ if env is None else env).items() if name != "FORCE_COLOR"}
    return {**kept, "NO_COLOR": "1", "PYTHON_COLORS": "0"}


def _symbols(out: TextIO) -> tuple[str, str]:
    try:
        "✓✗⠋".encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return "+", "x"
    return "✓", "✗"


def _name(argv: Sequence[str]) -> str:
    return " ".join([Path(argv[0]).name, *argv[1:3]])
