"""Outcomes of windows (accepted, missed, excused, or none yet), and which outcome may replace which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from challenges.rules import Outcome
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class WindowOutcome:
    """The outcome of one participant's window on one local date."""

    participant_id: UUID
    local_date: date
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class OutcomeChange(WindowOutcome):
    """A window whose outcome was written; `previous` is the outcome before."""

    previous: Outcome | None


def record(tx: Tx, outcomes: Sequence[WindowOutcome]) -> list[OutcomeChange]:
    """Write the outcomes of windows, and return those that changed.

    An outcome is final, with one exception: a late verdict turns a missed or excused window into an accepted one.
    Lock the windows first if there is more than one, or two transactions could deadlock.
    """
    return tx.all(
        """
        update challenges.windows w set outcome = d.outcome
        from unnest(%(participants)s::uuid[], %(dates)s::date[], %(outcomes)s::text[])
            as d (participant_id, local_date, outcome)
        where w.participant_id = d.participant_id and w.local_date = d.local_date
          and (w.outcome is null or d.outcome = 'accepted' and w.outcome <> 'accepted')
        returning w.participant_id, w.local_date, w.outcome, old.outcome as previous
        """,
        {
            "participants": [each.participant_id for each in outcomes],
            "dates": [each.local_date for each in outcomes],
            "outcomes": [each.outcome for each in outcomes],
        },
        row=OutcomeChange,
    )


def reset(tx: Tx, participant_id: UUID, local_date: date, outcome: Outcome | None) -> None:
    """Replace the outcome of a window whose proof is no longer accepted; None makes it undecided again."""
    tx.run(
        """
        update challenges.windows set outcome = %(outcome)s
        where participant_id = %(participant_id)s and local_date = %(local_date)s
        """,
        {"participant_id": participant_id, "local_date": local_date, "outcome": outcome},
    )


# Whether the challenge was running when the window closed. An archived challenge ran until it ended, after all its
# windows closed. A challenge that was paused and resumed was not running when windows closed in between.
_WAS_RUNNING = "c.status in ('active', 'archived') and w.closes_at > c.runs_since"


@dataclass(frozen=True, slots=True)
class LockedWindow:
    """A window whose row this transaction has locked. `was_running`: the challenge was running when it closed."""

    closes_at: datetime
    outcome: Outcome | None
    was_running: bool


def lock_window(tx: Tx, participant_id: UUID, local_date: date) -> LockedWindow | None:
    """Lock a window until the end of the transaction, so that no verdict and no closing can decide it meanwhile."""
    return tx.maybe(
        f"""
        select w.closes_at, w.outcome, ({_WAS_RUNNING}) as was_running
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        where w.participant_id = %(participant_id)s and w.local_date = %(local_date)s for no key update of w
        """,
        {"participant_id": participant_id, "local_date": local_date},
        row=LockedWindow,
    )


@dataclass(frozen=True, slots=True)
class OverdueWindow:
    """A window that closed without an outcome. `was_running`: the challenge was running when it closed."""

    participant_id: UUID
    local_date: date
    was_running: bool


def list_overdue(tx: Tx, closed_before: datetime, limit: int, *, without: Sequence[UUID]) -> list[UUID]:
    """List the participants of the oldest `limit` undecided windows that closed before an instant."""
    return list(
        tx.value(
            """
            select coalesce(array_agg(distinct participant_id), '{}') from (
                select w.participant_id from challenges.windows w
                where w.outcome is null and w.closes_at <= %(closed_before)s
                  and w.participant_id <> all (%(without)s::uuid[])
                order by w.closes_at limit %(limit)s
            ) as oldest
            """,
            {"closed_before": closed_before, "without": list(without), "limit": limit},
        )
    )


def lock_overdue(
    tx: Tx, closed_before: datetime, limit: int, participants: Sequence[UUID] | None = None
) -> list[OverdueWindow]:
    """Lock and return undecided windows that closed before an instant, oldest first; skip locked ones.

    `participants`: only theirs; None: everyone's.
    """
    return tx.all(
        f"""
        select w.participant_id, w.local_date, ({_WAS_RUNNING}) as was_running
        from challenges.windows w
        join challenges.participants p on p.id = w.participant_id
        join challenges.challenges c on c.id = p.challenge_id
        where w.outcome is null and w.closes_at <= %(closed_before)s
          and (%(participants)s::uuid[] is null or w.participant_id = any (%(participants)s))
        order by w.closes_at limit %(limit)s for no key update of w skip locked
        """,
        {"closed_before": closed_before, "limit": limit, "participants": participants},
        row=OverdueWindow,
    )
