"""Standings: what a participant's decided windows add up to, kept whenever one is decided.

Most windows are decided in the order of their dates, and each is one step from the standing as it was. One that is not,
such as a late verdict on a missed window, has it computed from all outcomes. Both are `rules.step`, and every night
each standing is compared with its recomputation.

The window is always locked before the standing, and standings in the order of participants: any other way round two
transactions could deadlock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from challenges import rules, windows
from challenges.language import Scoring
from challenges.queries import standings as queries
from challenges.queries.standings import Kept, Standing
from challenges.rules import Outcome
from challenges.windows import Decided, Decision
from chally.db import Tx


def record(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome) -> None:
    """Write a window's outcome and bring the participant's standing up to date, in the same transaction.

    In any order and any number of times: see `windows.decide` for which outcome stays.
    """
    _keep(tx, windows.decide(tx, [Decision(participant_id, local_date, outcome)]))


def retract(tx: Tx, participant_id: UUID, local_date: date, now: datetime) -> None:
    """Take an accepted window back, because its proof is not accepted any more; any other stays as it is.

    It is undecided again while a proof or a verdict may still come, and then missed, or excused where its challenge
    does not run. For the caller to know: whether another accepted proof stands for the window, and it stays accepted.
    Who looks for one holds the window before (`windows.hold`), so that none is accepted meanwhile.
    """
    window = windows.hold(tx, participant_id, local_date)
    if window is None or window.outcome != "accepted":
        return
    outcome = rules.without_proof(window.closes_at, now, runs=window.runs)
    windows.put_back(tx, participant_id, local_date, outcome)
    (kept,) = queries.lock(tx, [participant_id])
    queries.keep(tx, _anew(tx, [kept]))


def close_overdue(tx: Tx, now: datetime, limit: int) -> int:
    """Count as missed what closed long enough ago without a verdict; answers how many windows that were.

    A window that closed while its challenge was paused, canceled or deleted is excused: nobody could prove it.
    """
    overdue = windows.overdue(tx, now - rules.UNDECIDED_FOR, limit)
    closings = [
        Decision(window.participant_id, window.local_date, "missed" if window.runs else "excused") for window in overdue
    ]
    _keep(tx, windows.decide(tx, closings))
    return len(overdue)


def _keep(tx: Tx, decided: Sequence[Decided]) -> None:
    """Bring the standings of windows that were just decided up to date, each by a step where that will do."""
    counted: dict[UUID, list[Decided]] = {}
    for window in sorted(decided, key=lambda each: each.local_date):
        if window.outcome != "excused":
            counted.setdefault(window.participant_id, []).append(window)
    if not counted:
        return
    stepped, others = [], []
    for kept in queries.lock(tx, list(counted)):
        new = counted[kept.participant_id]
        if _follow(new, kept.last_decided):
            score = rules.score((each.outcome for each in new), _scoring(kept), before=kept.score)
            stepped.append(Standing(kept.participant_id, score, new[-1].local_date))
        else:
            others.append(kept)
    queries.keep(tx, stepped + _anew(tx, others))


def _follow(new: Sequence[Decided], last_decided: date | None) -> bool:
    """Whether windows, in the order of their dates, all come after those that count already."""
    return (
        last_decided is not None
        and new[0].local_date > last_decided
        and all(window.former != "missed" for window in new)
    )


def _anew(tx: Tx, held: Sequence[Kept]) -> list[Standing]:
    """The standings that these participants' outcomes add up to."""
    if not held:
        return []
    truths = {truth.participant_id: truth for truth in queries.count(tx, [kept.participant_id for kept in held])}
    standings = []
    for kept in held:
        truth = truths[kept.participant_id]
        standings.append(Standing(kept.participant_id, rules.score(truth.outcomes, _scoring(kept)), truth.newest))
    return standings


def _scoring(kept: Kept) -> Scoring:
    return Scoring.model_validate(kept.scoring)


@dataclass(frozen=True, slots=True)
class Checked:
    """A standing as it is kept, and what its participant's outcomes add up to.

    `proved`: its accepted windows are those with an accepted proof. `placed`: it is shown just when they take part.
    """

    kept: Standing
    counted: Standing
    proved: bool
    placed: bool

    @property
    def is_right(self) -> bool:
        return self.kept == self.counted and self.proved and self.placed


def check(tx: Tx, after: UUID, limit: int) -> tuple[list[Checked], UUID | None]:
    """The next `limit` standings beside their recomputation, as at one instant; the last participant's id."""
    found = queries.compare(tx, after=after, limit=limit)
    checked = []
    for row in found:
        counted = Standing(row.participant_id, rules.score(row.outcomes, _scoring(row)), row.newest)
        kept = Standing(row.participant_id, row.score, row.last_decided)
        if row.last_decided is None:  # so the next decision computes both anew
            kept = Standing(row.participant_id, replace(row.score, grace_spent=counted.score.grace_spent), row.newest)
        checked.append(Checked(kept, counted, proved=row.proved, placed=row.placed))
    return checked, found[-1].participant_id if found else None
