"""Time zones: IANA names that Python and Postgres read alike."""

import importlib.metadata
import re
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

# To Postgres these are abbreviations with a fixed offset, to Python zones with summer time: two different days.
AMBIGUOUS = {"CET", "EET", "EST", "HST", "MET", "MST", "WET", "Factory"}
NAME = re.compile(r"[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")


def check(name: str) -> str:
    """The name itself when it is a zone we can keep time in; ValueError otherwise."""
    if not NAME.fullmatch(name) or name in AMBIGUOUS or not _known(name):
        raise ValueError("not a time zone that we know: send an IANA name such as Europe/Berlin")
    return name


def _known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a directory an OSError
        return False
    return True


@cache
def tzdata_version() -> str:
    """The release of the time zone database that Python carries, such as 2026b."""
    return importlib.metadata.version("tzdata")


Zone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(check)]
