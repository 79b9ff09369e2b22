"""What challenges decide: states and transitions, who may join, whether rules can open a window, scores. Pure."""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import reduce
from typing import Literal
from zoneinfo import ZoneInfo

from challenges.language import DAYS, Schedule, Scoring
from chally.errors import AppError, FieldError, InvalidRequest

Status = Literal["draft", "active", "paused", "canceled", "archived", "deleted"]
RuntimeState = Literal["draft", "upcoming", "started", "ended", "paused", "canceled", "archived", "deleted"]
ListedState = Literal["upcoming", "started", "ended", "paused", "canceled", "archived"]  # of what strangers may find
Visibility = Literal["public", "private", "code"]
RosterVisibility = Literal["participants", "owner", "everyone"]
# excused: it closed while the challenge did not run, and counts for nothing
Outcome = Literal["accepted", "missed", "excused"]
WindowState = Literal["upcoming", "open", "closed", "accepted", "missed", "excused"]

EARLIEST_START = timedelta(days=1)  # a challenge may have begun up to this long ago
LONGEST = timedelta(days=3 * 366)
LATEST_START = timedelta(days=3 * 366)
# How long after its close a window waits for a verdict before it counts as missed: an upload URL's life, and the queue.
UNDECIDED_FOR = timedelta(minutes=20)


class InvalidTransition(AppError):
    status = 409
    code = "invalid_transition"
    detail = "A challenge cannot go from its state to that one."


class OwnerAlreadyIn(AppError):
    status = 403
    code = "owner_already_in"
    detail = "This is your own challenge: you take part already."


class NotActive(AppError):
    status = 409
    code = "not_active"
    detail = "This challenge takes nobody in now: it is not active, or it is over."


class AlreadyStarted(AppError):
    status = 409
    code = "already_started"
    detail = "This challenge has started, and its owner does not allow joining late."


class Full(AppError):
    status = 409
    code = "full"
    detail = "This challenge is full. Its owner can raise the number of places."


class Removed(AppError):
    status = 403
    code = "removed"
    detail = "The owner removed you from this challenge. You can come back with an invite code made since then."


class QuotaOwned(AppError):
    status = 409
    code = "quota_owned"
    detail = "You own 50 challenges, which is the most. Archive or delete one first."


class QuotaJoined(AppError):
    status = 409
    code = "quota_joined"
    detail = "You take part in 200 challenges that are not over, which is the most. Leave one first."


class OwnerCannotLeave(AppError):
    status = 403
    code = "owner_cannot_leave"
    detail = "The owner takes part in their own challenge as long as there is one. You can cancel or delete it."


class Frozen(AppError):
    status = 409
    code = "already_started"
    detail = "This challenge has started: its rules, timezone, starts_at and ends_at stay as they are."


class Over(AppError):
    status = 409
    code = "challenge_over"
    detail = "This challenge is over, and stays as it was."


class TooFewPlaces(AppError):
    status = 409
    code = "below_participant_count"
    detail = "More people than that take part already: max_participants cannot be less than participant_count."


class RosterHidden(AppError):
    status = 403
    code = "roster_hidden"
    detail = "Who takes part in this challenge is not shown to you."


class NotParticipant(AppError):
    status = 403
    code = "not_participant"
    detail = "You do not take part in this challenge. Join it first."


class NotOwner(AppError):
    status = 403
    code = "not_owner"
    detail = "Only the owner of a challenge may do this."


TRANSITIONS: dict[RuntimeState, set[Status]] = {
    "draft": {"active", "deleted"},
    "upcoming": {"paused", "canceled", "deleted"},
    "started": {"paused", "canceled", "deleted"},
    "paused": {"active", "canceled", "deleted"},
    "ended": {"archived", "deleted"},
    "canceled": {"deleted"},
    "archived": {"deleted"},
    "deleted": set(),
}


def runtime_state(status: Status, starts_at: datetime, ends_at: datetime, now: datetime) -> RuntimeState:
    """What an active challenge is doing now; any other state passes through."""
    if status != "active":
        return status
    if now < starts_at:
        return "upcoming"
    return "started" if now < ends_at else "ended"


def check_transition(state: RuntimeState, to: Status, *, is_over: bool) -> None:
    """Raise `InvalidTransition` where the table has no such step, or a challenge that is over would begin."""
    allowed = TRANSITIONS[state]
    if to not in allowed:
        possible = (
            f"From {state} it can become {', '.join(sorted(allowed))}." if allowed else f"It is {state} for good."
        )
        raise InvalidTransition(f"A challenge cannot go from {state} to {to}. {possible}")
    if to == "active" and is_over:
        raise InvalidTransition("This challenge is over: its ends_at has passed. Make a new one.")


FROZEN = frozenset({"rules", "timezone", "starts_at", "ends_at"})
"""What stays as it is once a challenge has started: everybody's windows are made of it."""


def check_edit(
    changed: Set[str],
    *,
    status: Status,
    starts_at: datetime,
    ends_at: datetime,
    max_participants: int,
    participant_count: int,
    now: datetime,
) -> None:
    """Raise what keeps the owner from changing these fields now: `Over`, `Frozen`, `TooFewPlaces`.

    The times are those before the edit, `max_participants` the one after it. A draft has not started, whatever its
    times say.
    """
    if not changed:
        return
    if status in ("canceled", "archived", "deleted") or (status != "draft" and now >= ends_at):
        raise Over
    frozen = sorted(changed & FROZEN)
    if frozen and status != "draft" and now >= starts_at:
        raise Frozen(f"This challenge has started: it is too late to change {', '.join(frozen)}.")
    if max_participants < participant_count:
        raise TooFewPlaces(
            f"{participant_count} people take part already: max_participants cannot be {max_participants}."
        )


def check_new_start(starts_at: datetime, now: datetime) -> None:
    """Raise `InvalidRequest` when a challenge that people may have joined would begin before now."""
    if starts_at <= now:
        raise _invalid("/starts_at", "It must be in the future: whoever is in could not prove what is over already.")


def check_period(schedule: Schedule, *, zone: str, starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    """Raise `InvalidRequest` when the period is upside down, too old, too long, or never lets a window open."""
    if starts_at >= ends_at:
        raise _invalid("/ends_at", "It must be later than starts_at.")
    if starts_at < now - EARLIEST_START:
        raise _invalid("/starts_at", "It may lie at most one day in the past.")
    if starts_at > now + LATEST_START:
        raise _invalid("/starts_at", "It may lie at most three years ahead.")
    if ends_at <= now:
        raise _invalid("/ends_at", "It must be in the future.")
    if ends_at - starts_at > LONGEST:
        raise _invalid("/ends_at", "A challenge lasts three years at most.")
    zones: list[tzinfo] = [ZoneInfo(zone)]
    if schedule.scope == "participant_local":
        zones = [timezone(timedelta(hours=hours)) for hours in range(-12, 15)]
    if not any(_opens(schedule, each, starts_at, ends_at) for each in zones):
        raise _invalid("/rules/schedule", "Between starts_at and ends_at no window ever opens on these days.")


def _opens(schedule: Schedule, zone: tzinfo, starts_at: datetime, ends_at: datetime) -> bool:
    opens, closes = time.fromisoformat(schedule.opens), time.fromisoformat(schedule.closes)
    first = starts_at.astimezone(zone).date() - timedelta(days=1)
    for days in range(10):  # a week has every day; one before it for midnight, one after for the zones
        day = first + timedelta(days=days)
        if DAYS[day.weekday()] not in schedule.days:
            continue
        begins = datetime.combine(day, opens, zone)
        ends = datetime.combine(day + timedelta(days=closes <= opens), closes, zone)
        if max(begins.astimezone(UTC), starts_at) < min(ends.astimezone(UTC), ends_at):
            return True
    return False


def window_state(outcome: Outcome | None, opens_at: datetime, closes_at: datetime, now: datetime) -> WindowState:
    """A decided window shows its outcome; `closed` is one whose outcome is still to come."""
    if outcome is not None:
        return outcome
    if now < opens_at:
        return "upcoming"
    return "open" if now < closes_at else "closed"


def without_proof(closes_at: datetime, now: datetime, *, runs: bool) -> Outcome | None:
    """What becomes of a window that no proof was accepted for; None while a verdict may still come.

    `runs`: its challenge is active, or was until it ended. One that does not run excuses: nobody could prove it.
    """
    if now < closes_at + UNDECIDED_FOR:
        return None
    return "missed" if runs else "excused"


def takes_proofs(status: Status, opens_at: datetime, closes_at: datetime, now: datetime) -> bool:
    """Whether a window is open in a challenge that runs."""
    return status == "active" and opens_at <= now < closes_at


@dataclass(frozen=True, slots=True)
class Score:
    """A participant's standing, and the grace days spent on the way to it."""

    points: int = 0
    current_streak: int = 0
    best_streak: int = 0
    accepted: int = 0
    missed: int = 0
    grace_spent: int = 0


def step(score: Score, outcome: Outcome, scoring: Scoring) -> Score:
    """The standing after one more window, of a later date than all before.

    An accepted window brings its points, and the bonus for each day that its streak already had. A missed one ends the
    streak, unless a grace day is left to spend on it. An excused one counts for nothing.
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


def score(outcomes: Iterable[Outcome], scoring: Scoring, *, before: Score = Score()) -> Score:
    """The standing that decided windows add up to, in the order of their dates, on top of the one `before` them."""
    return reduce(lambda so_far, outcome: step(so_far, outcome, scoring), outcomes, before)


def _invalid(pointer: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=pointer, message=message)])
