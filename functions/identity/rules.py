"""What identity decides: which passwords are good enough, when a refresh token is good, how long to wait. Pure."""

import unicodedata
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, auto

from chally.errors import AppError, FieldError, InvalidRequest, RateLimited

ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
MAIL_TOKEN_LIFE = timedelta(minutes=15)
PENDING_LIFE = timedelta(minutes=10)  # of a sign-in that waits for its second factor
CHALLENGE_LIFE = timedelta(minutes=5)  # of what a passkey signs
MAX_PASSKEYS = 20  # of one person
# Wrong passwords in a row: how many are free, from how many on the owner is told and the wait is longest, and when they
# are forgotten. See `wait_after`.
FREE_FAILURES, LOCKED_FAILURES = 5, 15
LOCKOUT = timedelta(minutes=15)
FAILURES_LIVE = timedelta(days=1)
KNOWN_IP_LIVES = timedelta(days=30)
# How long the parent of the newest refresh token stays good: parallel tabs, and answers lost on the way.
GRACE = timedelta(seconds=10)
PASSWORD_MIN, PASSWORD_MAX = 10, 128
# How long somebody who left can come back, before everything is forgotten.
DELETION_GRACE = timedelta(days=30)
# How long an export can be fetched (storage deletes it then: see infra/storage.py), and one link to it is good; how
# long one run may build it, and how often that is tried.
EXPORT_LIFE = timedelta(days=7)
EXPORT_LINK_LIFE = timedelta(minutes=10)
EXPORT_LEASE = timedelta(minutes=16)  # a function lives for 15 at most
EXPORT_ATTEMPTS = 5


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
    detail = "This link was used already, has expired, or is not one of ours. Ask for a new one."


class RefreshInvalid(AppError):
    status = 401
    code = "refresh_invalid"
    detail = "This refresh token is not valid, or has expired. Sign in again."


class RefreshReused(AppError):
    status = 401
    code = "refresh_reused"
    detail = "This refresh token was used before: somebody may have copied it. The session has ended; sign in again."


class MfaRequired(AppError):
    status = 401
    code = "mfa_required"
    detail = "A second factor is needed: POST /v1/auth/mfa with this mfa_token and one of the methods."

    def __init__(self, mfa_token: str, methods: list[str]) -> None:
        super().__init__()
        self.extra = {"mfa_token": mfa_token, "methods": methods}


class PasskeyInvalid(AppError):
    status = 401
    code = "passkey_invalid"
    detail = "This passkey's answer is not valid. Ask for new options and try again."


class PasskeyRefused(PasskeyInvalid):
    """A new one that is not taken."""

    status = 422


class PasskeyTaken(AppError):
    status = 409
    code = "passkey_taken"
    detail = "Another passkey has this one's id, probably in another account. Make a new one."


class TooManyPasskeys(AppError):
    status = 409
    code = "too_many_passkeys"
    detail = "You have as many passkeys as one may have. Remove one first."


class MfaTokenInvalid(AppError):
    status = 401
    code = "mfa_token_invalid"
    detail = "This mfa_token was used already, has expired, or is not one of ours. Sign in again."


class SecondFactorInvalid(AppError):
    status = 401
    code = "second_factor_invalid"
    detail = (
        "This second factor is wrong, or was used before. A code of the app is good once, and for about a minute:"
        " check the phone's clock, and wait for the next one."
    )


class SecondFactorNeeded(AppError):
    status = 403
    code = "second_factor_required"
    detail = "A password is not enough for an account that has a second factor: send one of the methods."

    def __init__(self, methods: list[str]) -> None:
        super().__init__()
        self.extra = {"methods": methods}


class TotpAlreadyOn(AppError):
    status = 409
    code = "totp_already_on"
    detail = "An authenticator app is on already. Turn it off first (DELETE /v1/me/totp) to set up another."


class TotpOff(AppError):
    status = 409
    code = "totp_off"
    detail = "No authenticator app is on, and none is being set up: begin with POST /v1/me/totp."


class CodeInvalid(InvalidRequest):
    code = "code_invalid"
    detail = "This code is not the right one."

    def __init__(self) -> None:
        message = "Send the code that the app shows now. If that is what you sent, check the phone's clock."
        super().__init__(errors=[FieldError(pointer="/code", message=message)])


class LoginLocked(RateLimited):
    code = "login_locked"
    detail = (
        "Too many wrong passwords. Wait as long as Retry-After says, in seconds, or sign in by a link in a mail"
        " (POST /v1/auth/magic-link)."
    )


class Refresh(Enum):
    """What to do with a refresh token that is ours."""

    ROTATE = auto()
    REPEAT = auto()  # answer the same child again
    REUSED = auto()


def normalise(password: str) -> str:
    """NFKC, so that the same characters typed on another keyboard are the same password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, username: str, email: str, common: Collection[str], pointer: str) -> None:
    """Raise `InvalidRequest` when a normalised password is too short or too long, contains the person's name or
    address, or is a common one, dressed up with a few digits or signs or not (NIST SP 800-63B, 5.1.1.2).
    """
    folded = password.casefold()
    own = [part for part in (username.casefold(), email.casefold(), email.split("@")[0].casefold()) if len(part) > 3]
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        problem = f"Use {PASSWORD_MIN} to {PASSWORD_MAX} characters; a few words in a row are good."
    elif any(part in folded for part in own):
        problem = "It may not contain your username or your address."
    elif folded in common or _core(folded) in common or len(set(folded)) < 4:
        problem = "It is one that many people use. A few words in a row are good."
    else:
        return
    raise InvalidRequest("This password is too weak.", errors=[FieldError(pointer=pointer, message=problem)])


def _core(password: str) -> str:
    """What is left without the few digits and signs that people put around a word."""
    core = password.strip("0123456789!?.,;:-_#$%&*+@ ")
    return core if len(password) - len(core) <= 5 else password


def check_username(username: str) -> None:
    """Raise `InvalidRequest` for a name that we give ourselves, to those who have left."""
    if username.lower().startswith("deleted_"):
        raise InvalidRequest(
            errors=[FieldError(pointer="/username", message="Names that begin with deleted_ are ours.")]
        )


def ended_because(reason: str) -> str:
    """Why a session ended, in words for its person."""
    return _ENDED_BECAUSE.get(reason, "It has ended.")


_ENDED_BECAUSE = {
    "signed_out": "You signed out, there or from another device.",
    "reuse": "A refresh token came back that had been used before: somebody may have copied it.",
    "password_changed": "Your password was changed, which signs every device out.",
    "second_factor_on": "An authenticator app was turned on, which signs every other device out.",
    "account_deleted": "You asked for your account to be deleted.",
    "expired": f"It was not used for {REFRESH_LIFE.days} days.",
}


def judge_refresh(*, generation: int, newest: int, rotated_at: datetime, now: datetime) -> Refresh:
    """What a token of `generation` may do in a session whose newest token has generation `newest`."""
    if generation == newest:
        return Refresh.ROTATE
    if generation == newest - 1 and now - rotated_at <= GRACE:
        return Refresh.REPEAT
    return Refresh.REUSED


def wait_after(failures: int) -> timedelta:
    """How long a login waits after so many wrong passwords in a row: twice as long each time, up to the lockout."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FREE_FAILURES, 20)), LOCKOUT)
