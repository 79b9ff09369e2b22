"""The operations of the API's description: their errors, credentials, headers, parameters and example bodies."""

import inspect
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute

from chally import cookies
from chally.errors import (
    AppError,
    InvalidRequest,
    PayloadTooLarge,
    RateLimited,
    ServiceUnavailable,
    Unauthenticated,
    UnsupportedEncoding,
)
from chally.idempotency import IdempotencyInProgress, IdempotencyKeyReused
from chally.problems import MEDIA_TYPE
from identity import rules
from system import examples, glossary, reachable, schemas

BEARER, COOKIE, CSRF, REFRESH = "bearer", "cookie", "csrf", "refreshCookie"
EITHER_CREDENTIAL: list[dict[str, list[str]]] = [{BEARER: []}, {COOKIE: [], CSRF: []}]
SCHEMES: dict[str, Any] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, from any call that returns a session.",
    },
    COOKIE: {
        "type": "apiKey",
        "in": "cookie",
        "name": cookies.ACCESS,
        "description": "Set by signing in with `X-Session-Transport: cookie`. Send no bearer token beside it.",
    },
    CSRF: {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": f"The value of the cookie {cookies.CSRF}, with every write that a cookie authenticates.",
    },
    REFRESH: {
        "type": "apiKey",
        "in": "cookie",
        "name": cookies.REFRESH,
        "description": "The refresh token, instead of one in the body.",
    },
}
PUBLIC_IN_SOME_STAGES = ("/docs", "/openapi.json")


def describe(method: str, operation: dict[str, Any], route: APIRoute, components: dict[str, Any]) -> None:
    """Complete an operation in place, and the components that it refers to."""
    components["securitySchemes"] = SCHEMES
    found = reachable.of_route(route)
    errors = _errors(method, operation, route, found)
    operation["tags"] = [*dict.fromkeys(operation["tags"])]
    _parameters(method, operation)
    _body(operation)
    _security(method, operation, str(route.path), found)
    _responses(operation, errors, components)
    _headers(operation, errors, route, found, components)
    _share(operation["responses"], components)


def _errors(method: str, operation: dict[str, Any], route: APIRoute, found: reachable.Reachable) -> set[type[AppError]]:
    errors = found.errors | {AppError}
    is_page = "text/html" in operation["responses"].get("200", {}).get("content", {})
    if not is_page:
        errors.add(InvalidRequest)  # for unknown parameters, if nothing else
    if method == "get":
        errors -= {IdempotencyInProgress, IdempotencyKeyReused}
    if "requestBody" in operation:
        errors |= {PayloadTooLarge, UnsupportedEncoding}
    return errors


def _parameters(method: str, operation: dict[str, Any]) -> None:
    parameters = operation.pop("parameters", [])
    if method == "get":  # which ignores the key
        parameters = [each for each in parameters if each["name"] != "idempotency-key"]
    for each in parameters:
        each.setdefault("description", glossary.PARAMETERS.get(each["name"], ""))
    if parameters:
        operation["parameters"] = parameters


def _body(operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    variants = content["schema"].get("anyOf", [])
    for variant in variants:  # an optional body: a generator reads the union with null as a type of its own
        if "$ref" in variant:
            content["schema"] = {"$ref": variant["$ref"]}
    name = content["schema"]["$ref"].rpartition("/")[2]
    if name in examples.BODIES:
        content["example"] = examples.BODIES[name]


def _security(method: str, operation: dict[str, Any], path: str, found: reachable.Reachable) -> None:
    operation.pop("security", None)
    by_cookie: dict[str, list[str]] = {COOKIE: []} if method == "get" else {COOKIE: [], CSRF: []}
    if path in PUBLIC_IN_SOME_STAGES:
        operation["security"] = [{}, {BEARER: []}, by_cookie]
    elif rules.RefreshInvalid in found.errors:
        operation["security"] = [{}, {REFRESH: [], CSRF: []}]
    elif Unauthenticated not in found.errors:
        operation["security"] = []
    elif method == "get":
        operation["security"] = [{BEARER: []}, by_cookie]


def _responses(operation: dict[str, Any], errors: set[type[AppError]], components: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("default", None)
    for response in responses.values():
        if response.get("description") == "Successful Response":
            response["description"] = "Success"
    by_code = {error.code: error for error in sorted(errors, key=lambda each: each.__name__)}
    for status in sorted({error.status for error in errors}):
        codes = sorted(code for code, error in by_code.items() if error.status == status)
        lines = [f"- `{code}`: {by_code[code].detail}" for code in codes]
        variants = [schemas.EXTENDED_PROBLEMS[code][0] for code in codes if code in schemas.EXTENDED_PROBLEMS]
        references = [{"$ref": f"#/components/schemas/{name}"} for name in (*variants, "Problem")]
        for code in codes:
            components.setdefault("examples", {})[code] = _example(by_code[code])
        response = responses.setdefault(str(status), {})
        response["description"] = "\n".join(lines)
        response.setdefault("content", {})[MEDIA_TYPE] = {
            "schema": references[0] if len(references) == 1 else {"anyOf": references},
            "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
        }
    operation["responses"] = dict(sorted(responses.items()))


def _example(error: type[AppError]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": f"urn:chally:error:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": "Jd2vXhXJliAEPCA=",
    }
    if error is InvalidRequest:
        value["errors"] = [{"pointer": "/title", "message": "This field is required."}]
    _, members = schemas.EXTENDED_PROBLEMS.get(error.code, ("", {}))
    value |= {"methods": ["totp", "backup_code"]} if "methods" in members else {}
    value |= {"mfa_token": examples.BODIES["MfaIn"]["mfa_token"]} if "mfa_token" in members else {}
    return {"summary": HTTPStatus(error.status).phrase, "value": value}


def _headers(
    operation: dict[str, Any],
    errors: set[type[AppError]],
    route: APIRoute,
    found: reachable.Reachable,
    components: dict[str, Any],
) -> None:
    for name, text in glossary.HEADERS.items():
        schema = {"type": "integer"} if name == "Retry-After" else {"type": "string"}
        components.setdefault("headers", {})[name] = {"description": text, "schema": schema}
    keyed = any(each["name"] == "idempotency-key" for each in operation.get("parameters", ()))
    sets_cookies = {cookies.set_cookie, cookies.clear} & found.functions
    sets_location = 'headers["Location"]' in inspect.getsource(route.endpoint)
    waits = {str(error.status) for error in errors if issubclass(error, RateLimited | ServiceUnavailable)}
    if IdempotencyInProgress in errors:
        waits.add("409")
    for status, response in operation["responses"].items():
        names = ["X-Request-Id"]
        success = status < "300"
        names += ["Location"] if status.startswith("3") or (status == "201" and sets_location) else []
        names += ["Idempotent-Replayed"] if success and keyed else []
        names += ["Set-Cookie"] if success and sets_cookies else []
        names += ["Retry-After"] if status in waits else []
        names += ["WWW-Authenticate"] if status == "401" else []
        names += ["Accept-Encoding"] if status == "415" else []
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _share(responses: dict[str, Any], components: dict[str, Any]) -> None:
    """Move errors that many operations have in common to the components."""
    for status, response in responses.items():
        codes = response["content"][MEDIA_TYPE]["examples"] if [*response.get("content", ())] == [MEDIA_TYPE] else {}
        if 0 < len(codes) <= 3:
            name = f"Error{status}" + "".join(code.title().replace("_", "") for code in codes)
            components.setdefault("responses", {})[name] = response
            responses[status] = {"$ref": f"#/components/responses/{name}"}
