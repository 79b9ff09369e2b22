"""The rule language, version 1: what a challenge asks for, as its owner writes it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from chally.body import Body

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ImageType = Literal["image/jpeg", "image/png", "image/webp"]
WallTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["05:00"])]
MAX_BYTES = 10 * 1024 * 1024


class Schedule(Body):
    """Which days, and from when to when on the wall clock. `closes` at or before `opens` crosses midnight."""

    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    opens: WallTime
    closes: WallTime
    scope: Literal["participant_local", "challenge_tz"] = "participant_local"

    @model_validator(mode="after")
    def _each_day_once(self) -> Self:
        if len(set(self.days)) != len(self.days):
            raise ValueError("name each day once")
        return self


class PhotoProof(Body):
    """A photo: how many a window takes, how large (bytes), of which types."""

    kind: Literal["photo"] = "photo"
    max_per_window: Annotated[int, Field(ge=1, le=10)] = 1
    max_bytes: Annotated[int, Field(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    types: Annotated[list[ImageType], Field(min_length=1, max_length=3)] = ["image/jpeg", "image/png", "image/webp"]


class AntiCheat(Body):
    """Which checks a proof must pass. A check that is not enforced yet cannot be asked for."""

    overlay: Literal[False] = False
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
    """A challenge's rules."""

    version: Literal[1] = 1
    schedule: Schedule
    proof: PhotoProof = PhotoProof()
    anti_cheat: AntiCheat = AntiCheat()
    scoring: Scoring = Scoring()
    reminders: Reminders = Reminders()
