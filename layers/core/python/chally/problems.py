"""Errors as clients see them: problem+json (RFC 9457), whatever raised them."""

from collections.abc import Mapping
from typing import Any

import psycopg
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from chally import context
from chally.errors import AppError, FieldError, InvalidRequest, NotFound, ServiceUnavailable

MEDIA_TYPE = "application/problem+json"
Constraints = Mapping[str, type[AppError]]


class Problem(BaseModel):
    """An error (RFC 9457): `code` is stable, `detail` says what to do, `errors` names fields where there are any."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldError] | None = None


def answer(request: Request, error: AppError) -> JSONResponse:
    """The problem as it is sent."""
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
    """What pydantic found, by field."""
    return InvalidRequest(errors=[_field_error(item) for item in error.errors()])


def _field_error(item: dict[str, Any]) -> FieldError:
    if item["type"] == "json_invalid":
        return FieldError(pointer="", message="The body is not valid JSON.")
    if item["type"] == "model_attributes_type":
        return FieldError(
            pointer=_pointer(item["loc"]), message="Send a JSON object, as Content-Type: application/json."
        )
    return FieldError(pointer=_pointer(item["loc"]), message=str(item["msg"]).removeprefix("Value error, "))


def _pointer(location: tuple[str | int, ...]) -> str:
    where, *path = location
    parts = path if where == "body" else [where, *path]
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def from_http(error: HTTPException) -> AppError:
    """What the router says of paths and methods."""
    if error.status_code == 404:
        return NotFound("There is no such path. See /docs.")
    if error.status_code == 405:
        return _MethodNotAllowed(headers=error.headers)
    return InvalidRequest(str(error.detail))


class _MethodNotAllowed(AppError):
    status = 405
    code = "method_not_allowed"
    detail = "This path does not take that method. See /docs."


def from_postgres(error: psycopg.Error, constraints: Constraints) -> AppError | None:
    """What a failed statement means to the client; None for what only we can have caused."""
    named = constraints.get(error.diag.constraint_name or "")
    if named is not None:
        return named()
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire | psycopg.errors.UntranslatableCharacter) or (
        isinstance(error, psycopg.DataError) and "NUL" in str(error)
    ):
        return InvalidRequest("Text may not contain the character NUL (U+0000).")
    if isinstance(error, psycopg.errors.InvalidParameterValue) and "time zone" in str(error):
        return InvalidRequest("This time zone is not one that we know: send an IANA name such as Europe/Berlin.")
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return ServiceUnavailable(headers={"Retry-After": "1"})
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return ServiceUnavailable(headers={"Retry-After": "1"})
    return None
