"""The description of the API: complete, true, and fit for generators."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import TypeAdapter

from chally import clock
from chally.errors import AppError
from system import examples, glossary, openapi
from system.docs import OPENAPI
from tests.support.api import Client
from tests.support.contract import filled
from tests.support.people import SignUp

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    pytest.param(method, path, operation, id=f"{method} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(each)


def resolved(response: dict[str, Any]) -> dict[str, Any]:
    name = response.get("$ref", "").rpartition("/")[2]
    return dict(DOCUMENT["components"]["responses"][name]) if name else response


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_is_described(method: str, path: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)+|register", operation["operationId"])
    assert operation["summary"][0].isupper()
    assert operation["description"]
    assert operation["tags"][0] in glossary.TAGS
    assert len(operation["tags"]) == 1
    for parameter in operation.get("parameters", []):
        assert parameter["description"], parameter["name"]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        assert set(content["schema"]) == {"$ref"}
        assert content["example"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_error_is_a_problem_with_codes(method: str, path: str, operation: dict[str, Any]) -> None:
    assert "default" not in operation["responses"]
    for status, response in operation["responses"].items():
        response = resolved(response)
        assert "X-Request-Id" in response["headers"]
        if status < "400":
            assert "application/problem+json" not in response.get("content", {})
            continue
        problem = response["content"]["application/problem+json"]
        assert set(response["content"]) <= {"application/problem+json", "application/json"}
        for code in problem["examples"]:
            assert f"`{code}`" in response["description"]
            assert DOCUMENT["components"]["examples"][code]["value"]["code"] == code
    codes = {code for response in operation["responses"].values() for code in _codes(response)}
    if operation.get("security", DOCUMENT["security"]) and [{}] not in [operation.get("security", [])[:1]]:
        assert {"unauthenticated", "session_ended", "two_credentials"} <= codes
    if "requestBody" in operation:
        assert {"invalid", "payload_too_large", "unsupported_encoding"} <= codes
    keyed = any(each["name"] == "idempotency-key" for each in operation.get("parameters", []))
    assert keyed == ({"idempotency_key_reused", "idempotency_in_progress"} <= codes)


def _codes(response: dict[str, Any]) -> set[str]:
    return set(resolved(response).get("content", {}).get("application/problem+json", {}).get("examples", {}))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("post", "/v1/challenges", "409", "quota_owned"),  # by constraints
        ("post", "/v1/challenges/{ref}/join", "409", "full"),
        ("patch", "/v1/me", "409", "username_taken"),
        ("post", "/v1/auth/login", "401", "mfa_required"),
        ("post", "/v1/auth/login", "429", "login_locked"),
        ("get", "/v1/challenges/{challenge_id}/standings", "403", "roster_hidden"),
        ("get", "/v1/proofs/{proof_id}/receipt", "409", "not_decided"),
    ],
)
def test_codes_are_found_wherever_they_are_raised(method: str, path: str, status: str, code: str) -> None:
    assert code in _codes(DOCUMENT["paths"][path][method]["responses"][status])


def test_every_code_is_explained_by_its_own_sentence() -> None:
    unexplained = {
        (path, method, status)
        for path, operations in DOCUMENT["paths"].items()
        for method, operation in operations.items()
        for status, response in operation.get("responses", {}).items()
        if status < "500" and AppError.detail in response.get("description", "")
    }
    assert unexplained == set(), "give these error classes a `detail`"


def test_every_property_is_described() -> None:
    missing = [
        f"{name}.{member}"
        for name, schema in SCHEMAS.items()
        for member, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]
    assert missing == [], "add a description to the field, or to system/glossary.py"


def test_no_default_is_an_object() -> None:
    assert [part["default"] for part in parts(DOCUMENT) if isinstance(part.get("default"), dict)] == []


def test_rules_differ_between_requests_and_responses() -> None:
    sent, returned = SCHEMAS["RulesIn"], SCHEMAS["RulesOut"]
    assert sent["required"] == ["schedule"]
    assert set(returned["required"]) == set(returned["properties"])
    assert returned["properties"]["proof"]["discriminator"]["propertyName"] == "kind"
    assert set(SCHEMAS["PhotoProofOut"]["required"]) == set(SCHEMAS["PhotoProofOut"]["properties"])


def test_bounds_that_code_checks_are_stated() -> None:
    assert (SCHEMAS["RegisterIn"]["properties"]["password"]["minLength"]) == 10
    assert (SCHEMAS["PasswordIn"]["properties"]["new"]["maxLength"]) == 128
    assert (SCHEMAS["MfaIn"]["minProperties"], SCHEMAS["MfaIn"]["maxProperties"]) == (2, 2)
    assert SCHEMAS["CodeIn"]["properties"]["code"]["pattern"] == "^[0-9]{6}$"


def test_credentials_are_declared() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    assert schemes["cookie"]["name"] == "__Host-access"
    assert DOCUMENT["security"] == [{"bearer": []}, {"cookie": [], "csrf": []}]
    paths = DOCUMENT["paths"]
    for method, path in [("post", "/v1/auth/login"), ("post", "/v1/auth/register"), ("get", "/live")]:
        assert paths[path][method]["security"] == []
    assert paths["/v1/me"]["get"]["security"] == [{"bearer": []}, {"cookie": []}]
    assert "security" not in paths["/v1/me"]["patch"]


@pytest.mark.parametrize(
    ("method", "path", "status", "header"),
    [
        ("post", "/v1/challenges", "201", "Location"),
        ("post", "/v1/challenges", "201", "Idempotent-Replayed"),
        ("post", "/v1/challenges", "429", "Retry-After"),
        ("post", "/v1/auth/login", "200", "Set-Cookie"),
        ("post", "/v1/auth/logout", "204", "Set-Cookie"),
        ("get", "/v1/me", "401", "WWW-Authenticate"),
        ("get", "/v1/proofs/{proof_id}/image", "307", "Location"),
    ],
)
def test_headers_are_documented(method: str, path: str, status: str, header: str) -> None:
    assert header in resolved(DOCUMENT["paths"][path][method]["responses"][status])["headers"]


def test_examples_are_valid_bodies() -> None:
    used = set()
    for context in openapi.CONTEXTS:
        for route in iter_route_contexts(context.routes.router.routes):
            assert isinstance(route.original_route, APIRoute)
            field = route.original_route.body_field
            if field is None:
                continue
            model = field.field_info.annotation
            assert model is not None
            names = [name for name in examples.BODIES if name in str(model)]
            name = max(names, key=len)
            TypeAdapter(model).validate_python(examples.BODIES[name])
            used.add(name)
    assert used == set(examples.BODIES)


def test_examples_can_be_sent_unchanged(person: SignUp) -> None:
    kari = person("kari")
    served = kari.get("/openapi.json").json
    for path, operations in served["paths"].items():
        for method, operation in operations.items():
            if "requestBody" not in operation or (method, path) == ("delete", "/v1/me"):
                continue
            example = operation["requestBody"]["content"]["application/json"]["example"]
            answer = kari.call(method.upper(), filled(path), body=example)
            assert answer.status not in (400, 415, 422, 500) or answer.code in ("token_invalid", "passkey_invalid"), (
                f"{method} {path}: {answer.text}"
            )


def test_the_example_of_a_challenge_can_be_created_in_any_year() -> None:
    for days in range(0, 3000, 37):
        today = clock.now().date() + timedelta(days=days)
        body = json.loads(examples.with_dates_ahead(json.dumps(examples.BODIES["ChallengeIn"]), today))
        assert today.isoformat() < body["starts_at"] < body["ends_at"]


def test_the_served_document_names_its_server(nobody: Client) -> None:
    assert nobody.get("/openapi.json").json["servers"] == [{"url": "https://api.test", "description": "This server"}]


def test_a_problem_with_more_members_has_a_schema() -> None:
    schema = SCHEMAS["MfaRequired"]
    assert {"mfa_token", "methods", "code", "detail"} <= set(schema["required"])
    response = resolved(DOCUMENT["paths"]["/v1/auth/login"]["post"]["responses"]["401"])
    assert {"$ref": "#/components/schemas/MfaRequired"} in response["content"]["application/problem+json"]["schema"][
        "anyOf"
    ]
