"""What a person reads when a value is refused: our sentences, in the types that the API's description states."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from challenges.routes.challenges import ChallengeEditIn, ChallengeIn, TransitionIn
from chally import problems, sentences
from chally.fields import Date, Id, Instant
from identity import usernames
from identity.routes.auth import LoginIn, RefreshIn, RegisterIn
from identity.routes.links import EmailIn, PasswordIn, ResetIn
from identity.routes.passkeys import PasskeyIn
from identity.routes.second_factors import MfaIn, StepUpIn, TotpOffIn
from privacy.routes.profile import MeIn
from proofs.routes.decisions import AppealIn, ReviewIn
from proofs.routes.submissions import ProofIn
from system import docs
from tests.support.api import Client
from tests.support.challenges import RULES

NOON = "2027-01-02T12:00:00Z"
CHALLENGE: dict[str, Any] = {"title": "Run", "starts_at": NOON, "ends_at": "2027-02-02T12:00:00Z", "rules": RULES}
PHOTO: dict[str, Any] = {"content_type": "image/jpeg", "content_length": 7, "sha256": "0" * 64}
ID = "01a222ea-7d51-7c3e-9b0a-3f4e5d6c7b8a"
MODELS: list[type[BaseModel]] = [
    *(ChallengeIn, ChallengeEditIn, TransitionIn, LoginIn, RefreshIn, RegisterIn, EmailIn, PasswordIn, ResetIn),
    *(PasskeyIn, MfaIn, StepUpIn, TotpOffIn, MeIn, AppealIn, ReviewIn, ProofIn),
]


def explained(model: type[BaseModel], sent: Any) -> list[tuple[str, str]]:
    """Return (pointer, message) for each error, as clients see them; none if the model accepts what was sent."""
    try:
        model.model_validate(sent)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        return [
            (each["pointer"], each["message"])
            for each in problems.from_validation(RequestValidationError(found)).errors
        ]
    return []


@pytest.mark.parametrize(
    ("model", "body", "field", "wrong"),
    [
        (ChallengeIn, CHALLENGE, "max_participants", [True, "10", 10.0, None]),
        (ChallengeIn, CHALLENGE, "late_join", ["yes", "true", 1, 0, None]),
        (ChallengeIn, CHALLENGE, "title", [7, None, ["Run"]]),
        (
            *(ChallengeIn, CHALLENGE, "starts_at"),
            [1_800_000_000, "1800000000", 1.8e9, True, "2027-01-02", "2027-01-02T12:00:00", "2027-01-02T12:00Z"],
        ),
        (ChallengeIn, CHALLENGE, "starts_at", ["2027-02-30T12:00:00Z", "2027-01-02T25:00:00Z", "tomorrow", "", None]),
        (ChallengeEditIn, {}, "ends_at", [1_800_000_000, "1800000000"]),
        (ProofIn, PHOTO, "content_length", [True, "7", 7.0]),
        (ProofIn, PHOTO, "captured_at", [1_800_000_000, "1800000000", "2027-01-02T12:00:00", "1999-01-01T00:00:00Z"]),
        (ProofIn, {}, "value", [True, [1], {"a": 1}]),
        (MeIn, {}, "username", [7, True]),
        (LoginIn, {"password": "x"}, "login", [7, None]),
    ],
)
def test_a_value_of_another_type_is_refused(
    model: type[BaseModel], body: dict[str, Any], field: str, wrong: list[Any]
) -> None:
    for value in wrong:
        (found,) = explained(model, body | {field: value})
        assert found[0] == f"/{field}", (value, found)


def test_complete_bodies_are_accepted() -> None:
    assert explained(ChallengeIn, CHALLENGE) == explained(ProofIn, PHOTO) == []


@pytest.mark.parametrize("wrong", [{"version": True}, {"version": 1.0}, {"scoring": {"points": True}}])
@pytest.mark.parametrize("more", [{"reminders": {"before_close_minutes": "60"}}, {"anti_cheat": {"overlay": "on"}}])
def test_rules_have_strict_types(wrong: dict[str, Any], more: dict[str, Any]) -> None:
    for part in (wrong, more):
        (found,) = explained(ChallengeIn, CHALLENGE | {"rules": RULES | part})
        assert found[0].startswith(f"/rules/{next(iter(part))}")


@pytest.mark.parametrize("text", [NOON, "2027-01-02t12:00:00.25z", "2027-01-02 13:00:00+01:00"])
def test_an_instant_may_be_written_in_every_way_of_rfc_3339(text: str) -> None:
    assert explained(ChallengeIn, CHALLENGE | {"starts_at": text}) == []


@pytest.mark.parametrize("wrong", [f"urn:uuid:{ID}", f"{{{ID}}}", ID.replace("-", ""), f" {ID}", f"{ID}\n", "me", "0"])
def test_an_id_has_one_form(wrong: str, nobody: Client) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(wrong)
    refused = nobody.get(f"/v1/proofs/{wrong}")
    assert refused.json["errors"] == [
        {"pointer": "/path/proof_id", "message": "Must be an id, such as 01a222ea-7d51-7c3e-9b0a-3f4e5d6c7b8a."}
    ]


def test_ids_and_dates_are_read() -> None:
    assert str(TypeAdapter(Id).validate_python(ID.upper())) == ID
    assert TypeAdapter(Date).validate_python("2028-02-29").isoformat() == "2028-02-29"
    for wrong in ("2027-02-29", "20270101", "1800000000", 20270101, "2027-01-01T00:00:00"):
        with pytest.raises(ValidationError):
            TypeAdapter(Date).validate_python(wrong)
    assert TypeAdapter(Instant).validate_python(NOON).isoformat() == "2027-01-02T12:00:00+00:00"


def test_every_pattern_has_a_sentence() -> None:
    def patterns(part: Any) -> Iterator[str]:
        for name, value in (
            part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
        ):
            if name == "pattern" and isinstance(value, str):
                yield value
            yield from patterns(value)

    found = set(patterns(json.loads(docs.OPENAPI.read_text())["components"]["schemas"]))
    found.remove(usernames.PATTERN)  # `usernames.check` explains it, with a free name
    assert found
    assert [each for each in found if not sentences.has_pattern(each)] == []


WORDS = sorted({name for model in MODELS for name in model.model_fields} | {"days", "kind", "points", "from", "to"})
LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["a@b", "photo", "9" * 70, "x" * 3000, "24:00", "\ud800", "2027-01-02", NOON, "Europe/Nowhere"])
)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=8,
)
# Words of pydantic, of regular expressions and of Python
FOREIGN = re.compile(
    r"\b(input|pydantic|pattern|dict|str|int|float|bool|none|uuid|tzinfo|NoneType)\b|[\^$\\\[\]]", re.I
)


@given(st.sampled_from(MODELS), st.dictionaries(st.sampled_from(WORDS), JSON, max_size=6) | JSON)
@settings(max_examples=400, deadline=None)
def test_every_refusal_is_a_sentence_of_ours(model: type[BaseModel], sent: Any) -> None:
    for pointer, message in explained(model, sent):
        assert re.fullmatch(r"[A-Z0-9\"'].*[.!?]", message), (pointer, message)
        assert not FOREIGN.search(message), (pointer, message)
        assert "{" not in message
