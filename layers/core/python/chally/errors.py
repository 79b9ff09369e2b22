"""Errors that a client sees. Subclasses live beside the rules that raise them; `chally.problems` renders them."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar, TypedDict


class FieldError(TypedDict):
    """One invalid part of a request's body or parameters: a JSON pointer (RFC 6901) and a sentence."""

    pointer: str
    message: str


MAX_NAME = 64  # characters of a name in a pointer


def pointer(*parts: str | int) -> str:
    """Return the JSON pointer of a place. A sender's name that is longer than any of ours is cut."""
    return "".join("/" + _escaped(str(part)) for part in parts)


def _escaped(name: str) -> str:
    name = name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"
    return name.encode(errors="replace").decode().replace("~", "~0").replace("/", "~1")


class AppError(Exception):
    """A response other than success: an HTTP status, a stable code, and a sentence that says what to do."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    detail: str = "Something went wrong on our side. Try again in a moment."
    extra: Mapping[str, object] = {}
    """Further members of the problem, if a client needs more to continue."""

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
    detail = "Some fields are invalid. See errors."


class Unauthenticated(AppError):
    status = 401
    code = "unauthenticated"
    detail = "Sign in, and send a valid access token as Authorization: Bearer."


class SessionEnded(AppError):
    status = 401
    code = "session_ended"
    detail = "This session has ended. Sign in again."


class Forbidden(AppError):
    status = 403
    code = "forbidden"
    detail = "You are not allowed to do this."


class NotFound(AppError):
    status = 404
    code = "not_found"
    detail = "Not found. It does not exist, or you are not allowed to see it."


class PayloadTooLarge(AppError):
    status = 413
    code = "payload_too_large"
    detail = "The body is larger than 1 MB. Send photos to storage, with the upload URL of a proof."


class UnsupportedEncoding(AppError):
    status = 415
    code = "unsupported_encoding"
    detail = "The body is compressed. Send it without Content-Encoding."

    def __init__(self) -> None:
        super().__init__(headers={"Accept-Encoding": "identity"})  # RFC 7694


class ServiceUnavailable(AppError):
    status = 503
    code = "unavailable"
    detail = "The service is busy or restarting. The request was either fully applied or not at all; retry."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


class TransactionConflict(ServiceUnavailable):
    """The transaction lost to a concurrent one and was rolled back. `chally.middleware` retries the request."""


class RateLimited(AppError):
    status = 429
    code = "rate_limited"
    detail = "Too many attempts. Retry after the number of seconds in the Retry-After header."

    def __init__(self, wait: timedelta) -> None:
        super().__init__(headers={"Retry-After": str(max(1, math.ceil(wait.total_seconds())))})
