"""Standings: what a participant's decided windows add up to, kept whenever one is decided."""

from datetime import date, datetime
from uuid import UUID

from challenges import rules, windows
from challenges.language import Scoring
from challenges.queries import standings as queries
from challenges.rules import Outcome
from chally.db import Tx


def record(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome) -> None:
    """Write a window's outcome and bring the participant's standing up to date, in the same transaction.

    In any order and any number of times: the standing is made from the outcomes, under a lock of its row. The window
    is always locked before the standing, here as in `close_overdue`: the other way round two of them could deadlock.
    """
    windows.decide(tx, participant_id, local_date, outcome)
    scoring = Scoring.model_validate(queries.lock_standing(tx, participant_id))
    decided = (row.outcome for row in queries.outcomes(tx, participant_id))
    queries.set_standing(tx, participant_id, rules.score(decided, scoring))


def close_overdue(tx: Tx, now: datetime, limit: int) -> int:
    """Count as missed what closed long enough ago without a verdict; answers how many windows that were.

    A window that closed while its challenge was paused, canceled or deleted is excused: nobody could prove it.
    """
    overdue = windows.overdue(tx, now - rules.UNDECIDED_FOR, limit)
    # in one order for everybody, so that two runs cannot wait for each other
    for window in sorted(overdue, key=lambda each: (each.participant_id, each.local_date)):
        record(tx, window.participant_id, window.local_date, "missed" if window.runs else "excused")
    return len(overdue)
