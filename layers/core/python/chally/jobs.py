"""What scheduled and queue-driven functions share: the entry point, time limits, and work in batches."""

import functools
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from chally import context as request_context
from chally import redaction, zones
from chally.context import RequestContext
from chally.errors import ServiceUnavailable
from chally.log import logger, metrics

FIRST_ID = UUID(int=0)
# Not the fault of a row: no database, locks of others, no memory. The next run tries again.
UNAVAILABLE = (ServiceUnavailable, psycopg.OperationalError, MemoryError)


class JobFailed(Exception):
    """An exception of a job, with its text redacted."""


def job[R](handler: Callable[[dict[str, Any], LambdaContext], R]) -> Callable[[dict[str, Any], Any], R]:
    """Decorate a job's entry point: a fresh log context and trace, metrics flushed at the end, errors redacted.

    The Lambda runtime prints an exception without our logger, so one whose text holds a secret becomes `JobFailed`.
    """
    zones.check_release()

    @functools.wraps(handler)
    def run(event: dict[str, Any], context: LambdaContext) -> R:
        request = RequestContext(context.aws_request_id, request_context.continue_trace(None))
        try:
            with request_context.activate(request):
                logger.append_keys(trace_id=request.trace_id)
                return handler(event, context)
        except Exception as error:
            text = redaction.redact_text(str(error))
            if text == str(error):
                raise
            logger.exception("job_failure")
            raise JobFailed(f"{type(error).__name__}: {text}") from None
        finally:
            if metrics.metric_set:
                metrics.flush_metrics()

    return logger.inject_lambda_context(run, clear_state=True)


class TimeBudget:
    """The time a function has left before Lambda stops it, less a reserve to finish the batch in hand."""

    def __init__(self, context: LambdaContext, *, reserve: timedelta) -> None:
        self._context = context
        self._reserve = reserve

    def has_time(self) -> bool:
        """Whether another batch may begin. What is left is for the next run."""
        return timedelta(milliseconds=self._context.get_remaining_time_in_millis()) > self._reserve


class Scan[T]:
    """Iterates over batches of rows in the order of their ids, until the last batch or until the time is up.

    `load(after)` returns a batch of rows with greater ids, and the id to continue after: None for the last batch.
    `complete` tells afterwards whether the last batch was reached.
    """

    def __init__(self, load: Callable[[UUID], tuple[T, UUID | None]], budget: TimeBudget) -> None:
        self._load = load
        self._budget = budget
        self.complete = False

    def __iter__(self) -> Iterator[T]:
        after: UUID | None = FIRST_ID
        while after is not None:
            if not self._budget.has_time():
                return
            batch, after = self._load(after)
            yield batch
        self.complete = True


def drain(step: Callable[[], int], *, limit: int, budget: TimeBudget) -> int:
    """Call `step`, which handles at most `limit` rows, until it handles fewer or the time is up. Returns the total."""
    total = 0
    while budget.has_time():
        handled = step()
        total += handled
        if handled < limit:
            break
    return total


def isolate[T](rows: Sequence[T], work: Callable[[Sequence[T]], object], *, task: str) -> list[T]:
    """Do `work`, which commits or changes nothing, on all rows at once. If that fails, on each half of them, and so on:
    a broken row stops only itself. Returns the broken rows, which are logged and counted.

    Raises `UNAVAILABLE` errors, which no row causes.
    """
    if not rows:
        return []
    try:
        work(rows)
    except UNAVAILABLE:
        raise
    except Exception:
        if len(rows) > 1:
            middle = len(rows) // 2
            return [*isolate(rows[:middle], work, task=task), *isolate(rows[middle:], work, task=task)]
        logger.exception("row_skipped", task=task, row=str(rows[0]))
        metrics.add_metric("RowsSkipped", MetricUnit.Count, 1)
        return [rows[0]]
    return []


def drain_isolated[T](
    find: Callable[[list[T]], list[T]], work: Callable[[Sequence[T]], int], *, task: str, budget: TimeBudget
) -> int:
    """Find rows and do `work` on them, until none are found or the time is up. Returns the total of what it did.

    `find` is passed the rows that are broken, and leaves them out; see `isolate`. The next run tries them again.
    """
    total = 0
    broken: list[T] = []

    def add(rows: Sequence[T]) -> None:
        nonlocal total
        total += work(rows)

    while budget.has_time():
        before = total, len(broken)
        broken += isolate(find(broken), add, task=task)
        if (total, len(broken)) == before:  # nothing is left, or another run has locked it
            break
    return total


def attempt[R](part: Callable[[], R], *, name: str) -> R | None:
    """Return the result of a part of a job; None if it fails, which is logged and must not stop the other parts."""
    try:
        return part()
    except Exception:
        logger.exception("job_part_failure", part=name)
        return None
