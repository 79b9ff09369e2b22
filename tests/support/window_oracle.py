"""A second implementation of windows, written from the text of the contract alone.

It uses neither folds nor SQL. A zone only tells what its clocks read at an instant; the instants that read as a wall
time are found by trying: none is a gap, two are an overlap.

Where the text leaves something open:

a. Rule 2 uses the actual close of the earlier window, date by date in order. Rule 3's nominal length is the
   difference of the two wall times; it is added to the wall time of the actual opening, in that window's zone, and the
   sum is read by rule 1 as a close (the second occurrence).
b. Rule 5 clips last. A window that is empty afterwards does not exist. A participant's dates are those whose window
   closes after joining (`closes_at > joined_at`).
c. Rule 6: the dates are fixed at joining. A move at t to zone z leaves a window that has opened by t (`opens_at <= t`)
   as it is. Each later date, in order, is given z's own window (rules 1 and 3), clipped, if z has the date, it is not
   empty and it opens after t; otherwise it keeps its window. Then rules 2 and 3 apply with the actual close of the
   date before. A date that would be empty (at the challenge's end) keeps the window it had before the move. If the
   date before it overlaps, that closes when the kept one opens; if less than an hour of it would be left, or less than
   its length if that is shorter, it keeps its window, too, and so on backwards. Moves change nothing in a challenge
   whose windows follow its own zone.
d. A kept window cannot overlap one that had opened by t, since they did not overlap before the move: asserted.
e. A window that a gap leaves empty is fixed (rule 3) before rule 2 applies, in (a) as in (c). Only a move makes a
   difference.

Editing a challenge before it starts fixes the dates again, as if the participant joined then, with the zone of then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Literal

from chally.zones import ZoneInfo

Windows = dict[date, tuple[datetime, datetime]]
"""By local date: the instants (UTC) at which the window opens and closes."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
# Clocks are at most 14 hours from UTC, and the longest gap (Samoa's) is a day.
REACH = timedelta(hours=40)


@dataclass(frozen=True)
class Schedule:
    opens: str
    closes: str
    days: tuple[str, ...] = WEEKDAYS
    scope: Literal["participant_local", "challenge_tz"] = "participant_local"

    def walls(self, day: date) -> tuple[datetime, datetime]:
        """The wall times at which that date's window nominally opens and closes."""
        opens, closes = time.fromisoformat(self.opens), time.fromisoformat(self.closes)
        return datetime.combine(day, opens), datetime.combine(day if opens < closes else day + DAY, closes)

    @property
    def length(self) -> timedelta:
        opens, closes = self.walls(date(2020, 1, 1))
        return closes - opens


@dataclass(frozen=True)
class Participant:
    """A participant. `zone` is the one at joining, `moves` the later ones with their instants."""

    schedule: Schedule
    starts_at: datetime
    ends_at: datetime
    joined_at: datetime
    zone: str
    challenge_zone: str = "UTC"
    moves: tuple[tuple[datetime, str], ...] = ()


@dataclass(frozen=True)
class Window:
    opens_at: datetime
    closes_at: datetime
    zone: str


def windows(participant: Participant) -> Windows:
    """All windows of the challenge."""
    local = participant.schedule.scope == "participant_local"
    had = at_joining(participant, participant.zone if local else participant.challenge_zone)
    for at, zone in participant.moves if local else ():
        had = moved(participant, had, at, zone)
    return {day: (window.opens_at, window.closes_at) for day, window in had.items()}


def at_joining(participant: Participant, zone: str) -> dict[date, Window]:
    """Rules 1 to 5."""
    found: dict[date, Window] = {}
    before: datetime | None = None
    for day in _dates(participant):
        window = nominal(participant.schedule, zone, day)
        if window is None:
            continue
        window = after(window, before, participant.schedule.length)
        before = window.closes_at
        clipped = clip(window, participant)
        if clipped is not None and clipped.closes_at > participant.joined_at:
            found[day] = clipped
    return found


def moved(participant: Participant, had: dict[date, Window], at: datetime, zone: str) -> dict[date, Window]:
    """Rule 6: the windows of the same dates after a change of zone at this instant."""
    days = sorted(had)
    opened = [day for day in days if had[day].opens_at <= at]
    later = days[len(opened) :]
    assert days == opened + later, "windows are in the order of their dates"
    now = {day: had[day] for day in opened}
    for day in later:
        base = had[day]
        there = nominal(participant.schedule, zone, day)
        if there is not None:
            there = clip(there, participant)
            if there is not None and there.opens_at > at:
                base = there
        previous = max(now, default=None)
        window = after(base, now[previous].closes_at if previous else None, participant.schedule.length)
        clipped = clip(window, participant)
        if clipped is not None:
            now[day] = clipped
            continue
        now[day] = had[day]
        kept = day
        for earlier in reversed(days[: days.index(day)]):
            if now[earlier].closes_at <= now[kept].opens_at:
                break
            assert earlier in later, "what had opened cannot overlap what was to come"
            left = now[kept].opens_at - now[earlier].opens_at
            if left >= min(participant.schedule.length, HOUR):
                now[earlier] = replace(now[earlier], closes_at=now[kept].opens_at)
                break
            now[earlier] = had[earlier]
            kept = earlier
    return now


def nominal(schedule: Schedule, zone: str, day: date) -> Window | None:
    """The window of this date alone (rules 1, 3 and 4), or None if the schedule or the zone lacks the date."""
    if WEEKDAYS[day.weekday()] not in schedule.days or not exists(zone, day):
        return None
    opens, closes = schedule.walls(day)
    window = Window(instant(zone, opens, "first"), instant(zone, closes, "last"), zone)
    return window if window.opens_at < window.closes_at else lengthened(window, schedule.length)


def after(window: Window, closed: datetime | None, length: timedelta) -> Window:
    """Rules 2 and 3: the window if the one before it closes then."""
    if closed is None or closed <= window.opens_at:
        return window
    window = Window(closed, window.closes_at, window.zone)
    return window if window.opens_at < window.closes_at else lengthened(window, length)


def lengthened(window: Window, length: timedelta) -> Window:
    """Rule 3: the window that opens then and lasts its nominal length on the wall clock."""
    closes = instant(window.zone, reading(window.zone, window.opens_at) + length, "last")
    assert window.opens_at < closes
    return Window(window.opens_at, closes, window.zone)


def clip(window: Window, participant: Participant) -> Window | None:
    """Rule 5."""
    opens, closes = max(window.opens_at, participant.starts_at), min(window.closes_at, participant.ends_at)
    return Window(opens, closes, window.zone) if opens < closes else None


@cache
def instant(zone: str, wall: datetime, occurrence: Literal["first", "last"]) -> datetime:
    """Rule 1: the instant at which the zone's clocks read this."""
    found = instants(zone, wall) or instants(zone, wall + gap(zone, wall))
    return min(found) if occurrence == "first" else max(found)


@cache
def instants(zone: str, wall: datetime) -> tuple[datetime, ...]:
    """All instants at which the zone's clocks read this, earliest first: none in a gap, two in an overlap."""
    utc = wall.replace(tzinfo=UTC)
    near = {utc.date() + n * DAY for n in (-1, 0, 1)}
    tried = {utc - offset for day in near for offset in offsets(zone, day)}
    return tuple(sorted(u for u in tried if reading(zone, u) == wall))


@cache
def offsets(zone: str, day: date) -> frozenset[timedelta]:
    """The offsets from UTC at every hour of this UTC date: none lasts less than an hour."""
    midnight = datetime.combine(day, time(), UTC)
    return frozenset(reading(zone, u) - u.replace(tzinfo=None) for u in (midnight + n * HOUR for n in range(25)))


@cache
def gap(zone: str, wall: datetime) -> timedelta:
    """The size of the jump that skipped this wall time."""
    u = wall.replace(tzinfo=UTC) - REACH
    for step in (HOUR, MINUTE):  # the last hour, then the last minute, with an earlier reading
        while reading(zone, u + step) < wall:
            u += step
    return reading(zone, u + MINUTE) - reading(zone, u) - MINUTE


@cache
def exists(zone: str, day: date) -> bool:
    """Rule 4: whether this date exists in the zone."""
    midnight = datetime.combine(day, time())
    return any(instants(zone, midnight + n * MINUTE) for n in range(24 * 60))


def reading(zone: str, at: datetime) -> datetime:
    """The reading of the zone's clocks at this instant."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def _dates(participant: Participant) -> Iterator[date]:
    """The dates in order, from some days before the challenge: an earlier window may affect the first one."""
    day, last = participant.starts_at.date() - 7 * DAY, participant.ends_at.date() + 3 * DAY
    while day <= last:
        yield day
        day += DAY
