"""What jobs share: the entry point, the time budget, batches."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from chally import context
from chally.errors import ServiceUnavailable
from chally.jobs import FIRST_ID, JobFailed, Scan, TimeBudget, attempt, drain, drain_isolated, isolate, job
from chally.log import logger, metrics
from tests.support.api import LambdaContext

IDS = [UUID(int=number) for number in range(1, 8)]


class Remaining(LambdaContext):
    """A Lambda context whose remaining time shrinks by a second whenever it is read."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.milliseconds = seconds * 1000

    def get_remaining_time_in_millis(self) -> int:
        self.milliseconds -= 1000
        return self.milliseconds


def budget(seconds: int = 1000) -> TimeBudget:
    return TimeBudget(cast(Any, Remaining(seconds)), reserve=timedelta(seconds=2))


def invocation() -> Any:
    return LambdaContext()


class TestJob:
    def test_it_has_a_request_id_and_a_trace(self, logs: Callable[[], str]) -> None:
        @job
        def handler(event: dict[str, Any], lambda_context: object) -> context.RequestContext:
            logger.info("inside")
            return context.current()

        current = invocation()
        found = handler({}, current)
        assert found.request_id == current.aws_request_id
        assert len(found.trace_id) == 32
        assert f'"trace_id":"{found.trace_id}"' in logs()
        assert context.current().request_id is None

    def test_metrics_are_flushed_even_if_it_fails(self, capsys: pytest.CaptureFixture[str]) -> None:
        @job
        def handler(event: dict[str, Any], lambda_context: object) -> None:
            metrics.add_metric("Sampled", MetricUnit.Count, 3)
            raise LookupError("broken")

        with pytest.raises(LookupError):
            handler({}, invocation())
        assert '"Sampled":[3.0]' in capsys.readouterr().out.replace(" ", "")

    def test_a_job_without_metrics_does_not_fail(self, capsys: pytest.CaptureFixture[str]) -> None:
        @job
        def handler(event: dict[str, Any], lambda_context: object) -> str:
            return "done"

        assert handler({}, LambdaContext()) == "done"
        assert "CloudWatchMetrics" not in capsys.readouterr().out

    def test_a_secret_in_an_exception_is_redacted(self, logs: Callable[[], str]) -> None:
        token = "x7" * 30

        @job
        def handler(event: dict[str, Any], lambda_context: object) -> None:
            raise LookupError(f"no account kari@people.test {event['token']}")

        with pytest.raises(JobFailed, match=r"LookupError: no account k…@people.test \[redacted\]") as caught:
            handler({"token": token}, invocation())
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert '"exception_name":"LookupError"' in logs()
        assert token not in logs()

    def test_other_exceptions_pass_unchanged(self) -> None:
        @job
        def handler(event: dict[str, Any], lambda_context: object) -> None:
            raise LookupError("no account")

        with pytest.raises(LookupError, match="no account"):
            handler({}, invocation())


class TestScan:
    @staticmethod
    def load(after: UUID) -> tuple[list[UUID], UUID | None]:
        batch = [each for each in IDS if each > after][:3]
        return batch, batch[-1] if len(batch) == 3 else None

    def test_it_visits_every_batch(self) -> None:
        scan = Scan(self.load, budget())
        assert [each for batch in scan for each in batch] == IDS
        assert scan.complete

    def test_it_stops_when_the_time_is_up(self) -> None:
        scan = Scan(self.load, budget(seconds=5))
        assert [each for batch in scan for each in batch] == IDS[:6]
        assert not scan.complete

    def test_it_begins_before_every_id(self) -> None:
        begun: list[UUID] = []

        def load(after: UUID) -> tuple[None, UUID | None]:
            begun.append(after)
            return None, None

        scan = Scan(load, budget())
        assert list(scan) == [None]
        assert begun == [FIRST_ID]
        assert scan.complete


class TestDrain:
    def test_it_stops_after_a_batch_that_is_not_full(self) -> None:
        handled = iter([5, 5, 2, 5])
        assert drain(lambda: next(handled), limit=5, budget=budget()) == 12

    def test_it_stops_when_the_time_is_up(self) -> None:
        assert drain(lambda: 5, limit=5, budget=budget(seconds=5)) == 10

    def test_it_does_nothing_without_time(self) -> None:
        assert drain(lambda: 5, limit=5, budget=budget(seconds=2)) == 0


class TestIsolation:
    """A broken row stops only itself."""

    def test_only_the_broken_rows_are_left_out(
        self, logs: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        done: list[UUID] = []

        def work(rows: Sequence[UUID]) -> int:
            if IDS[2] in rows or IDS[6] in rows:
                raise ValueError("broken")
            done.extend(rows)
            return len(rows)

        def find(broken: list[UUID]) -> list[UUID]:
            return [each for each in IDS if each not in broken and each not in done]

        @job
        def handler(event: dict[str, Any], lambda_context: object) -> int:
            return drain_isolated(find, work, task="test", budget=budget())

        assert handler({}, invocation()) == 5
        assert sorted(done) == [each for each in IDS if each not in (IDS[2], IDS[6])]
        assert logs().count('"message":"row_skipped"') == 2
        assert str(IDS[2]) in logs()
        assert '"RowsSkipped":[1.0,1.0]' in capsys.readouterr().out.replace(" ", "")

    def test_an_unreachable_database_is_no_broken_row(self) -> None:
        calls = []

        def work(rows: Sequence[UUID]) -> int:
            calls.append(rows)
            raise ServiceUnavailable

        with pytest.raises(ServiceUnavailable):
            isolate(IDS, work, task="test")
        assert len(calls) == 1

    def test_rows_that_another_run_has_locked_are_left_to_it(self) -> None:
        assert drain_isolated(lambda _: IDS, lambda _: 0, task="test", budget=budget()) == 0

    def test_no_batch_begins_without_time_to_finish_it(self) -> None:
        assert drain_isolated(lambda _: IDS, len, task="test", budget=budget(5)) == 2 * len(IDS)

    def test_a_part_that_fails_is_logged(self, logs: Callable[[], str]) -> None:
        def part() -> int:
            raise LookupError("broken")

        assert attempt(part, name="sweep") is None
        assert '"message":"job_part_failure"' in logs()
        assert attempt(lambda: 3, name="sweep") == 3
