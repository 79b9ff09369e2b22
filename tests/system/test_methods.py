"""Methods, parameters and limits: what every path of the API has in common, over the description of all of them."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from chally import clock
from system import docs
from tests.support.api import Client
from tests.support.challenges import challenge_body
from tests.support.contract import ID, filled
from tests.support.database import Database
from tests.support.people import SignUp

DOCUMENT = json.loads(docs.OPENAPI.read_text())
PATHS = {path: {method.upper() for method in methods} for path, methods in DOCUMENT["paths"].items()}


@pytest.fixture
def kari(person: SignUp) -> Client:
    return person("kari")


def test_allow_lists_every_method_of_a_path(nobody: Client) -> None:
    for path, methods in PATHS.items():
        refused = nobody.call("PUT", filled(path))
        expected = methods | ({"HEAD"} if "GET" in methods else set())
        assert (refused.status, refused.code) == (405, "method_not_allowed"), path
        assert refused.headers["allow"] == ", ".join(sorted(expected)), path


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/v1/challenges/mine", "GET, HEAD"),
        ("PATCH", "/v1/challenges/joined", "GET, HEAD"),
        ("PATCH", "/v1/challenges/rules.schema.json", "GET, HEAD"),
        ("PUT", "/v1/me", "DELETE, GET, HEAD, PATCH"),
    ],
)
def test_a_fixed_path_is_not_taken_for_an_id(kari: Client, method: str, path: str, allow: str) -> None:
    refused = kari.call(method, path, body={"title": "Another"})
    assert (refused.status, refused.headers["allow"]) == (405, allow)


def test_head_answers_as_get_without_a_body(kari: Client) -> None:
    for path in sorted(path for path, methods in PATHS.items() if "GET" in methods):
        query: dict[str, Any] = {"from": "2027-01-01", "to": "2027-01-02"} if path.endswith("/windows") else {}
        got = kari.call("GET", filled(path), query=query)
        head = kari.call("HEAD", filled(path), query=query)
        assert (head.status, head.text) == (got.status, ""), path
        assert set(head.headers) == set(got.headers), path
        same = ("content-type", "content-length", "location", "cache-control")
        assert [head.headers.get(name) for name in same] == [got.headers.get(name) for name in same], path
    assert kari.call("HEAD", "/v1/auth/login").status == 405


def test_unknown_parameters_are_refused_everywhere_but_on_pages(kari: Client) -> None:
    pages = 0
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            answer = kari.call(method.upper(), filled(path), query={"limmit": 1}, body={} if method != "get" else None)
            if "text/html" in operation["responses"].get("200", {}).get("content", {}):
                pages += 1
                assert answer.headers["content-type"].startswith("text/html"), path
            else:
                assert answer.status == 422, (method, path, answer.text)
                assert answer.json["errors"][0]["pointer"] == "/query/limmit"
    assert pages > 5


def test_a_refused_parameter_names_the_known_ones(kari: Client) -> None:
    assert kari.get("/v1/challenges", limmit=5).json["errors"] == [
        {"pointer": "/query/limmit", "message": "Unknown parameter. Allowed here: cursor, limit, offset, q, state."}
    ]
    assert kari.get("/v1/me", fields="id").json["errors"] == [
        {"pointer": "/query/fields", "message": "Unknown parameter. This call has none."}
    ]


@pytest.mark.parametrize(
    ("path", "body", "limit"),
    [
        ("/v1/challenges", {"title": "Run"}, "challenge_create"),
        ("/v1/challenges", challenge_body(clock.now(), ends_at="2020-01-01T00:00:00Z"), "challenge_create"),
        ("/v1/me/timezone/preview", {"timezone": "Mars/Olympus"}, "timezone_preview"),
        (f"/v1/challenges/{ID}/proofs", {"content_length": "many"}, "proof"),
    ],
)
def test_a_refused_body_uses_up_no_limit(
    kari: Client, database: Database, path: str, body: dict[str, Any], limit: str
) -> None:
    refused = kari.post(path, body)
    assert refused.status == 422
    pointers = [error["pointer"] for error in refused.json["errors"]]
    assert len(set(pointers)) == len(pointers)
    assert database.execute("select name from core.rate_limits where name = %(name)s", name=limit) == []


def test_a_repeated_key_replays_a_challenge_whose_start_is_now_too_old(
    kari: Client, later: Callable[[timedelta], None]
) -> None:
    body = challenge_body(clock.now(), starts_at=(clock.now() - timedelta(hours=23)).isoformat())
    first = kari.post("/v1/challenges", body, idempotency_key="once")
    later(timedelta(hours=2))
    again = kari.post("/v1/challenges", body, idempotency_key="once")
    assert (first.status, again.status, again.json) == (201, 201, first.json)


def test_password_managers_find_the_page_for_a_new_password(nobody: Client) -> None:
    found = nobody.get("/.well-known/change-password")
    assert (found.status, found.headers["location"]) == (302, "https://api.test/v1/auth/password/forgot")
    assert nobody.get("/v1/auth/password/forgot").status == 200
    assert nobody.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200").status == 404


@pytest.mark.parametrize(
    "limit", ["0", "101", "-1", "10.0", "1_0", " 10", "+10", "1e1", "\u0663", "true", "", "9" * 5000]
)
def test_a_limit_is_a_whole_number_within_its_bounds(kari: Client, limit: str) -> None:
    refused = kari.get("/v1/me/passkeys", limit=limit)
    assert [error["pointer"] for error in refused.json["errors"]] == ["/query/limit"]
    assert len(refused.text) < 500


@pytest.mark.parametrize("day", ["2027-1-1", "20270101", "1800000000", "2027-02-30", "2027-01-01T00:00:00Z", ""])
def test_a_date_in_a_query_is_a_date(kari: Client, day: str) -> None:
    refused = kari.get(f"/v1/challenges/{ID}/windows", **{"from": day, "to": "2027-03-01"})
    assert [error["pointer"] for error in refused.json["errors"]] == ["/query/from"]
    assert refused.json["errors"][0]["message"] == "Must be a date, such as 2026-11-28."
