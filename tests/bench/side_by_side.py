"""Speed as a ratio to an alternative, interleaved in one run: absolute times on a shared machine prove nothing."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

ROUNDS = 15


@dataclass(frozen=True)
class Ratio:
    """A ratio of times: its median over the rounds, its spread, and both median times in milliseconds."""

    median: float
    least: float
    most: float
    mine_ms: float
    theirs_ms: float

    def __str__(self) -> str:
        spread = f"{self.median:6.2f}  ({self.least:.2f} to {self.most:.2f})"
        return f"{spread:<26} {self.mine_ms:9.2f} ms / {self.theirs_ms:.2f} ms"


def ratio(
    mine: Callable[[], object],
    theirs: Callable[[], object],
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Ratio:
    """Time of `mine` over time of `theirs`: both are called by turns, after one warm-up call each.

    `clock` returns seconds. A clock of processor time ignores other processes.
    """
    mine(), theirs()
    pairs = []
    gc.disable()
    try:
        for turn in range(rounds):
            first, second = (mine, theirs) if turn % 2 else (theirs, mine)
            times = _milliseconds(first, clock), _milliseconds(second, clock)
            pairs.append(times if turn % 2 else times[::-1])
    finally:
        gc.enable()
    ratios = [mine_ms / theirs_ms for mine_ms, theirs_ms in pairs]
    mine_ms, theirs_ms = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), mine_ms, theirs_ms)


def _milliseconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    began = clock()
    call()
    return (clock() - began) * 1000
