"""The zones we accept and the instants at which their clocks change, from zoneinfo alone."""

from datetime import UTC, datetime, timedelta
from functools import cache

from chally import zones
from tests.support.window_oracle import reading

FIRST, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)


@cache
def names() -> list[str]:
    """Every accepted zone."""
    return sorted(zones.names())


@cache
def transitions(zone: str) -> tuple[datetime, ...]:
    """The instants from 2020 to 2035 at which its clocks change: the first second of the new offset."""
    found, at, step = [], FIRST, timedelta(days=1)
    while at < END:
        if _offset(zone, at) != _offset(zone, at + step):
            before, after = at, at + step
            while after - before > timedelta(seconds=1):
                middle = before + timedelta(seconds=(after - before).total_seconds() // 2)
                before, after = (middle, after) if _offset(zone, middle) == _offset(zone, at) else (before, middle)
            found.append(after)
        at += step
    return tuple(found)


@cache
def unlike() -> list[str]:
    """Zones of which no two agree throughout 2020 to 2035. Every other zone equals one of them."""
    by_weeks: dict[tuple[timedelta, ...], list[str]] = {}
    weeks = [FIRST + timedelta(weeks=n) for n in range(836)]
    for name in names():
        by_weeks.setdefault(tuple(_offset(name, week) for week in weeks), []).append(name)
    found: list[str] = []
    for alike in by_weeks.values():
        seen: set[tuple[timedelta, ...]] = set()
        marks = [mark for at in transitions(alike[0]) for mark in (at - timedelta(seconds=1), at)]
        for name in alike:
            offsets = tuple(_offset(name, mark) for mark in marks)
            if offsets not in seen:
                seen.add(offsets)
                found.append(name)
    return found


def _offset(zone: str, at: datetime) -> timedelta:
    return reading(zone, at) - at.replace(tzinfo=None)
