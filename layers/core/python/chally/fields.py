"""Types of fields that bodies and parameters share: ids, instants, dates, times of day.

They accept exactly what the API's description says. Pydantic alone also reads a number of seconds as an instant.
"""

import re
from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BeforeValidator, Field

from chally.sentences import pattern

INVALID_ID = "Must be an id, such as 01a222ea-7d51-7c3e-9b0a-3f4e5d6c7b8a."
_INVALID_INSTANT = "Must be an instant with its offset (RFC 3339), such as 2026-11-28T05:00:00Z."
_INVALID_DATE = "Must be a date, such as 2026-11-28."

# [0-9] because \d also matches the digits of other scripts
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_INSTANT = re.compile(_DATE.pattern + r"[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")


def is_id(text: str) -> bool:
    """Whether the text is a UUID as we write it: with hyphens, without braces or a prefix."""
    return _ID.fullmatch(text) is not None


def is_whole(text: str) -> bool:
    """Whether the text is a whole number in digits alone; pydantic also reads 10.0, 1_0 and spaces."""
    return _WHOLE.fullmatch(text) is not None


def _check_id(value: object) -> object:
    if not isinstance(value, str) or not is_id(value):
        raise ValueError(INVALID_ID)
    return value


def _check_instant(value: object) -> object:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError(_INVALID_INSTANT)
    return value


def _check_date(value: object) -> object:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError(_INVALID_DATE)
    return value


# Bodies are strict, and JSON has no type for these: the check above lets only strings through to pydantic's parsers.
Id = Annotated[UUID, BeforeValidator(_check_id), Field(strict=False)]
Instant = Annotated[AwareDatetime, BeforeValidator(_check_instant), Field(strict=False)]
Date = Annotated[date, BeforeValidator(_check_date), Field(strict=False)]
TimeOfDay = Annotated[
    str,
    pattern(
        r"^([01][0-9]|2[0-3]):[0-5][0-9]$", "Must be a time of day as HH:MM, from 00:00 to 23:59.", examples=["05:00"]
    ),
]
