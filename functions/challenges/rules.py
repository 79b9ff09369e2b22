"""Decisions about challenges: states and transitions, edits, whether a schedule opens a window, window states. Pure."""

from collections.abc import Set
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from typing import Literal

from challenges.language import DAYS, Schedule
from chally.errors import AppError, FieldError, InvalidRequest
from chally.zones import ZoneInfo

ChallengeStatus = Literal["draft", "active", "paused", "canceled", "archived", "deleted"]
RuntimeState = Literal["draft", "upcoming", "started", "ended", "paused", "canceled", "archived", "deleted"]
ListedState = Literal["upcoming", "started", "ended", "paused", "canceled", "archived"]  # visible to strangers
Visibility = Literal["public", "private", "code"]
RosterVisibility = Literal["participants", "owner", "everyone"]
# excused: the challenge was not running when the window closed, so the window counts for nothing
Outcome = Literal["accepted", "missed", "excused"]
WindowState = Literal["upcoming", "open", "closed", "accepted", "missed", "excused"]
# As in proofs.rules, which this context cannot import; a test compares the two.
WindowProofStatus = Literal[
    "awaiting_upload", "processing", "accepted", "rejected", "needs_review", "replaced", "expired"
]

MAX_START_AGE = timedelta(days=1)  # how long ago a new challenge may have started
MAX_START_DELAY = timedelta(days=3 * 366)
MAX_DURATION = timedelta(days=3 * 366)
MAX_OWNED = 50  # challenges that are neither archived nor deleted
MAX_JOINED = 200  # challenges that are not over
# An announced photo that has not arrived by then has expired: its upload URL is dead, and its event would have come.
UPLOAD_TIMEOUT = timedelta(minutes=15)
# How long after its close a window waits for a verdict before it counts as missed: uploads, and the queue behind them.
VERDICT_TIMEOUT = UPLOAD_TIMEOUT + timedelta(minutes=5)


class InvalidTransition(AppError):
    status = 409
    code = "invalid_transition"
    detail = "A challenge in this state cannot change to the requested state."


class OwnerAlreadyJoined(AppError):
    status = 403
    code = "owner_already_in"
    detail = "You own this challenge, so you already take part."


class NotActive(AppError):
    status = 409
    code = "not_active"
    detail = "You cannot join this challenge: it is not active, or it is over."


class AlreadyStarted(AppError):
    status = 409
    code = "already_started"
    detail = "This challenge has started, and its owner does not allow late joining."


class ChallengeFull(AppError):
    status = 409
    code = "full"
    detail = "This challenge is full. Ask its owner to raise max_participants."


class RemovedByOwner(AppError):
    status = 403
    code = "removed"
    detail = "The owner removed you from this challenge. To rejoin, you need an invite code created after that."


class TooManyOwned(AppError):
    status = 409
    code = "quota_owned"
    detail = f"You own {MAX_OWNED} challenges, the maximum. Archive or delete one first."


class TooManyJoined(AppError):
    status = 409
    code = "quota_joined"
    detail = f"You take part in {MAX_JOINED} challenges that are not over, the maximum. Leave one first."


class OwnerCannotLeave(AppError):
    status = 403
    code = "owner_cannot_leave"
    detail = "The owner cannot leave or be removed. Cancel or delete the challenge instead."


class ScheduleFrozen(AppError):
    status = 409
    code = "already_started"
    detail = "This challenge has started, so its rules, timezone, starts_at and ends_at can no longer change."


class ChallengeOver(AppError):
    status = 409
    code = "challenge_over"
    detail = "This challenge is over and can no longer be edited."


class TooFewPlaces(AppError):
    status = 409
    code = "below_participant_count"
    detail = "max_participants cannot be less than participant_count."


class RosterHidden(AppError):
    status = 403
    code = "roster_hidden"
    detail = "The owner of this challenge does not show you its participants."


class NotParticipant(AppError):
    status = 403
    code = "not_participant"
    detail = "You do not take part in this challenge. Join it first."


class NotOwner(AppError):
    status = 403
    code = "not_owner"
    detail = "Only the owner of a challenge can do this."


TRANSITIONS: dict[RuntimeState, set[ChallengeStatus]] = {
    "draft": {"active", "deleted"},
    "upcoming": {"paused", "canceled", "deleted"},
    "started": {"paused", "canceled", "deleted"},
    "paused": {"active", "canceled", "deleted"},
    "ended": {"archived", "deleted"},
    "canceled": {"deleted"},
    "archived": {"deleted"},
    "deleted": set(),
}


def runtime_state(status: ChallengeStatus, starts_at: datetime, ends_at: datetime, now: datetime) -> RuntimeState:
    """Return what an active challenge is doing now; any other status is returned unchanged."""
    if status != "active":
        return status
    if now < starts_at:
        return "upcoming"
    return "started" if now < ends_at else "ended"


def _any_of(states: Set[str]) -> str:
    *others, last = sorted(states)
    return f"{', '.join(others)} or {last}" if others else last


def check_transition(state: RuntimeState, to: ChallengeStatus, *, is_over: bool) -> None:
    """Raise `InvalidTransition` for a step that `TRANSITIONS` lacks, and for activating a challenge that is over."""
    allowed = TRANSITIONS[state]
    if to not in allowed:
        possible = f"From {state} it can change to {_any_of(allowed)}." if allowed else f"The state {state} is final."
        raise InvalidTransition(f"A challenge cannot change from {state} to {to}. {possible}")
    if to == "active" and is_over:
        raise InvalidTransition("This challenge is over: its ends_at has passed. Create a new one.")


FROZEN_FIELDS = frozenset({"rules", "timezone", "starts_at", "ends_at"})
"""Fields that cannot change once a challenge has started: every participant's windows are computed from them."""


def check_edit(
    changed: Set[str],
    *,
    status: ChallengeStatus,
    starts_at: datetime,
    ends_at: datetime,
    max_participants: int,
    participant_count: int,
    now: datetime,
) -> None:
    """Raise `ChallengeOver`, `ScheduleFrozen` or `TooFewPlaces` if the owner cannot change these fields now.

    `starts_at` and `ends_at` are the values before the edit, `max_participants` is the value after it. A draft has not
    started, whatever its times are.
    """
    if not changed:
        return
    if status in ("canceled", "archived", "deleted") or (status != "draft" and now >= ends_at):
        raise ChallengeOver
    frozen = sorted(changed & FROZEN_FIELDS)
    if frozen and status != "draft" and now >= starts_at:
        raise ScheduleFrozen(f"This challenge has started: it is too late to change {', '.join(frozen)}.")
    if max_participants < participant_count:
        raise TooFewPlaces(
            f"max_participants cannot be {max_participants}: {participant_count} people already take part."
        )


def check_new_start(starts_at: datetime, now: datetime) -> None:
    """Raise `InvalidRequest` if an edit moves the start of a challenge that people may have joined into the past."""
    if starts_at <= now:
        message = "Must be in the future: participants could not prove windows that have already closed."
        raise _invalid("/starts_at", message)


def check_period(schedule: Schedule, *, zone: str, starts_at: datetime, ends_at: datetime, now: datetime) -> None:
    """Raise `InvalidRequest` if the period is reversed, too old, too far ahead or too long, or never opens a window."""
    if starts_at >= ends_at:
        raise _invalid("/ends_at", "Must be later than starts_at.")
    if starts_at < now - MAX_START_AGE:
        raise _invalid("/starts_at", "Must be at most one day in the past.")
    if starts_at > now + MAX_START_DELAY:
        raise _invalid("/starts_at", "Must be at most three years in the future.")
    if ends_at <= now:
        raise _invalid("/ends_at", "Must be in the future.")
    if ends_at - starts_at > MAX_DURATION:
        raise _invalid("/ends_at", "A challenge can last at most three years.")
    zones: list[tzinfo] = [ZoneInfo(zone)]
    if schedule.scope == "participant_local":
        zones = [timezone(timedelta(hours=hours)) for hours in range(-12, 15)]
    if not any(_opens(schedule, each, starts_at, ends_at) for each in zones):
        raise _invalid("/rules/schedule", "No window opens on these days between starts_at and ends_at.")


def _opens(schedule: Schedule, zone: tzinfo, starts_at: datetime, ends_at: datetime) -> bool:
    opens, closes = time.fromisoformat(schedule.opens), time.fromisoformat(schedule.closes)
    first = starts_at.astimezone(zone).date() - timedelta(days=1)
    for days in range(10):  # a week has every day; one before it for windows over midnight, one after for the zones
        day = first + timedelta(days=days)
        if DAYS[day.weekday()] not in schedule.days:
            continue
        begins = datetime.combine(day, opens, zone)
        ends = datetime.combine(day + timedelta(days=closes <= opens), closes, zone)
        if max(begins.astimezone(UTC), starts_at) < min(ends.astimezone(UTC), ends_at):
            return True
    return False


def window_state(outcome: Outcome | None, opens_at: datetime, closes_at: datetime, now: datetime) -> WindowState:
    """Return the outcome of a decided window; `closed` means that the outcome is still pending."""
    if outcome is not None:
        return outcome
    if now < opens_at:
        return "upcoming"
    return "open" if now < closes_at else "closed"


def outcome_without_proof(closes_at: datetime, now: datetime, *, was_running: bool) -> Outcome | None:
    """Return the outcome of a window without an accepted proof; None while a verdict may still arrive.

    `was_running`: the challenge was running when the window closed. Otherwise the window is excused, because nobody
    could prove it.
    """
    if now < closes_at + VERDICT_TIMEOUT:
        return None
    return "missed" if was_running else "excused"


def accepts_proofs(status: ChallengeStatus, opens_at: datetime, closes_at: datetime, now: datetime) -> bool:
    """Return whether the window is open and its challenge active."""
    return status == "active" and opens_at <= now < closes_at


def _invalid(pointer: str, message: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer=pointer, message=message)])
