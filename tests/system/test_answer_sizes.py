"""Every list stays below the 6 MB that Lambda can return, with pages and texts as long as they can be."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from challenges.routes.windows import MAX_DAYS
from chally import clock
from system.docs import OPENAPI
from tests.support.api import Client, Response
from tests.support.challenges import challenge_body
from tests.support.database import Database
from tests.support.people import SignUp

LAMBDA_LIMIT = 6 * 1024 * 1024  # bytes of the JSON that a function returns, whose body is a string in it
LIMIT = 100  # the longest page
PROOFS_A_DAY = 40  # the limit of one person in one challenge
WORST = "\x01"  # seven bytes in a string within JSON within JSON; our texts refuse it, other characters take up to four
LISTS = {
    "GET /v1/challenges",
    "GET /v1/challenges/mine",
    "GET /v1/challenges/joined",
    "GET /v1/challenges/{challenge_id}/participants",
    "GET /v1/challenges/{challenge_id}/standings",
    "GET /v1/challenges/{challenge_id}/windows",
    "GET /v1/challenges/{challenge_id}/proofs",
    "GET /v1/me/passkeys",
    "GET /v1/me/sessions",
    "POST /v1/me/timezone/preview",
}


def returned(value: Any) -> int:
    """How many bytes a value takes in what a function returns."""
    return len(json.dumps(json.dumps(value)).encode())


def test_every_list_is_measured() -> None:
    document = json.loads(OPENAPI.read_text())
    lists = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if json.dumps(operation["responses"].get("200", {})).count('Page"')
    }
    assert lists == LISTS


@pytest.fixture
def fullest(person: SignUp, database: Database) -> tuple[Client, str]:
    """A person with a challenge, a proof, a session and a passkey, whose texts are as long as they can be."""
    kari = person("k" * 30, "Europe/Berlin")
    now = clock.now()
    body = challenge_body(now, visibility="public", ends_at=(now + timedelta(days=400)).isoformat(), timezone=None)
    body["rules"]["proof"] = {"kind": "text", "max_per_window": 10}
    made = kari.post("/v1/challenges", body).json
    assert kari.post(f"/v1/challenges/{made['id']}/proofs", {"value": "I ran."}).status == 201
    texts = {f"t{length}": WORST * length for length in (60, 120, 200, 500, 1000, 2000)}
    database.execute("update challenges.challenges set title = %(t120)s, description = %(t2000)s", **texts)
    database.execute(
        "update proofs.proofs set value_text = %(t2000)s, note = %(t500)s, review = 'reject',"
        " review_reason = %(t500)s, reviewed_at = now(), appeal = %(t1000)s, appealed_at = now()",
        **texts,
    )
    database.execute("update identity.sessions set user_agent = %(t200)s", **texts)
    database.execute(
        "insert into identity.passkeys (user_id, credential_id, public_key, sign_count, backed_up, name, created_at)"
        " select id, 'c', 'k', 1, true, %(t60)s, now() from identity.users",
        **texts,
    )
    return kari, made["id"]


def test_the_longest_pages_fit_into_an_answer(fullest: tuple[Client, str]) -> None:
    kari, challenge_id = fullest
    days = {"from": clock.now().date() - timedelta(days=1), "to": clock.now().date() + timedelta(days=MAX_DAYS - 2)}
    calls: dict[str, Callable[[str], Response]] = {
        "GET": lambda path: kari.get(path, **(days if path.endswith("/windows") else {"limit": LIMIT})),
        "POST": lambda path: kari.post(path, {"timezone": "Asia/Tokyo"}),
    }
    sizes = {}
    for name in sorted(LISTS):
        method, path = name.split()
        answer = calls[method](path.format(challenge_id=challenge_id))
        assert answer.status == 200, answer.text
        items = answer.json["items"]
        if name.endswith("/windows"):
            (proof,) = next(item["proofs"] for item in items if item["proofs"])
            assert len(items) >= MAX_DAYS - 1
            sizes[name] = MAX_DAYS * (max(map(returned, items)) + PROOFS_A_DAY * returned(proof))
        else:
            sizes[name] = LIMIT * max(map(returned, items))
        if name.endswith("/preview"):
            assert len(items[0]["windows"]) >= MAX_DAYS - 2
    assert max(sizes.values()) < LAMBDA_LIMIT, sizes


def test_the_description_fits_into_an_answer(nobody: Client) -> None:
    for path in ("/openapi.json", "/docs/swagger-ui-bundle.js"):
        assert len(json.dumps(nobody.get(path).text).encode()) < LAMBDA_LIMIT
