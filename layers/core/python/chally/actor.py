"""The signed-in person: who they are, their role, and how recently and strongly they authenticated."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from chally.errors import AppError, Forbidden

# How long a sign-in, or a second factor, counts as fresh: see `check_fresh`.
FRESH = timedelta(minutes=10)

Role = Literal["user", "moderator", "admin"]


class StepUpRequired(AppError):
    status = 403
    code = "step_up_required"
    detail = (
        "Confirm your identity with POST /v1/me/step-up, or sign in again, and repeat this call within ten minutes."
    )


class SecondFactorRequired(AppError):
    status = 403
    code = "second_factor_required"
    detail = "This call needs a second factor. Turn one on, then sign in with it."


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in person and their session. `csrf` is the digest in an access token for cookies."""

    user_id: UUID
    session_id: UUID
    csrf: str | None = None


@dataclass(frozen=True, slots=True)
class SessionState:
    """The actor's session as the database has it in this transaction.

    `authenticated_at`: when the person last proved who they are; `second_factor`: whether they used one.
    """

    role: Role
    authenticated_at: datetime
    second_factor: bool


def check_fresh(session: SessionState, now: datetime) -> None:
    """Raise `StepUpRequired` unless the person authenticated within the last ten minutes."""
    if now - session.authenticated_at > FRESH:
        raise StepUpRequired


def check_role(session: SessionState, *roles: Role) -> None:
    """Raise `Forbidden` for other roles, and `SecondFactorRequired` if the session has no second factor."""
    if session.role not in roles:
        raise Forbidden
    if not session.second_factor:
        raise SecondFactorRequired


def is_moderator(session: SessionState) -> bool:
    """Whether the person may moderate, with a second factor: the same rule as core.moderates() in policies."""
    return session.role in ("moderator", "admin") and session.second_factor
