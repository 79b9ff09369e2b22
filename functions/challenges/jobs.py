"""Jobs of challenges: precompute everybody's windows, close what nobody proved; each night, check counts and clocks."""

from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from challenges import membership, standings, windows, zones
from chally import clock, db
from chally.log import job, logger, metrics

BATCH = 1_000
CLOSINGS = 200
ZONES = 50
# Left for the next run when less of the function's time than this remains (milliseconds).
RESERVE = 30_000
FIRST = UUID(int=0)


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def windows_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every 15 minutes: store the windows from yesterday to the day after tomorrow, and close overdue ones.

    Idempotent and resumable: batches commit on their own, and what is stored already is left as it is.
    """
    batches = closed = 0
    after: UUID | None = FIRST
    while after is not None and context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("precompute windows") as tx:
            after = windows.precompute_batch(tx, after, BATCH, clock.now())
        batches += 1
    while context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("close overdue windows") as tx:
            taken = standings.close_overdue(tx, clock.now(), CLOSINGS)
        closed += taken
        if taken < CLOSINGS:
            break
    metrics.add_metric("WindowsMissed", MetricUnit.Count, closed)
    logger.info("windows", batches=batches, closed=closed, complete=after is None)
    return {"batches": batches, "closed": closed}


@metrics.log_metrics(raise_on_empty_metrics=False)
@logger.inject_lambda_context(clear_state=True)
@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: compare what challenges say of their participants with how many there are, and clocks.

    It mends nothing: what counted wrong would do so again. RuntimeError at the end when any is wrong, for the alarm.
    """
    zones_differ = _compare_zones()
    checked = wrong = 0
    after: UUID | None = FIRST
    while after is not None and context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("check counts", read_only=True) as tx:
            counts, after = membership.counts(tx, after, BATCH)
        checked += len(counts)
        for count in counts:
            if count.said != count.present:
                logger.error(
                    "a wrong count", challenge_id=str(count.challenge_id), said=count.said, is_in=count.present
                )
                wrong += 1
    metrics.add_metric("CountsWrong", MetricUnit.Count, wrong)
    logger.info("nightly", checked=checked, wrong=wrong, complete=after is None)
    if wrong:
        raise RuntimeError(f"{wrong} of {checked} challenges have a wrong participant_count")
    return {"checked": checked, "wrong": wrong, "zones_differ": zones_differ}


def _compare_zones() -> int:
    """How many zones in use Postgres and Python read differently in the next year: see `chally.zones.tzdata_version`.

    An alarm of its own says so: no retry would mend it.
    """
    with db.as_system("compare zones", read_only=True) as tx:
        names = zones.in_use(tx)
    found = 0
    for first in range(0, len(names), ZONES):
        with db.as_system("compare zones", read_only=True) as tx:
            differing = zones.differing(tx, names[first : first + ZONES], clock.now())
        for zone in differing:
            logger.error("a zone differs", zone=zone.zone, times=zone.times, first=zone.first)
        found += len(differing)
    metrics.add_metric("ZonesDiffer", MetricUnit.Count, found)
    return found
