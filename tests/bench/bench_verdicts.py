"""From the end of an upload to its verdict on the running local system, four people at once (goal: p95 under 3 s).

make up && .venv/bin/python -m tests.bench.bench_verdicts
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from infra.local import photo, story, system
from infra.local.progress import LocalError
from infra.local.workspace import Workspace

PEOPLE = 4
PHOTOS = 10


def main() -> None:
    try:
        outputs = system.read_outputs(Workspace.open())
    except LocalError as error:
        print(f"upload to verdict: not measured. {error}")
        return
    with ThreadPoolExecutor(PEOPLE) as people:
        seconds = sorted(time for times in people.map(lambda _: prove(outputs), range(PEOPLE)) for time in times)
    p95 = statistics.quantiles(seconds, n=20)[-1]
    print(f"upload to verdict, {len(seconds)} photos, {PEOPLE} people at once: "
          f"median {statistics.median(seconds):.2f} s, p95 {p95:.2f} s (goal: under 3 s)")  # fmt: skip


def prove(outputs: dict[str, Any]) -> list[float]:
    """One person's photos, one after the other; seconds from upload to verdict of each."""
    return story.time_verdicts(outputs, [photo.make(time.time_ns() + number) for number in range(PHOTOS)])


if __name__ == "__main__":
    main()
