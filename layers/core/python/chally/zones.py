"""Time zones: IANA names that Python and Postgres read alike, and when their clocks change."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import tzdata
from pydantic import AfterValidator, Field

# To Postgres these are abbreviations with a fixed offset, to Python zones with summer time: two different days.
AMBIGUOUS = {"CET", "EET", "EST", "HST", "MET", "MST", "WET", "Factory"}


def check(name: str) -> str:
    """The name itself when it is a zone we can keep time in; ValueError otherwise.

    What Postgres does not know is refused by Postgres, which an older release of the zones may be in.
    """
    if name not in names():
        raise ValueError("not a time zone that we know: send an IANA name such as Europe/Berlin")
    return name


@cache
def names() -> frozenset[str]:
    """Every name that we accept: those of the package tzdata. A system's own directory has more (posix/, right/)."""
    return frozenset(Path(tzdata.__file__).with_name("zones").read_text().split()) - AMBIGUOUS


@cache
def tzdata_version() -> str:
    """The release of the IANA time zone database that the functions were built with, such as 2026b.

    It is what windows record, though Postgres computes them. In a local system the server reads the very files of this
    release (infra/local/postgres.py). RDS brings zones of its own, renewed with the minor versions of the engine, and
    says nowhere which release they are: there the name is a claim, which challenges' nightly job checks. For each zone
    in use it compares what Postgres makes of it with this release, and an alarm, ZonesDiffer, says when they differ.
    """
    return str(tzdata.IANA_VERSION)


def offsets(name: str, since: datetime, days: int) -> Iterator[tuple[datetime, timedelta]]:
    """How far the zone's clocks are from UTC each day of so many, and in the last and first second around each change.

    Another set of rules differs at one of these instants, unless its clocks go there and back within a day.
    """
    zone = ZoneInfo(name)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(zone).replace(tzinfo=UTC) - at

    at = since.replace(microsecond=0)
    for _ in range(days):
        yield at, offset(at)
        last, first = at, at + timedelta(days=1)
        if offset(last) != offset(first):
            while first - last > timedelta(seconds=1):
                middle = last + timedelta(seconds=(first - last) // timedelta(seconds=2))
                last, first = (middle, first) if offset(middle) == offset(last) else (last, middle)
            yield last, offset(last)
            yield first, offset(first)
        at += timedelta(days=1)


Zone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(check)]
