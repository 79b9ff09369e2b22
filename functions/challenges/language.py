"""The rule language, version 1: how an owner writes down what a challenge requires."""

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
from chally.fields import TimeOfDay
from chally.sentences import sentence
from chally.text import SHOWN_LINE

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ImageType = Literal["image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"]
IMAGE_TYPES: tuple[ImageType, ...] = ("image/jpeg", "image/png", "image/webp", "image/heic", "image/heif")
# Two names of one format: a challenge that accepts one accepts both.
HEIC: tuple[ImageType, ...] = ("image/heic", "image/heif")
MaxPerWindow = Annotated[int, Field(ge=1, le=10)]
MAX_BYTES = 10 * 1024 * 1024
MAX_NUMBER = 10**12


class Schedule(Body):
    """Days, and opening and closing times on the wall clock.

    If `closes` is not later than `opens`, the window closes on the next day.
    """

    days: Annotated[list[Day], Field(min_length=1, max_length=7, json_schema_extra={"uniqueItems": True})]
    opens: TimeOfDay
    closes: TimeOfDay
    scope: Literal["participant_local", "challenge_tz"] = "participant_local"

    @field_validator("days")
    @classmethod
    def _check_unique(cls, days: list[Day]) -> list[Day]:
        if len(set(days)) != len(days):
            raise ValueError("List each day only once.")
        return days


class PhotoProof(Body):
    """Photos: how many per window, the maximum size in bytes, and the allowed types."""

    kind: Literal["photo"] = "photo"
    max_per_window: MaxPerWindow = 1
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    types: Annotated[list[ImageType], Field(min_length=1, max_length=len(IMAGE_TYPES))] = list(IMAGE_TYPES)


class TextProof(Body):
    """Texts: how many per window, and the minimum length of each in characters."""

    kind: Literal["text"]
    max_per_window: MaxPerWindow = 1
    min_length: Annotated[int, Field(ge=1, le=2000)] = 1


class NumberProof(Body):
    """Numbers: how many per window, the unit, and the value to reach. With a null `target` any number is accepted."""

    kind: Literal["number"]
    max_per_window: MaxPerWindow = 1
    unit: Annotated[str, StringConstraints(min_length=1, max_length=40), SHOWN_LINE] | None = None
    target: Annotated[float, Field(gt=-MAX_NUMBER, lt=MAX_NUMBER, allow_inf_nan=False)] | None = None


PROOF_KINDS: Mapping[str, type[Body]] = {"photo": PhotoProof, "text": TextProof, "number": NumberProof}


def _proof_kind(proof: object) -> object:
    """Return the kind of a proof, photo by default. An explicit null is reported as a wrong kind, not a missing one."""
    kind = proof.get("kind", "photo") if isinstance(proof, dict) else getattr(proof, "kind", "photo")
    return "null" if kind is None else kind


ProofRules = Annotated[
    Annotated[PhotoProof, Tag("photo")] | Annotated[TextProof, Tag("text")] | Annotated[NumberProof, Tag("number")],
    Discriminator(_proof_kind),
]


class AntiCheat(Body):
    """The checks that a photo must pass."""

    overlay: bool = False
    exif_required: bool = False
    phash_check: bool = True
    strip_exif: bool = True


class Scoring(Body):
    """Points per accepted window, the bonus per day of the streak, and how many missed windows do not end a streak."""

    points: Annotated[int, Field(ge=0, le=1000)] = 10
    streak_bonus: Annotated[int, Field(ge=0, le=100)] = 1
    grace_days: Annotated[int, Field(ge=0, le=30)] = 0


class Reminders(Body):
    """When to send a reminder, in minutes before the window closes. Null sends none."""

    before_close_minutes: Annotated[int | None, Field(ge=1, le=1440)] = 60


class Rules(Body):
    """The rules of a challenge."""

    version: Literal[1] = 1
    schedule: Schedule
    proof: ProofRules = PhotoProof()
    anti_cheat: AntiCheat = AntiCheat()
    scoring: Scoring = Scoring()
    reminders: Reminders = Reminders()

    @model_validator(mode="wrap")
    @classmethod
    def _rewrite_errors(cls, given: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        version = given.get("version", 1) if isinstance(given, dict) else 1
        if type(version) is not int or version not in VERSIONS:
            # report nothing else: fields of a later version cannot be judged
            message = f"Unknown version. Send {' or '.join(map(str, VERSIONS))}."
            raise _validation_error([(("version",), message, version)])
        try:
            rules = handler(given)
        except ValidationError as error:
            found = [(_location(each), _message(each), each["input"]) for each in error.errors()]
            raise _validation_error(found) from None
        required = [name for name in ("overlay", "exif_required") if getattr(rules.anti_cheat, name)]
        if required and rules.proof.kind != "photo":
            raise _validation_error([(("anti_cheat", name), _ONLY_PHOTOS, True) for name in required])
        return rules


# Version 2 will make the field `rules` a union, discriminated by `version`.
VERSIONS: Mapping[int, type[BaseModel]] = {1: Rules}

_ONLY_PHOTOS = "Only photos support this check. Send false, or set proof.kind to photo."


def _location(error: ErrorDetails) -> tuple[int | str, ...]:
    """Return where the error is in the document. Pydantic's path also contains the kind of proof: remove it."""
    where = error["loc"]
    if where[:1] != ("proof",):
        return where
    if error["type"] == "union_tag_invalid":
        return ("proof", "kind")
    return (*where[:1], *where[2:]) if where[1:2] and where[1] in PROOF_KINDS else where


def _message(error: ErrorDetails) -> str:
    """Return our message for one of pydantic's errors."""
    where = error["loc"]
    if error["type"] == "extra_forbidden":
        return f"Unknown field. Allowed here: {', '.join(_fields(where[:-1]))}."
    if error["type"] == "union_tag_invalid":
        return "Must be 'photo', 'text' or 'number'."
    return sentence(error)


def _fields(where: tuple[int | str, ...]) -> list[str]:
    model: Any = Rules
    for name in where:
        # the annotation of `proof` is the union of all kinds, and the path names one of them
        model = PROOF_KINDS[str(name)] if name in PROOF_KINDS else model.model_fields[name].annotation
    return list(model.model_fields)


def _validation_error(found: list[tuple[tuple[int | str, ...], str, object]]) -> ValidationError:
    """Build a pydantic error from our own messages: (location, message, input)."""
    return ValidationError.from_exception_data(
        "Rules",
        [
            InitErrorDetails(
                type=PydanticCustomError("rules", "{message}", {"message": message}), loc=where, input=value
            )
            for where, message, value in found
        ],
    )


def json_schema(identifier: str) -> dict[str, Any]:
    """Return the language as JSON Schema. `identifier` is the URL where it is published."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": identifier,
        **Rules.model_json_schema(),
        "title": "Rules of a Chally challenge, version 1",
    }
