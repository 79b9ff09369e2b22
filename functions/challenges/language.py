"""The rule language, version 1: what a challenge asks for, as its owner writes it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, ModelWrapValidatorHandler, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from chally.body import Body

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ImageType = Literal["image/jpeg", "image/png", "image/webp"]
# [0-9], for \d takes the digits of every script
WallTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["05:00"])]
MAX_BYTES = 10 * 1024 * 1024


class Schedule(Body):
    """Which days, and from when to when on the wall clock. `closes` at or before `opens` crosses midnight."""

    days: Annotated[list[Day], Field(min_length=1, max_length=7, json_schema_extra={"uniqueItems": True})]
    opens: WallTime
    closes: WallTime
    scope: Literal["participant_local", "challenge_tz"] = "participant_local"

    @field_validator("days")
    @classmethod
    def _each_day_once(cls, days: list[Day]) -> list[Day]:
        if len(set(days)) != len(days):
            raise ValueError("Name each day once.")
        return days


class PhotoProof(Body):
    """A photo: how many a window takes, how large (bytes), of which types."""

    kind: Literal["photo"] = "photo"
    max_per_window: Annotated[int, Field(ge=1, le=10)] = 1
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    types: Annotated[list[ImageType], Field(min_length=1, max_length=3)] = ["image/jpeg", "image/png", "image/webp"]


class AntiCheat(Body):
    """Which checks a proof must pass. A check that is not enforced yet cannot be asked for."""

    overlay: bool = False
    exif_required: Literal[False] = False
    phash_check: bool = True
    strip_exif: bool = True


class Scoring(Body):
    """Points of an accepted window, what each day of a streak adds, and how many missed windows keep a streak alive."""

    points: Annotated[int, Field(ge=0, le=1000)] = 10
    streak_bonus: Annotated[int, Field(ge=0, le=100)] = 1
    grace_days: Annotated[int, Field(ge=0, le=30)] = 0


class Reminders(Body):
    """When to remind: minutes before a window closes. Null: not at all."""

    before_close_minutes: Annotated[int | None, Field(ge=1, le=1440)] = 60


class Rules(Body):
    """A challenge's rules. When there is a version 2, this becomes a union of both, told apart by `version`."""

    version: Literal[1] = 1
    schedule: Schedule
    proof: PhotoProof = PhotoProof()
    anti_cheat: AntiCheat = AntiCheat()
    scoring: Scoring = Scoring()
    reminders: Reminders = Reminders()

    @model_validator(mode="wrap")
    @classmethod
    def _say_clearly(cls, given: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        version = given.get("version", 1) if isinstance(given, dict) else 1
        if version not in tuple(VERSIONS):
            # this alone: what else a later version has we cannot judge
            message = f"This is not a version that we know: send {' or '.join(map(str, VERSIONS))}."
            raise _refused([(("version",), message, version)])
        try:
            return handler(given)
        except ValidationError as error:
            raise _refused([(each["loc"], _sentence(each), each["input"]) for each in error.errors()]) from None


VERSIONS: Mapping[int, type[BaseModel]] = {1: Rules}

_NOT_ENFORCED = "This check is not enforced yet, so it cannot be asked for: send false, or leave it out."
_BY_FIELD = {
    ("anti_cheat", "exif_required"): _NOT_ENFORCED,
}
# By pydantic's type of error, with its context.
_BY_TYPE = {
    "missing": "This field is required.",
    "literal_error": "It must be {expected}.",
    "string_pattern_mismatch": "Write a time of day as HH:MM, from 00:00 to 23:59, such as 05:00.",
    "string_type": "It must be a text.",
    "greater_than_equal": "It must be {ge} or more.",
    "less_than_equal": "It must be {le} or less.",
    "too_short": "Name at least {min_length}.",
    "too_long": "Name at most {max_length}.",
    "int_type": "It must be a whole number.",
    "int_parsing": "It must be a whole number.",
    "int_parsing_size": "It must be a smaller number.",
    "int_from_float": "It must be a whole number.",
    "finite_number": "It must be a whole number.",
    "bool_type": "It must be true or false.",
    "bool_parsing": "It must be true or false.",
    "list_type": "It must be a list.",
    "model_type": "It must be a JSON object.",
    "model_attributes_type": "It must be a JSON object.",
    "value_error": "{error}",
}


def _sentence(error: ErrorDetails) -> str:
    """What to do about one error of pydantic's."""
    where = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"There is no such field here, only {', '.join(_fields(where[:-1]))}."
    if where in _BY_FIELD:
        return _BY_FIELD[where]
    context: dict[str, Any] = error.get("ctx", {})
    return _BY_TYPE[error["type"]].format_map(context) if error["type"] in _BY_TYPE else f"{error['msg']}."


def _fields(where: tuple[int | str, ...]) -> list[str]:
    model: Any = Rules
    for name in where:
        model = model.model_fields[name].annotation
    return list(model.model_fields)


def _refused(found: list[tuple[tuple[int | str, ...], str, object]]) -> ValidationError:
    """An error whose sentences are ours: a JSON pointer's parts, the sentence, what was sent."""
    return ValidationError.from_exception_data(
        "Rules",
        [
            InitErrorDetails(
                type=PydanticCustomError("rules", "{sentence}", {"sentence": sentence}), loc=where, input=sent
            )
            for where, sentence, sent in found
        ],
    )


def json_schema(identifier: str) -> dict[str, Any]:
    """The language as JSON Schema; `identifier` is the URL that it is published at."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        **Rules.model_json_schema(),
        "title": "Rules of a Chally challenge, version 1",
    }
