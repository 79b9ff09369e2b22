"""Named steps with their times, as a person sees them while a command runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_TITLE_WIDTH = 34


@dataclass
class Step:
    """A step under way. Set `note` to report its result in a few words."""

    note: str = ""


class Steps:
    """Prints a line for each step; on a terminal the current one spins."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.seconds = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Time the block and print one line for it, whether it succeeds or fails."""
        step, started, failed = Step(), time.monotonic(), True
        good, bad = ("+", "x") if self.console.options.ascii_only else ("✓", "✗")
        columns = (SpinnerColumn(), TextColumn(f"{title:<{_TITLE_WIDTH}}"), TimeElapsedColumn())
        animated = self.console.is_terminal and not self.console.is_dumb_terminal
        spinner = Progress(*columns, console=self.console, transient=True) if animated else nullcontext()
        if not animated:
            self.console.print(f"  {title:<{_TITLE_WIDTH}}", end="")
        try:
            with spinner:
                if isinstance(spinner, Progress):
                    spinner.add_task("", total=None)
                yield step
            failed = False
        finally:
            seconds = time.monotonic() - started
            self.seconds += seconds
            if animated:
                mark = f"[red]{bad}[/]" if failed else f"[green]{good}[/]"
                self.console.print(f"{mark} {title:<{_TITLE_WIDTH}}", end="")
            note = "failed" if failed else step.note
            self.console.print(f"{seconds:7.1f} s  {note}".rstrip(), markup=False)

    def say(self, text: str = "") -> None:
        """Print a line between steps."""
        self.console.print(text, markup=False)
