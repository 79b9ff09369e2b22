"""SQL of standings. One function, one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from challenges.rules import Outcome
from challenges.score import Score
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class RankedStanding:
    """A standing with its rank, as shown to clients."""

    rank: int
    participant_id: UUID
    username: str
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int


def ranking(
    tx: Tx, challenge_id: UUID, *, after: tuple[int, UUID] | None, offset: int, limit: int
) -> list[RankedStanding]:
    """Return a page of the standings, best first; empty if the actor may not see the roster.

    Equal points share a rank, and the ranks after them are skipped (standard competition ranking). `after`: the points
    and the participant of the last standing of the previous page.
    """
    points, participant_id = after or (None, None)
    return tx.all(
        """
        select rank, participant_id, username, points, current_streak, best_streak, accepted, missed
        from challenges.ranking(
            %(challenge_id)s, %(points)s::integer, %(participant_id)s::uuid, %(offset)s, %(limit)s
        )
        order by points desc, participant_id
        """,
        {
            "challenge_id": challenge_id,
            "points": points,
            "participant_id": participant_id,
            "offset": offset,
            "limit": limit,
        },
        row=RankedStanding,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """One participant's score, and the date of the newest window that counts in it, if any.

    An excused window does not count.
    """

    participant_id: UUID
    score: Score
    last_decided: date | None


@dataclass(frozen=True, slots=True)
class StandingRow:
    """A standing as stored, with its challenge's scoring rules."""

    participant_id: UUID
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int
    grace_spent: int
    last_decided: date | None
    scoring: dict[str, Any]

    @property
    def score(self) -> Score:
        return Score(self.points, self.current_streak, self.best_streak, self.accepted, self.missed, self.grace_spent)


_COLUMNS = """
    s.participant_id, s.points, s.current_streak, s.best_streak, s.accepted, s.missed, s.grace_spent, s.last_decided,
    coalesce(c.rules -> 'scoring', '{}') as scoring
"""
_OUTCOMES = """
    select coalesce(array_agg(w.outcome order by w.local_date), '{}') as outcomes, max(w.local_date) as newest
    from challenges.windows w where w.participant_id = s.participant_id and w.outcome <> 'excused'
"""


def lock(tx: Tx, participants: Sequence[UUID]) -> list[StandingRow]:
    """Lock the standings of these participants, in the order of their ids."""
    return tx.all(
        f"""
        select {_COLUMNS}
        from challenges.standings s join challenges.challenges c on c.id = s.challenge_id
        where s.participant_id = any (%(participants)s) order by s.participant_id for no key update of s
        """,
        {"participants": list(participants)},
        row=StandingRow,
    )


@dataclass(frozen=True, slots=True)
class OutcomeHistory:
    """One participant's outcomes, oldest first, without excused windows, and the date of the newest."""

    participant_id: UUID
    outcomes: list[Outcome]
    newest: date | None


def histories(tx: Tx, participants: Sequence[UUID]) -> list[OutcomeHistory]:
    """Return one history for each of these participants, even if it is empty."""
    return tx.all(
        f"""
        select s.participant_id, o.outcomes, o.newest
        from unnest(%(participants)s::uuid[]) as s (participant_id) cross join lateral ({_OUTCOMES}) as o
        """,
        {"participants": list(participants)},
        row=OutcomeHistory,
    )


def save(tx: Tx, standings: Sequence[Standing]) -> None:
    """Write standings that this transaction has locked."""
    columns = zip(
        *(
            (
                each.participant_id,
                each.score.points,
                each.score.current_streak,
                each.score.best_streak,
                each.score.accepted,
                each.score.missed,
                each.score.grace_spent,
                each.last_decided,
            )
            for each in standings
        ),
        strict=True,
    )
    names = ("participants", "points", "current", "best", "accepted", "missed", "grace_spent", "last_decided")
    tx.run(
        """
        update challenges.standings s set
            points = n.points, current_streak = n.current, best_streak = n.best, accepted = n.accepted,
            missed = n.missed, grace_spent = n.grace_spent, last_decided = n.last_decided
        from unnest(
            %(participants)s::uuid[], %(points)s::integer[], %(current)s::integer[], %(best)s::integer[],
            %(accepted)s::integer[], %(missed)s::integer[], %(grace_spent)s::integer[], %(last_decided)s::date[]
        ) as n (participant_id, points, current, best, accepted, missed, grace_spent, last_decided)
        where s.participant_id = n.participant_id
        """,
        {name: list(column) for name, column in zip(names, columns, strict=True)},
    )


@dataclass(frozen=True, slots=True)
class StandingComparison(StandingRow):
    """A standing next to its sources: outcomes, proofs, and whether the participant takes part."""

    outcomes: list[Outcome]
    newest: date | None
    proofs_agree: bool
    visibility_agrees: bool


def compare(tx: Tx, *, after: UUID, limit: int) -> list[StandingComparison]:
    """Return the standings of the next `limit` participants, in order of id, in one snapshot.

    `proofs_agree`: the participant has no proofs, or their accepted windows are exactly those with an accepted proof.
    """
    return tx.all(
        f"""
        select {_COLUMNS}, o.outcomes, o.newest, s.present = (p.left_at is null) as visibility_agrees,
               f.proofs = 0 or f.accepted is not distinct from a.accepted as proofs_agree
        from (
            select * from challenges.standings where participant_id > %(after)s
            order by participant_id limit %(limit)s
        ) as s
        join challenges.challenges c on c.id = s.challenge_id
        join challenges.participants p on p.id = s.participant_id
        cross join lateral ({_OUTCOMES}) as o
        cross join lateral (
            select array_agg(w.local_date order by w.local_date) as accepted
            from challenges.windows w where w.participant_id = s.participant_id and w.outcome = 'accepted'
        ) as a
        cross join lateral (
            select count(*) as proofs,
                   array_agg(distinct f.local_date order by f.local_date) filter (where f.status = 'accepted')
                   as accepted
            from challenges.window_proofs f where f.participant_id = s.participant_id
        ) as f
        order by s.participant_id
        """,
        {"after": after, "limit": limit},
        row=StandingComparison,
    )
