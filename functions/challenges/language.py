"""The rule language, version 1: what a challenge asks for, as its owner writes it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from chally.body import Body

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ImageType = Literal["image/jpeg", "image/png", "image/webp"]
# [0-9], for \d takes the digits of every script
WallTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["05:00"])]
MaxPerWindow = Annotated[int, Field(ge=1, le=10)]
MAX_BYTES = 10 * 1024 * 1024
MAX_NUMBER = 10**12


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
    max_per_window: MaxPerWindow = 1
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    types: Annotated[list[ImageType], Field(min_length=1, max_length=3)] = ["image/jpeg", "image/png", "image/webp"]


class TextProof(Body):
    """A few words: how many texts a window takes, and how long each must be at least (characters)."""

    kind: Literal["text"]
    max_per_window: MaxPerWindow = 1
    min_length: Annotated[int, Field(ge=1, le=2000)] = 1


class NumberProof(Body):
    """A number: how many a window takes, what it counts, and what it must reach. Null: any number will do."""

    kind: Literal["number"]
    max_per_window: MaxPerWindow = 1
    unit: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)] | None = None
    target: Annotated[float, Field(gt=-MAX_NUMBER, lt=MAX_NUMBER, allow_inf_nan=False)] | None = None


KINDS: Mapping[str, type[Body]] = {"photo": PhotoProof, "text": TextProof, "number": NumberProof}


def _kind(proof: object) -> object:
    """A proof that names no kind is a photo. What is no kind at all is told so, rather than that it is missing."""
    kind = proof.get("kind", "photo") if isinstance(proof, dict) else getattr(proof, "kind", "photo")
    return "null" if kind is None else kind


Proof = Annotated[
    Annotated[PhotoProof, Tag("photo")] | Annotated[TextProof, Tag("text")] | Annotated[NumberProof, Tag("number")],
    Discriminator(_kind),
]


class AntiCheat(Body):
    """Which checks a photo must pass."""

    overlay: bool = False
    exif_required: bool = False
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
    proof: Proof = PhotoProof()
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
            rules = handler(given)
        except ValidationError as error:
            raise _refused([(_place(each), _sentence(each), each["input"]) for each in error.errors()]) from None
        asked = [name for name in ("overlay", "exif_required") if getattr(rules.anti_cheat, name)]
        if asked and rules.proof.kind != "photo":
            raise _refused([(("anti_cheat", name), _ONLY_PHOTOS, True) for name in asked])
        return rules


VERSIONS: Mapping[int, type[BaseModel]] = {1: Rules}

_ONLY_PHOTOS = "Only a photo can be checked for this: send false, or ask for photos."
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
    "finite_number": "It must be a finite number.",
    "bool_type": "It must be true or false.",
    "bool_parsing": "It must be true or false.",
    "list_type": "It must be a list.",
    "model_type": "It must be a JSON object.",
    "model_attributes_type": "It must be a JSON object.",
    "value_error": "{error}",
    "union_tag_invalid": "It must be 'photo', 'text' or 'number'.",
    "greater_than": "It must be more than {gt}.",
    "less_than": "It must be less than {lt}.",
    "string_too_long": "It must have at most {max_length} characters.",
    "string_too_short": "It must have at least {min_length} character.",
    "float_type": "It must be a number.",
    "float_parsing": "It must be a number.",
}


def _place(error: ErrorDetails) -> tuple[int | str, ...]:
    """Where the error is in the document. Pydantic puts the kind of proof it took into the path as well."""
    where = error["loc"]
    if where[:1] != ("proof",):
        return where
    if error["type"] == "union_tag_invalid":
        return ("proof", "kind")
    return (*where[:1], *where[2:]) if where[1:2] and where[1] in KINDS else where


def _sentence(error: ErrorDetails) -> str:
    """What to do about one error of pydantic's."""
    where = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"There is no such field here, only {', '.join(_fields(where[:-1]))}."
    context: dict[str, Any] = error.get("ctx", {})
    return _BY_TYPE[error["type"]].format_map(context) if error["type"] in _BY_TYPE else f"{error['msg']}."


def _fields(where: tuple[int | str, ...]) -> list[str]:
    model: Any = Rules
    for name in where:
        # a kind of proof stands behind `proof`, whose annotation is all of them
        model = KINDS[str(name)] if name in KINDS else model.model_fields[name].annotation
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
