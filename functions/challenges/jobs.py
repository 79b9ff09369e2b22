"""Jobs of challenges: precompute and close windows every 15 minutes; check what was computed every night."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from challenges import clock_changes, membership, search, standings, windows, zones
from challenges.queries.challenges import ParticipantCount
from challenges.standings import StandingCheck
from chally import clock, db
from chally.jobs import UNAVAILABLE, Scan, TimeBudget, attempt, drain, drain_isolated, isolate, job
from chally.log import logger, metrics

BATCH = 1_000
ZONE_BATCH = 50
# A run starts no further batch with less time left than this; the next run continues.
RESERVE = timedelta(seconds=30)


@job
def windows_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every 15 minutes: store the windows from yesterday to the day after tomorrow, and decide overdue ones.

    Idempotent and resumable: each batch commits on its own, and windows that are already stored do not change. A
    participant whose rows are broken is skipped and counted (RowsSkipped).
    """
    budget = TimeBudget(context, reserve=RESERVE)
    scan = Scan(_precompute, budget)
    batches = sum(1 for _ in scan)
    closed = drain_isolated(_find_overdue, _close_overdue, task="close windows", budget=budget)
    drain(_fill_search, limit=BATCH, budget=budget)
    metrics.add_metric("WindowsMissed", MetricUnit.Count, closed)
    logger.info("windows_job_finished", batches=batches, closed=closed, complete=scan.complete)
    return {"batches": batches, "closed": closed}


def _precompute(after: UUID) -> tuple[None, UUID | None]:
    try:
        with db.as_system("precompute windows") as tx:
            return None, windows.precompute_batch(tx, after, BATCH, clock.now())
    except UNAVAILABLE:
        raise
    except Exception:
        logger.warning("windows_batch_split", after=str(after))
    with db.as_system("find participants", read_only=True) as tx:
        people = windows.list_people(tx, after, BATCH, clock.now())
    isolate(people, _precompute_people, task="precompute windows")
    return None, people[-1] if people else None


def _precompute_people(people: Sequence[UUID]) -> None:
    with db.as_system("precompute windows") as tx:
        windows.precompute_people(tx, people, clock.now())


def _fill_search() -> int:
    """Usually nothing is left to do: only what releases before the search's wrote."""
    with db.as_system("fill the search") as tx:
        return search.fill(tx, BATCH)


def _find_overdue(broken: list[UUID]) -> list[UUID]:
    with db.as_system("find overdue windows", read_only=True) as tx:
        return standings.list_overdue(tx, clock.now(), BATCH, without=broken)


def _close_overdue(people: Sequence[UUID]) -> int:
    with db.as_system("close overdue windows") as tx:
        return standings.close_overdue(tx, clock.now(), BATCH, people)


@job
def nightly_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Every night: compare participant counts and standings with their sources, and Postgres' time zones with ours.

    Where clocks change within two days, also windows and planned reminders with a second calculation. The job only
    reports: the same bug would corrupt a repair. A part that fails does not stop the others. Raises RuntimeError at the
    end if anything but a zone is wrong, or if a part failed, which triggers the alarm.
    """
    budget = TimeBudget(context, reserve=RESERVE)
    zones_differ = attempt(lambda: _compare_zones(_zones_in_use()), name="zones")
    clocks = attempt(lambda: _check_clock_changes(_zones_in_use(), budget), name="clock changes")
    counts = attempt(lambda: _check_counts(budget), name="counts")
    scores = attempt(lambda: _check_standings(budget), name="standings")
    checked_clocks, wrong_clocks, clocks_complete = clocks or (0, 0, False)
    checked_counts, wrong_counts, counts_complete = counts or (0, 0, False)
    checked_standings, wrong_standings, standings_complete = scores or (0, 0, False)
    metrics.add_metric("ClockChangesChecked", MetricUnit.Count, checked_clocks)
    metrics.add_metric("ClockChangesWrong", MetricUnit.Count, wrong_clocks)
    metrics.add_metric("CountsWrong", MetricUnit.Count, wrong_counts)
    metrics.add_metric("StandingsWrong", MetricUnit.Count, wrong_standings)
    wrong = wrong_clocks + wrong_counts + wrong_standings
    logger.info(
        "nightly_job_finished",
        counts=checked_counts,
        standings=checked_standings,
        clock_changes=checked_clocks,
        wrong=wrong,
        complete=clocks_complete and counts_complete and standings_complete,
    )
    if zones_differ is None or clocks is None or counts is None or scores is None:
        raise RuntimeError("a part of the job failed: see job_part_failure in the log")
    if wrong:
        raise RuntimeError(
            f"{wrong_counts} of {checked_counts} challenges have a wrong participant_count,"
            f" {wrong_standings} of {checked_standings} standings do not match their windows and proofs,"
            f" {wrong_clocks} of {checked_clocks} windows and reminders around a change of clocks are wrong"
        )
    return {
        "counts": checked_counts,
        "standings": checked_standings,
        "clock_changes": checked_clocks,
        "wrong": wrong,
        "zones_differ": zones_differ,
    }


def _check_counts(budget: TimeBudget) -> tuple[int, int, bool]:
    """Return how many were checked, how many are wrong, and whether all were checked."""
    checked = wrong = 0
    scan = Scan(_participant_counts, budget)
    for counts in scan:
        checked += len(counts)
        for count in counts:
            if count.stored != count.actual:
                logger.error(
                    "participant_count_mismatch",
                    challenge_id=str(count.challenge_id),
                    stored=count.stored,
                    actual=count.actual,
                )
                wrong += 1
    return checked, wrong, scan.complete


def _participant_counts(after: UUID) -> tuple[list[ParticipantCount], UUID | None]:
    with db.as_system("check counts", read_only=True) as tx:
        return membership.participant_counts(tx, after, BATCH)


def _check_standings(budget: TimeBudget) -> tuple[int, int, bool]:
    """Return how many were checked, how many are wrong, and whether all were checked."""
    checked = wrong = 0
    scan = Scan(_standing_checks, budget)
    for batch in scan:
        checked += len(batch)
        for each in batch:
            if not each.is_correct:
                logger.error(
                    "standing_mismatch",
                    participant_id=str(each.stored.participant_id),
                    stored=str(each.stored.score),
                    recomputed=str(each.recomputed.score) if each.recomputed else None,
                    proofs_agree=each.proofs_agree,
                    visibility_agrees=each.visibility_agrees,
                )
                wrong += 1
    return checked, wrong, scan.complete


def _standing_checks(after: UUID) -> tuple[list[StandingCheck], UUID | None]:
    with db.as_system("check standings", read_only=True) as tx:
        return standings.check(tx, after, BATCH)


def _zones_in_use() -> list[str]:
    with db.as_system("list zones", read_only=True) as tx:
        return zones.in_use(tx)


def _compare_zones(names: list[str]) -> int:
    """Return for how many zones in use Postgres and Python disagree: see `chally.zones.tzdata_version`.

    They do not make the job fail, because no retry would help; the metric has its own alarm.
    """
    total = 0
    for first in range(0, len(names), ZONE_BATCH):
        with db.as_system("compare zones", read_only=True) as tx:
            mismatches = zones.mismatches(tx, names[first : first + ZONE_BATCH], clock.now())
        for mismatch in mismatches:
            logger.error("zone_mismatch", zone=mismatch.zone, times=mismatch.times, first=mismatch.first)
        total += len(mismatches)
    metrics.add_metric("ZonesDiffer", MetricUnit.Count, total)
    return total


def _check_clock_changes(names: list[str], budget: TimeBudget) -> tuple[int, int, bool]:
    """Return how many windows and reminders were checked, how many are wrong, and whether all were checked."""
    now = clock.now()
    changing = clock_changes.changing(names, now)
    if not changing:
        return 0, 0, True

    checked = wrong = 0

    def load(after: UUID) -> tuple[list[UUID], UUID | None]:
        with db.as_system("find changes of clocks", read_only=True) as tx:
            people = clock_changes.list_participants(tx, changing, now, after, BATCH)
        return people, people[-1] if people else None

    def check(people: Sequence[UUID]) -> None:
        nonlocal checked, wrong
        with db.as_system("check changes of clocks", read_only=True) as tx:
            batch = clock_changes.check(tx, people, changing, now)
        checked += batch.checked
        wrong += len(batch.mismatches)
        for mismatch in batch.mismatches:
            logger.error(
                "clock_change_mismatch",
                participant_id=str(mismatch.participant_id),
                local_date=str(mismatch.local_date),
                kind=mismatch.kind,
            )

    scan = Scan(load, budget)
    for people in scan:
        unreadable = isolate(people, check, task="check changes of clocks")
        wrong += len(unreadable)
    logger.info("clock_changes_checked", zones=changing, checked=checked, wrong=wrong, complete=scan.complete)
    return checked, wrong, scan.complete
