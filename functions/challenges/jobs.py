"""Jobs of challenges: precompute everybody's windows, close those that nobody proved; nightly, check what counts."""

from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from challenges import membership, standings, windows, zones
from chally import clock, db
from chally.log import job, logger, metrics

BATCH = 1_000
CLOSINGS = 1_000
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
    """Every night: compare what is kept with what it is made of: the counts of participants, and the standings; and the
    clocks of Postgres with ours.

    It mends nothing: what counted wrong would do so again. RuntimeError at the end when any is wrong, for the alarm.
    """
    zones_differ = _compare_zones()
    counts, wrong_counts, counted_all = _check_counts(context)
    kept, wrong_standings, compared_all = _check_standings(context)
    metrics.add_metric("CountsWrong", MetricUnit.Count, wrong_counts)
    metrics.add_metric("StandingsWrong", MetricUnit.Count, wrong_standings)
    wrong = wrong_counts + wrong_standings
    logger.info("nightly", counts=counts, standings=kept, wrong=wrong, complete=counted_all and compared_all)
    if wrong:
        raise RuntimeError(
            f"{wrong_counts} of {counts} challenges have a wrong participant_count,"
            f" {wrong_standings} of {kept} standings are not what their windows and proofs add up to"
        )
    return {"counts": counts, "standings": kept, "wrong": wrong, "zones_differ": zones_differ}


def _check_counts(context: LambdaContext) -> tuple[int, int, bool]:
    """How many were checked, how many are wrong, and whether that was all."""
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
    return checked, wrong, after is None


def _check_standings(context: LambdaContext) -> tuple[int, int, bool]:
    """How many were checked, how many are wrong, and whether that was all."""
    checked = wrong = 0
    after: UUID | None = FIRST
    while after is not None and context.get_remaining_time_in_millis() > RESERVE:
        with db.as_system("check standings", read_only=True) as tx:
            batch, after = standings.check(tx, after, BATCH)
        checked += len(batch)
        for each in batch:
            if not each.is_right:
                logger.error(
                    "a wrong standing",
                    participant_id=str(each.kept.participant_id),
                    kept=str(each.kept.score),
                    counted=str(each.counted.score),
                    proved=each.proved,
                    placed=each.placed,
                )
                wrong += 1
    return checked, wrong, after is None


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
