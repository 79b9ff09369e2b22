"""Scores: the points and streaks that a participant's decided windows add up to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from challenges.language import Scoring
from challenges.rules import Outcome


@dataclass(frozen=True, slots=True)
class Score:
    """A participant's points, streaks and counts, and the grace days spent so far."""

    points: int = 0
    current_streak: int = 0
    best_streak: int = 0
    accepted: int = 0
    missed: int = 0
    grace_spent: int = 0


def add_outcome(score: Score, outcome: Outcome, scoring: Scoring) -> Score:
    """Return the score after one more window, which must be later than all windows counted so far.

    An accepted window earns its points, plus the bonus for each day already in the streak. A missed window ends the
    streak unless a grace day is left to save it. An excused window changes nothing.
    """
    if outcome == "accepted":
        streak = score.current_streak + 1
        return Score(
            points=score.points + scoring.points + scoring.streak_bonus * score.current_streak,
            current_streak=streak,
            best_streak=max(score.best_streak, streak),
            accepted=score.accepted + 1,
            missed=score.missed,
            grace_spent=score.grace_spent,
        )
    if outcome == "missed":
        saved = score.current_streak > 0 and score.grace_spent < scoring.grace_days
        return Score(
            points=score.points,
            current_streak=score.current_streak if saved else 0,
            best_streak=score.best_streak,
            accepted=score.accepted,
            missed=score.missed + 1,
            grace_spent=score.grace_spent + saved,
        )
    return score


def add_outcomes(score: Score, outcomes: Iterable[Outcome], scoring: Scoring) -> Score:
    """Return the score after several more windows, in the order of their dates."""
    return reduce(lambda total, outcome: add_outcome(total, outcome, scoring), outcomes, score)
