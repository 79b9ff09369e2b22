"""Fuzzing the rule language: any JSON is either accepted or refused with a valid pointer and a message."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from challenges.language import Rules
from chally import clock
from tests.support.api import Client
from tests.support.challenges import RULES, challenge_body
from tests.support.database import Database

WORDS = [*RULES, *(name for part in RULES.values() if isinstance(part, dict) for name in part), "a/b", "~", ""]
TEXT = st.text(max_size=8) | st.sampled_from(["05:00", "mon", "photo", "image/png", "\0", "1", "\ud800"])
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | TEXT, inner, max_size=4),
    max_leaves=12,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of every value in a document except its root."""
    parts = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, part in parts:
        yield (*path, name)
        yield from places(part, (*path, name))


@st.composite
def nearly_right(draw: st.DrawFn) -> Any:
    """Valid rules with one to three values replaced or removed."""
    rules: Any = copy.deepcopy(RULES)
    for _ in range(draw(st.integers(1, 3))):
        *path, name = draw(st.sampled_from([*places(rules), ("new",)]))
        part = rules
        for each in path:
            part = part[each]
        if name == "new" or draw(st.booleans()):
            part[name] = draw(JSON)
        else:
            del part[name]
    return rules


def check_pointer(pointer: str, message: str, document: Any) -> None:
    """Check that the pointer leads to a value of the document, or to a member that is missing from an object."""
    assert message.strip()
    assert message.endswith(".")
    part = document
    names = [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]
    for name in names[:-1]:
        part = part[int(name)] if isinstance(part, list) else part[name]
    if not names:
        return
    if isinstance(part, dict):
        assert names[-1] in part or message == "This field is required.", (pointer, message)
    else:
        assert isinstance(part, list)
        assert int(names[-1]) < len(part)


@given(JSON | nearly_right())
@settings(max_examples=500, deadline=None)
def test_any_json_is_accepted_or_refused_with_valid_pointers(rules: Any) -> None:
    try:
        Rules.model_validate(rules)
    except ValidationError as error:
        for each in error.errors():
            pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in each["loc"])
            check_pointer(pointer, each["msg"], rules)


def test_any_json_over_http_is_accepted_or_refused_with_valid_pointers(owner: Client, database: Database) -> None:
    """Includes invalid JSON that Python's clients can send, such as NaN and unpaired surrogates."""
    database.execute("update core.limits set quantity = 100000 where name = 'challenge_create'")
    body = challenge_body(clock.now())

    @given(JSON | nearly_right())
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def fuzz(rules: Any) -> None:
        database.execute(
            "update challenges.challenges set status = 'deleted'"
        )  # stays below the quota of owned challenges
        answer = owner.call("POST", "/v1/challenges", raw=json.dumps(body | {"rules": rules}).encode())
        assert answer.status in (201, 422), answer.text
        for error in answer.json["errors"] if answer.status == 422 else []:
            check_pointer(error["pointer"], error["message"], body | {"rules": rules})

    fuzz()
