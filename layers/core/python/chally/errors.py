"""Errors that a client sees. Subclasses live beside the rules that raise them; `chally.http` renders them."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One thing wrong with a request's body or parameters: a JSON pointer (RFC 6901) and a sentence."""

    pointer: str
    message: str


class AppError(Exception):
    """An answer other than success: an HTTP status, a stable code, and a sentence a person can act on."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    detail: str = "Something went wrong on our side. Try again in a moment."
    extra: Mapping[str, object] = {}
    """Further members of the problem, for errors that a client goes on from."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.detail)
        self.detail = detail or self.detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


class InvalidRequest(AppError):
    status = 422
    code = "invalid"
    detail = "Some fields are not valid. See errors."


class Unauthenticated(AppError):
    status = 401
    code = "unauthenticated"
    detail = "Sign in first: send Authorization: Bearer with a valid access token."


class SessionEnded(AppError):
    status = 401
    code = "session_ended"
    detail = "This session has ended. Sign in again."


class Forbidden(AppError):
    status = 403
    code = "forbidden"
    detail = "You may not do this."


class NotFound(AppError):
    status = 404
    code = "not_found"
    detail = "There is nothing here, or nothing that you may see."


class PayloadTooLarge(AppError):
    status = 413
    code = "payload_too_large"
    detail = "The body is larger than 1 MB. Photos go straight to storage, by the upload URL of a proof."


class ServiceUnavailable(AppError):
    status = 503
    code = "unavailable"
    detail = "The service is busy or restarting. Nothing was changed or it was changed whole: try again shortly."


class RateLimited(AppError):
    status = 429
    code = "rate_limited"
    detail = "Too many attempts. Wait as long as Retry-After says, in seconds, and try again."

    def __init__(self, wait: timedelta) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(wait.total_seconds())))})
