"""SQL of standings. One function, one statement."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from challenges.rules import Outcome, Score
from chally.db import Tx


@dataclass(frozen=True, slots=True)
class Standing:
    rank: int
    participant_id: UUID
    username: str
    points: int
    current_streak: int
    best_streak: int
    accepted: int
    missed: int


def standings(tx: Tx, challenge_id: UUID, *, after: tuple[int, UUID] | None, offset: int, limit: int) -> list[Standing]:
    """Best first. Equal points rank equally, and the next rank is skipped (standard competition ranking)."""
    points, participant_id = after or (None, None)
    return tx.all(
        """
        select * from (
            select rank() over (order by s.points desc) as rank, s.participant_id, u.username, s.points,
                   s.current_streak, s.best_streak, s.accepted, s.missed
            from challenges.standings s
            join challenges.participants p on p.id = s.participant_id
            join identity.profiles u on u.id = p.user_id
            where s.challenge_id = %(challenge_id)s and p.left_at is null
        ) as ranked
        where %(points)s::integer is null
           or (-points, participant_id) > (-%(points)s::integer, %(participant_id)s::uuid)
        order by points desc, participant_id offset %(offset)s limit %(limit)s
        """,
        {
            "challenge_id": challenge_id,
            "points": points,
            "participant_id": participant_id,
            "offset": offset,
            "limit": limit,
        },
        row=Standing,
    )


def lock_standing(tx: Tx, participant_id: UUID) -> dict[str, Any]:
    """Hold the participant's standing; answers the challenge's scoring rules."""
    scoring: dict[str, Any] = tx.value(
        """
        select c.rules -> 'scoring' from challenges.standings s join challenges.challenges c on c.id = s.challenge_id
        where s.participant_id = %(id)s for update of s
        """,
        {"id": participant_id},
    )
    return scoring


@dataclass(frozen=True, slots=True)
class Decided:
    outcome: Outcome


def outcomes(tx: Tx, participant_id: UUID) -> list[Decided]:
    """The participant's decided windows, oldest first."""
    return tx.all(
        """
        select outcome from challenges.windows
        where participant_id = %(id)s and outcome is not null order by local_date
        """,
        {"id": participant_id},
        row=Decided,
    )


def set_standing(tx: Tx, participant_id: UUID, score: Score) -> None:
    tx.run(
        """
        update challenges.standings set points = %(points)s, current_streak = %(current_streak)s,
            best_streak = %(best_streak)s, accepted = %(accepted)s, missed = %(missed)s
        where participant_id = %(id)s
        """,
        {
            "id": participant_id,
            "points": score.points,
            "current_streak": score.current_streak,
            "best_streak": score.best_streak,
            "accepted": score.accepted,
            "missed": score.missed,
        },
    )
