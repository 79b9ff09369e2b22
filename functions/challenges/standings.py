"""Standings: the score of each participant's decided windows, updated whenever a window is decided.

Most windows are decided in the order of their dates, and each adds one outcome to the stored score. Otherwise, for
example after a late verdict on a missed window, the score is recomputed from all outcomes. Both use `score`. A nightly
job compares each standing with its recomputation.

Lock order: a window before its standing, and standings by participant id. Any other order could deadlock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from challenges import outcomes, rules
from challenges.language import Scoring
from challenges.outcomes import OutcomeChange, WindowOutcome
from challenges.queries import standings as queries
from challenges.queries.standings import Standing, StandingRow
from challenges.rules import Outcome
from challenges.score import Score, add_outcomes
from chally.db import Tx


def record(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome) -> None:
    """Write a window's outcome and update the participant's standing, in the same transaction.

    Outcomes may arrive in any order and repeatedly: `outcomes.record` decides which one stays.
    """
    _update(tx, outcomes.record(tx, [WindowOutcome(participant_id, local_date, outcome)]))


def retract(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """Take back the outcome of an accepted window whose proof is no longer accepted. Other windows stay as they are.

    The window is undecided again while a proof or a verdict may still arrive; after that it is missed, or excused if
    its challenge was not running. The caller must check that no other accepted proof stands for the window, and must
    lock the window first (`outcomes.lock_window`), so that none is accepted meanwhile.
    """
    window = outcomes.lock_window(tx, participant_id, local_date)
    if window is None or window.outcome != "accepted":
        return
    outcome = rules.outcome_without_proof(window.closes_at, now, was_running=window.was_running)
    outcomes.reset(tx, participant_id, local_date, outcome)
    queries.save(tx, _recompute(tx, queries.lock(tx, [participant_id])))


def list_overdue(tx: Tx, now: datetime, limit: int, *, without: Sequence[UUID] = ()) -> list[UUID]:
    """List the participants of the oldest `limit` windows whose verdict is overdue, except `without`."""
    return outcomes.list_overdue(tx, now - rules.VERDICT_TIMEOUT, limit, without=without)


def close_overdue(tx: Tx, now: datetime, limit: int, participants: Sequence[UUID] | None = None) -> int:
    """Decide up to `limit` windows whose verdict is overdue, and return how many there were. `participants`: only
    theirs.

    They are missed, or excused if their challenge was paused, canceled or deleted when they closed.
    """
    overdue = outcomes.lock_overdue(tx, now - rules.VERDICT_TIMEOUT, limit, participants)
    closed = [
        WindowOutcome(window.participant_id, window.local_date, "missed" if window.was_running else "excused")
        for window in overdue
    ]
    _update(tx, outcomes.record(tx, closed))
    return len(overdue)


def _update(tx: Tx, changes: Sequence[OutcomeChange]) -> None:
    """Update the standings of windows that were just decided: add to the score if possible, or else recompute it."""
    by_participant: dict[UUID, list[OutcomeChange]] = {}
    for change in sorted(changes, key=lambda each: each.local_date):
        if change.outcome != "excused":
            by_participant.setdefault(change.participant_id, []).append(change)
    if not by_participant:
        return
    updated, out_of_order = [], []
    for row in queries.lock(tx, list(by_participant)):
        new = by_participant[row.participant_id]
        if _are_newer(new, row.last_decided):
            score = add_outcomes(row.score, (each.outcome for each in new), _scoring(row))
            updated.append(Standing(row.participant_id, score, new[-1].local_date))
        else:
            out_of_order.append(row)
    queries.save(tx, updated + _recompute(tx, out_of_order))


def _are_newer(changes: Sequence[OutcomeChange], last_decided: date | None) -> bool:
    """Return whether these changes, in the order of their dates, are all later than what the score includes."""
    is_newer = last_decided is None or changes[0].local_date > last_decided
    return is_newer and all(change.previous != "missed" for change in changes)


def _recompute(tx: Tx, rows: Sequence[StandingRow]) -> list[Standing]:
    """Compute these standings from all outcomes of their participants."""
    if not rows:
        return []
    histories = {each.participant_id: each for each in queries.histories(tx, [row.participant_id for row in rows])}
    standings = []
    for row in rows:
        history = histories[row.participant_id]
        score = add_outcomes(Score(), history.outcomes, _scoring(row))
        standings.append(Standing(row.participant_id, score, history.newest))
    return standings


def _scoring(row: StandingRow) -> Scoring:
    return Scoring.model_validate(row.scoring)


@dataclass(frozen=True, slots=True)
class StandingCheck:
    """A stored standing next to its recomputation from the participant's outcomes.

    `proofs_agree`: the accepted windows are those with an accepted proof. `visibility_agrees`: the standing is shown
    exactly while the participant takes part. `recomputed` is None if the challenge's scoring cannot be read.
    """

    stored: Standing
    recomputed: Standing | None
    proofs_agree: bool
    visibility_agrees: bool

    @property
    def is_correct(self) -> bool:
        return self.stored == self.recomputed and self.proofs_agree and self.visibility_agrees


def check(tx: Tx, after: UUID, limit: int) -> tuple[list[StandingCheck], UUID | None]:
    """Check the next `limit` standings in one snapshot, in order of participant id, starting after `after`.

    Also return the last participant's id, to be passed as the next `after`; None if no standings are left.
    """
    rows = queries.compare(tx, after=after, limit=limit)
    checks = []
    for row in rows:
        try:
            score = add_outcomes(Score(), row.outcomes, _scoring(row))
            recomputed = Standing(row.participant_id, score, row.newest)
        except ValueError:  # of one challenge, and no reason not to check the others
            recomputed = None
        stored = Standing(row.participant_id, row.score, row.last_decided)
        checks.append(StandingCheck(stored, recomputed, row.proofs_agree, row.visibility_agrees))
    return checks, rows[-1].participant_id if rows else None
