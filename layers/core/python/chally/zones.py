"""Time zones: IANA names with the same meaning in Python and Postgres, and the changes of their clocks.

Import `ZoneInfo` from here, never from zoneinfo (a lint rule enforces it). By default, zoneinfo prefers the machine's
own files to the package tzdata. They can be of another release, and then mails and verdicts differ from the windows by
an hour wherever a country has changed its rules in between.
"""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo as ZoneInfo

import tzdata
from pydantic import AfterValidator, Field

# Before anyone can make a zone from here: no directories of the machine, whatever PYTHONTZPATH says.
zoneinfo.reset_tzpath(to=())
ZoneInfo.clear_cache()

# Postgres reads these as abbreviations with a fixed offset, Python as zones with summer time.
AMBIGUOUS = {"CET", "EET", "EST", "HST", "MET", "MST", "WET", "Factory"}


def check_release() -> None:
    """Raise RuntimeError if zones can come from anywhere but the package tzdata. Entry points call it at their start.

    zoneinfo reads a zone from the first directory of `TZPATH` that has it, and from the package if there is none.
    """
    if zoneinfo.TZPATH:
        directories = ", ".join(zoneinfo.TZPATH)
        raise RuntimeError(
            f"Time zones are read from {directories}, not from tzdata {tzdata_version()}."
            " Remove the call of zoneinfo.reset_tzpath that came after the import of chally.zones."
        )


def check(name: str) -> str:
    """Return the name if we support the zone. Raises ValueError otherwise.

    Postgres may have an older release of the zones, and refuses names that it does not know.
    """
    if name not in names():
        raise ValueError("unknown time zone: send an IANA name such as Europe/Berlin")
    return name


@cache
def names() -> frozenset[str]:
    """The names that we accept: those of the package tzdata. A system's directory has more (posix/, right/)."""
    return frozenset(Path(tzdata.__file__).with_name("zones").read_text().split()) - AMBIGUOUS


@cache
def tzdata_version() -> str:
    """The release of the IANA time zone database that the functions were built with, such as 2026b.

    Windows record it, although Postgres computes them. A local server reads the files of this release
    (infra/local/postgres.py). RDS has its own zones, updated with the engine's minor versions, and does not report
    their release, so there the recorded name is an assumption. The nightly job of challenges checks it: it compares
    how Postgres and this release read each zone in use, and the alarm ZonesDiffer fires if they differ.
    """
    return str(tzdata.IANA_VERSION)


def offsets(name: str, since: datetime, days: int) -> Iterator[tuple[datetime, timedelta]]:
    """The zone's offset from UTC once a day for `days` days, and in the seconds before and after each change.

    Different rules for a zone differ at one of these instants, unless they change an offset and back within a day.
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


def first_instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """The first instant (UTC) at which the zone's clocks read this (naive) time.

    A time that they skip becomes as much later as they skip.
    """
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def last_instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """The last instant (UTC) at which the zone's clocks read this (naive) time; skipped times as in `first_instant`."""
    return max(wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))


Zone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"]), AfterValidator(check)]
