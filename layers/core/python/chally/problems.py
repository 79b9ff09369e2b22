"""Errors as clients see them: application/problem+json (RFC 9457)."""

import itertools
from collections.abc import Mapping
from typing import Any

import psycopg
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from chally import context
from chally.errors import AppError, FieldError, InvalidRequest, NotFound, TransactionConflict, pointer
from chally.sentences import sentence

# A refusal must not be larger than what it refuses: anyone may send a body of nothing but unknown fields.
MAX_ERRORS = 20
MEDIA_TYPE = "application/problem+json"
Constraints = Mapping[str, type[AppError]]


class Problem(BaseModel):
    """An error (RFC 9457). `code` is stable, `detail` says what to do, `errors` names invalid fields."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None


class MethodNotAllowed(AppError):
    status = 405
    code = "method_not_allowed"
    detail = "This path does not support the method. See /docs."


def response(error: AppError) -> JSONResponse:
    """The response that renders an error."""
    problem = Problem(
        type=f"urn:chally:error:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=context.current().request_id or "",
        errors=error.errors or None,
    )
    headers = dict(error.headers)
    if error.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(
        problem.model_dump(exclude_none=True) | dict(error.extra), error.status, headers, media_type=MEDIA_TYPE
    )


def from_validation(error: RequestValidationError) -> AppError:
    """The error for a request that pydantic refused, field by field."""
    found = {(item["loc"], item["type"]): item for item in error.errors()}  # a dependency may read the same body
    shown = [_field_error(item) for item in itertools.islice(found.values(), MAX_ERRORS)]
    detail = None
    if len(found) > MAX_ERRORS:
        detail = f"{len(found)} fields are invalid. The first {MAX_ERRORS} of them are in errors."
    return InvalidRequest(detail, errors=shown)


def _field_error(item: dict[str, Any]) -> FieldError:
    if item["type"] == "model_attributes_type" and item["loc"] == ("body",):
        message = "Send a JSON object with Content-Type: application/json."
    else:
        message = sentence(item)
    source, *path = item["loc"]
    return FieldError(pointer=pointer(*path) if source == "body" else pointer(source, *path), message=message)


def from_http(error: HTTPException, *, allow: str) -> AppError:
    """The error for a path or method that does not exist. `allow`: the methods of the path."""
    if error.status_code == 404:
        return NotFound("This path does not exist. See /docs.")
    if error.status_code == 405:
        return MethodNotAllowed(headers={"Allow": allow})
    return InvalidRequest(str(error.detail))


def from_postgres(error: psycopg.Error, constraints: Constraints) -> AppError | None:
    """The error for a failed statement; None if the client could not have caused it."""
    constraint_error = constraints.get(error.diag.constraint_name or "")
    if constraint_error is not None:
        return constraint_error()
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire | psycopg.errors.UntranslatableCharacter) or (
        isinstance(error, psycopg.DataError) and "NUL" in str(error)
    ):
        return InvalidRequest("Text must not contain the character NUL (U+0000).")
    if isinstance(error, psycopg.errors.InvalidParameterValue) and "time zone" in str(error):
        return InvalidRequest("Unknown time zone. Send an IANA name such as Europe/Berlin.")
    if isinstance(error, SerializationFailure | DeadlockDetected | LockNotAvailable):
        return TransactionConflict()
    return None
