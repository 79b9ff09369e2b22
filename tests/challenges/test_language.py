"""The rule language: the message for each invalid field, and the published schema."""

import copy
import re
from typing import Any

import pytest
from pydantic import ValidationError

from challenges import language
from challenges.language import Rules
from chally import clock
from tests.support.api import Client
from tests.support.challenges import RULES, challenge_body

TIME = "Must be a time of day as HH:MM, from 00:00 to 23:59."
DAYS = "Must be 'mon', 'tue', 'wed', 'thu', 'fri', 'sat' or 'sun'."

WRONG: list[tuple[str, Any, str]] = [
    ("/version", 2, "Unknown version. Send 1."),
    ("/version", "1", "Unknown version. Send 1."),
    ("/version", [], "Unknown version. Send 1."),
    ("/schedule", None, "Must be a JSON object."),
    ("/schedule", [], "Must be a JSON object."),
    ("/schedule/days", [], "Must have at least 1 item."),
    ("/schedule/days", ["mon"] * 8, "Must have at most 7 items."),
    ("/schedule/days", ["mon", "mon"], "List each day only once."),
    ("/schedule/days", "mon", "Must be a list."),
    ("/schedule/days/0", ["monday"], DAYS),
    ("/schedule/opens", "5:00", TIME),
    ("/schedule/opens", "24:00", TIME),
    ("/schedule/opens", "05:00\n", TIME),
    ("/schedule/opens", "0\u0665:00", TIME),  # a digit, but Postgres could not parse it
    ("/schedule/closes", 800, "Must be a string."),
    ("/schedule/scope", "utc", "Must be 'participant_local' or 'challenge_tz'."),
    ("/schedule/open", "05:00", "Unknown field. Allowed here: days, opens, closes, scope."),
    ("/proof/kind", "video", "Must be 'photo', 'text' or 'number'."),
    ("/proof/kind", None, "Must be 'photo', 'text' or 'number'."),
    ("/proof/kind", ["photo"], "Must be 'photo', 'text' or 'number'."),
    ("/proof/unit", "km", "Unknown field. Allowed here: kind, max_per_window, max_bytes, types."),
    ("/proof/max_per_window", 0, "Must be 1 or more."),
    ("/proof/max_per_window", 11, "Must be 10 or less."),
    ("/proof/max_per_window", 1.5, "Must be a whole number."),
    ("/proof/max_per_window", "many", "Must be a whole number."),
    ("/proof/max_per_window", None, "Must be a whole number."),
    ("/proof/max_bytes", 10**30, "Must be 10485760 or less."),
    ("/proof/types/0", ["image/gif"], "Must be 'image/jpeg', 'image/png', 'image/webp', 'image/heic' or 'image/heif'."),
    ("/anti_cheat/overlay", "always", "Must be true or false."),
    ("/anti_cheat/exif_required", "perhaps", "Must be true or false."),
    ("/anti_cheat/phash_check", "maybe", "Must be true or false."),
    ("/scoring/points", -1, "Must be 0 or more."),
    ("/reminders/before_close_minutes", 0, "Must be 1 or more."),
    ("/penalties", {}, "Unknown field. Allowed here: version, schedule, proof, anti_cheat, scoring, reminders."),
]


def errors(rules: object) -> list[tuple[str, str]]:
    """Return (JSON pointer, message) of each error."""
    with pytest.raises(ValidationError) as refused:
        Rules.model_validate(rules)
    return [("".join(f"/{part}" for part in each["loc"]), each["msg"]) for each in refused.value.errors()]


@pytest.mark.parametrize(("pointer", "value", "sentence"), WRONG)
def test_an_invalid_field_is_named_with_what_to_do(pointer: str, value: Any, sentence: str) -> None:
    rules = copy.deepcopy(RULES)
    *path, name = [part for part in pointer.split("/")[1:] if part != "0"]
    part = rules
    for each in path:
        part = part[each]
    part[name] = value
    assert errors(rules) == [(pointer, sentence)]


WRONG_KINDS: list[tuple[dict[str, Any], str, str]] = [
    ({"kind": "text", "min_length": 0}, "/proof/min_length", "Must be 1 or more."),
    ({"kind": "text", "max_per_window": 11}, "/proof/max_per_window", "Must be 10 or less."),
    (
        {"kind": "text", "types": []},
        "/proof/types",
        "Unknown field. Allowed here: kind, max_per_window, min_length.",
    ),
    ({"kind": "number", "target": "far"}, "/proof/target", "Must be a number."),
    ({"kind": "number", "target": float("nan")}, "/proof/target", "Must be a finite number."),
    ({"kind": "number", "unit": "  "}, "/proof/unit", "Must have at least 1 character."),
    ({"kind": "number", "unit": "k" * 41}, "/proof/unit", "Must have at most 40 characters."),
]


@pytest.mark.parametrize(("proof", "pointer", "sentence"), WRONG_KINDS)
def test_each_kind_of_proof_has_its_own_fields(proof: dict[str, Any], pointer: str, sentence: str) -> None:
    assert errors(RULES | {"proof": proof}) == [(pointer, sentence)]


@pytest.mark.parametrize(
    "proof",
    [
        {"kind": "text", "max_per_window": 3, "min_length": 20},
        {"kind": "number", "max_per_window": 1, "unit": "km", "target": 5.5},
        {"kind": "number", "max_per_window": 1, "unit": None, "target": None},
    ],
)
def test_rules_for_proofs_are_stored_as_sent(proof: dict[str, Any]) -> None:
    assert Rules.model_validate(RULES | {"proof": proof}).model_dump()["proof"] == proof


def test_the_default_kind_of_proof_is_photo() -> None:
    assert Rules.model_validate(RULES | {"proof": {"max_per_window": 2}}).proof.kind == "photo"


def test_all_errors_are_reported_at_once() -> None:
    found = errors({"schedule": {"days": ["mon"], "opens": "x", "later": 1}, "proof": {"kind": 1}})
    assert [pointer for pointer, _ in found] == [
        "/schedule/opens", "/schedule/closes", "/schedule/later", "/proof/kind",
    ]  # fmt: skip
    assert ("/schedule/closes", "This field is required.") in found


def test_an_unknown_version_is_the_only_error_reported() -> None:
    """Fields of a later version cannot be judged."""
    assert errors({"version": 2, "calendar": "lunar"}) == [
        ("/version", "Unknown version. Send 1."),
    ]


def test_every_error_has_a_message_of_ours() -> None:
    """Error types that a later pydantic may add get a message, too."""
    for pointer, sentence in errors({"schedule": 1, "proof": [], "scoring": {"points": "NaN"}, "reminders": 1}):
        assert re.fullmatch(r"[A-Z].*\.", sentence), (pointer, sentence)
        assert "input" not in sentence.lower(), (pointer, sentence)


def test_errors_over_http_point_into_the_request_body(owner: Client) -> None:
    body = challenge_body(clock.now())
    body["rules"]["schedule"]["opens"] = "noon"
    answer = owner.post("/v1/challenges", body)
    assert answer.status == 422
    assert answer.json["errors"] == [{"pointer": "/rules/schedule/opens", "message": TIME}]
    answer = owner.post("/v1/challenges", challenge_body(clock.now(), rules="none"))
    assert answer.json["errors"] == [{"pointer": "/rules", "message": "Must be a JSON object."}]


class TestSchema:
    def test_the_schema_requires_no_sign_in(self, nobody: Client) -> None:
        answer = nobody.get("/v1/challenges/rules.schema.json")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert answer.json["$id"] == "https://api.test/v1/challenges/rules.schema.json"

    def test_the_schema_accepts_exactly_what_the_rules_accept(self) -> None:
        """Clients validate rules with the schema before they send them."""
        schema = language.json_schema("https://x.test")

        def walk(given: dict[str, Any], node: dict[str, Any]) -> None:
            kinds = {choice["$ref"].rpartition("/")[2]: choice for choice in node.get("oneOf", [])}
            node = kinds.get("PhotoProof", node)
            node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            assert node["additionalProperties"] is False
            assert set(node["properties"]) == set(given)
            for name, value in given.items():
                if isinstance(value, dict):
                    walk(value, node["properties"][name])

        walk(RULES, schema)
        schedule = schema["$defs"]["Schedule"]
        assert schedule["required"] == ["days", "opens", "closes"]
        assert schedule["properties"]["days"]["uniqueItems"] is True
        pattern = schedule["properties"]["opens"]["pattern"]
        assert re.search(pattern, "23:59")
        assert not re.search(pattern, "24:00")
