"""Pure decisions of identity: password strength, refresh tokens, waits after wrong passwords, and its errors."""

import unicodedata
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, auto

from chally.errors import AppError, FieldError, InvalidRequest, RateLimited

ACCESS_LIFE = timedelta(minutes=15)
REFRESH_LIFE = timedelta(days=30)
MAIL_TOKEN_LIFE = timedelta(minutes=15)
PENDING_LIFE = timedelta(minutes=10)  # of a sign-in that waits for its second factor
CHALLENGE_LIFE = timedelta(minutes=5)  # of the challenge that a passkey signs
MAX_PASSKEYS = 20  # per user
# Wrong passwords in a row: at how many the waits begin, at how many the wait is longest and the owner is mailed, and
# how long they count. See `wait_after`.
FIRST_WAIT_FAILURES, LOCKED_FAILURES = 5, 15
LOCKOUT = timedelta(minutes=15)
FAILURES_LIVE = timedelta(days=1)
KNOWN_IP_LIVES = timedelta(days=30)
# How long the parent of the newest refresh token stays valid: for parallel tabs, and responses lost on the way.
GRACE = timedelta(seconds=10)
PASSWORD_MIN, PASSWORD_MAX = 10, 128
# How long a deleted account can be restored before it is purged.
DELETION_GRACE = timedelta(days=30)


class UsernameTaken(AppError):
    status = 409
    code = "username_taken"
    detail = "This username is taken. Choose another one."


class InvalidCredentials(AppError):
    status = 401
    code = "invalid_credentials"
    detail = "The login or the password is wrong."


class EmailUnverified(AppError):
    status = 403
    code = "email_unverified"
    detail = "Confirm your address first: follow the link in the mail we sent. Register again to get a new link."


class TokenInvalid(AppError):
    status = 400
    code = "token_invalid"
    detail = "This link is invalid: it was used before, was replaced by a newer one, or has expired. Request a new one."


class RefreshInvalid(AppError):
    status = 401
    code = "refresh_invalid"
    detail = "The refresh token is missing, invalid or expired. Send the newest one, or sign in again."


class RefreshReused(AppError):
    status = 401
    code = "refresh_reused"
    detail = "This refresh token was used before: somebody may have copied it. The session has ended; sign in again."


class MfaRequired(AppError):
    status = 401
    code = "mfa_required"
    detail = "A second factor is required: POST /v1/auth/mfa with this mfa_token and one of the methods."

    def __init__(self, mfa_token: str, methods: list[str]) -> None:
        super().__init__()
        self.extra = {"mfa_token": mfa_token, "methods": methods}


class PasskeyInvalid(AppError):
    status = 401
    code = "passkey_invalid"
    detail = "The passkey's response is invalid. Request new options and try again."


class PasskeyRefused(PasskeyInvalid):
    """The response cannot register a new passkey."""

    status = 422


class PasskeyTaken(AppError):
    status = 409
    code = "passkey_taken"
    detail = "A passkey with this id is registered already, probably in another account. Create a new one."


class TooManyPasskeys(AppError):
    status = 409
    code = "too_many_passkeys"
    detail = f"You have {MAX_PASSKEYS} passkeys, which is the maximum. Remove one first."


class MfaTokenInvalid(AppError):
    status = 401
    code = "mfa_token_invalid"
    detail = "This mfa_token is invalid: it was used before or has expired. Sign in again."


class SecondFactorInvalid(AppError):
    status = 401
    code = "second_factor_invalid"
    detail = (
        "This second factor is wrong or was used before. A code is valid once, for about a minute: check the phone's"
        " clock and wait for the next code."
    )


class SecondFactorNeeded(AppError):
    status = 403
    code = "second_factor_required"
    detail = "This account requires a second factor instead of the password. Send one of the methods."

    def __init__(self, methods: list[str]) -> None:
        super().__init__()
        self.extra = {"methods": methods}


class TotpAlreadyOn(AppError):
    status = 409
    code = "totp_already_on"
    detail = "An authenticator app is already on. To set up another one, turn it off first (DELETE /v1/me/totp)."


class TotpOff(AppError):
    status = 409
    code = "totp_off"
    detail = "No authenticator app is on or being set up. Begin with POST /v1/me/totp."


class CodeInvalid(InvalidRequest):
    code = "code_invalid"
    detail = "The code is wrong."

    def __init__(self) -> None:
        message = "Send the code that the app shows now. If you did, check the phone's clock."
        super().__init__(errors=[FieldError(pointer="/code", message=message)])


class LoginLocked(RateLimited):
    code = "login_locked"
    detail = (
        "Too many wrong passwords. Try again after the number of seconds in Retry-After, or sign in by a mailed link"
        " (POST /v1/auth/magic-link)."
    )


class PasswordLocked(RateLimited):
    code = "password_locked"
    detail = (
        "Too many wrong passwords. Try again after the number of seconds in Retry-After, or set a new password by a"
        " mailed link (POST /v1/auth/password/forgot)."
    )


class RefreshDecision(Enum):
    """What to do with a known refresh token."""

    ROTATE = auto()
    REPEAT = auto()  # return the same child again
    REUSED = auto()  # it is a copy: end the session


def normalise(password: str) -> str:
    """Apply NFKC, so that the same characters typed on another keyboard are the same password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check_password(password: str, *, username: str, email: str, common: Collection[str], pointer: str) -> None:
    """Raise `InvalidRequest` if a normalised password is too short or too long, contains the username or address, or is
    a common one, possibly with a few digits or signs around it (NIST SP 800-63B, 5.1.1.2).
    """
    folded = password.casefold()
    own = [part for part in (username.casefold(), email.casefold(), email.split("@")[0].casefold()) if len(part) > 3]
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        problem = f"Use {PASSWORD_MIN} to {PASSWORD_MAX} characters, for example a few words in a row."
    elif any(part in folded for part in own):
        problem = "The password may not contain your username or your address."
    elif folded in common or _core(folded) in common or len(set(folded)) < 4:
        problem = "Many people use this password. Use a few words in a row instead."
    else:
        return
    raise InvalidRequest("This password is too weak.", errors=[FieldError(pointer=pointer, message=problem)])


def _core(password: str) -> str:
    """Strip the few digits and signs that people put around a word."""
    core = password.strip("0123456789!?.,;:-_#$%&*+@ ")
    return core if len(password) - len(core) <= 5 else password


def explain_end(reason: str) -> str:
    """Return why a session ended, as a sentence for its user."""
    return _END_REASONS.get(reason, "The session has ended.")


_END_REASONS = {
    "signed_out": "You signed out, on this device or from another one.",
    "reuse": "A refresh token was used a second time: somebody may have copied it.",
    "password_changed": "Your password was changed, which signs out every device.",
    "second_factor_on": "An authenticator app was turned on, which signs out every other device.",
    "account_deleted": "You deleted your account.",
    "expired": f"The session was not used for {REFRESH_LIFE.days} days.",
}


def decide_refresh(*, generation: int, newest: int, rotated_at: datetime, now: datetime) -> RefreshDecision:
    """Decide what a token of `generation` may do in a session whose newest token has generation `newest`."""
    if generation == newest:
        return RefreshDecision.ROTATE
    if generation == newest - 1 and now - rotated_at <= GRACE:
        return RefreshDecision.REPEAT
    return RefreshDecision.REUSED


def wait_after(failures: int) -> timedelta:
    """Return how long a login waits after this many wrong passwords in a row: doubling each time, up to `LOCKOUT`."""
    if failures < FIRST_WAIT_FAILURES:
        return timedelta(0)
    return min(timedelta(seconds=2 ** min(failures - FIRST_WAIT_FAILURES, 20)), LOCKOUT)
