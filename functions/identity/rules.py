"""What identity decides: which passwords are good enough, when a refresh token is good. Pure."""

import unicodedata
from datetime import datetime, timedelta
from enum import Enum, auto

from chally.errors import AppError, FieldError, Invalid

ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
MAIL_TOKEN_LIFE = timedelta(minutes=15)
# How long the parent of the newest refresh token stays good: parallel tabs, and answers lost on the way.
GRACE = timedelta(seconds=10)
PASSWORD_MIN, PASSWORD_MAX = 10, 128


class UsernameTaken(AppError):
    status = 409
    code = "username_taken"
    detail = "Somebody has this username already. Choose another."


class InvalidCredentials(AppError):
    status = 401
    code = "invalid_credentials"
    detail = "The login or the password is wrong."


class EmailUnverified(AppError):
    status = 403
    code = "email_unverified"
    detail = "Confirm your address first: follow the link in the mail we sent. Register again to get a new one."


class TokenInvalid(AppError):
    status = 400
    code = "token_invalid"
    detail = "This link was used already, has expired, or is not one of ours. Register again to get a new one."


class RefreshInvalid(AppError):
    status = 401
    code = "refresh_invalid"
    detail = "This refresh token is not valid, or has expired. Sign in again."


class RefreshReused(AppError):
    status = 401
    code = "refresh_reused"
    detail = "This refresh token was used before: somebody may have copied it. The session has ended; sign in again."


class SessionEnded(AppError):
    status = 401
    code = "session_ended"
    detail = "This session has ended. Sign in again."


class Refresh(Enum):
    """What to do with a refresh token that is ours."""

    ROTATE = auto()
    REPEAT = auto()  # answer the same child again
    REUSED = auto()


def normalise(password: str) -> str:
    """NFKC, so that the same characters typed on another keyboard are the same password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, username: str, email: str) -> None:
    """Raise `Invalid` when a normalised password is too short, too long, or contains the person's name or address."""
    folded = password.casefold()
    own = [part for part in (username.casefold(), email.casefold(), email.split("@")[0].casefold()) if len(part) > 3]
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        problem = f"Use {PASSWORD_MIN} to {PASSWORD_MAX} characters; a few words in a row are good."
    elif any(part in folded for part in own):
        problem = "It may not contain your username or your address."
    else:
        return
    raise Invalid("This password is too weak.", errors=[FieldError(pointer="/password", message=problem)])


def judge_refresh(*, generation: int, newest: int, rotated_at: datetime, now: datetime) -> Refresh:
    """What a token of `generation` may do in a session whose newest token has generation `newest`."""
    if generation == newest:
        return Refresh.ROTATE
    if generation == newest - 1 and now - rotated_at <= GRACE:
        return Refresh.REPEAT
    return Refresh.REUSED
