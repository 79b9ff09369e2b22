"""What windows should be: a second calculation, with zoneinfo, of what the database computes in SQL. Pure.

The rules are those of functions/README.md. A job compares the two around changes of clocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from challenges.language import DAYS
from chally.zones import ZoneInfo, first_instant, last_instant

DAY = timedelta(days=1)
NOON = time(12)

WindowMismatch = Literal["window missing", "window not expected", "window not as calculated"]


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """What a participant's windows follow. `zone`: that of the schedule; `moved`: it has changed since they joined."""

    opens: time
    closes: time
    days: Sequence[str]
    zone: str
    moved: bool
    starts_at: datetime
    ends_at: datetime
    joined_at: datetime

    @property
    def length(self) -> timedelta:
        """On the wall clock."""
        opens, closes = (timedelta(hours=each.hour, minutes=each.minute) for each in (self.opens, self.closes))
        return closes - opens + (DAY if closes <= opens else timedelta(0))


@dataclass(frozen=True, slots=True)
class Span:
    """When a window is open, and the zone that it follows."""

    opens_at: datetime
    closes_at: datetime
    zone: str


def mismatches(terms: WindowTerms, windows: Mapping[date, Span], first: date, last: date) -> dict[date, WindowMismatch]:
    """What is wrong with a participant's windows of the dates `first` to `last`, given all of them."""
    if terms.moved:
        return _mismatches_after_a_move(terms, windows)
    expected = {day: span for day, span in _expected(terms, first, last).items() if span.closes_at > terms.joined_at}
    found: dict[date, WindowMismatch] = {}
    for day in sorted(expected.keys() | windows.keys()):
        if day not in windows:
            found[day] = "window missing"
        elif day not in expected:
            found[day] = "window not expected"
        elif windows[day] != expected[day]:
            found[day] = "window not as calculated"
    return found


def _expected(terms: WindowTerms, first: date, last: date) -> dict[date, Span]:
    """The windows of these dates in one zone: rules 1 to 5."""
    found: dict[date, Span] = {}
    closed: datetime | None = None
    day = first - DAY  # its window may reach into the next date
    while day <= last:
        span = _nominal(terms, terms.zone, day)
        if span is not None:
            span = _after(terms, span, closed)
            closed = span.closes_at
            clipped = _clip(terms, span)
            if day >= first and clipped is not None:
                found[day] = clipped
        day += DAY
    return found


def _mismatches_after_a_move(terms: WindowTerms, windows: Mapping[date, Span]) -> dict[date, WindowMismatch]:
    """Rule 6 depends on when the zone changed, and from which. So each bound must have a reason of its own.

    A window opens when its own zone says, when the challenge starts, or when the window before it closes. It closes
    when its own zone says, its nominal length after it opened, when the challenge ends, or when the next one opens. If
    its zone is an earlier one, what it was fitted to can have moved since: then it must only lie where that zone says.
    """
    found: dict[date, WindowMismatch] = {}
    days = sorted(windows)
    # In schedules with gaps, zones a day apart can let the windows of two dates meet that are not neighbours.
    for day, day_before, next_day in zip(days, [None, *days], [*days[1:], None], strict=False):
        span = windows[day]
        nominal = _nominal(terms, span.zone, day)
        before = windows[day_before] if day_before else None
        next_one = windows[next_day] if next_day else None
        before_there = _nominal(terms, span.zone, day - DAY)
        opens = {terms.starts_at, *(each.closes_at for each in (before, before_there) if each is not None)}
        closes = {terms.ends_at, _close_of(terms, span.opens_at, span.zone)}
        if next_one is not None:
            closes.add(next_one.opens_at)
        if nominal is not None:
            opens.add(nominal.opens_at)
            closes.add(nominal.closes_at)
        overlaps = before is not None and before.closes_at > span.opens_at
        reasons = span.opens_at in opens and span.closes_at in closes
        if nominal is None or overlaps or not (reasons or _is_within(terms, nominal, span)):
            found[day] = "window not as calculated"
    return found


def _is_within(terms: WindowTerms, nominal: Span, span: Span) -> bool:
    """Whether a window of an earlier zone is at most what rules 1 to 5 leave of it, wherever its neighbours were."""
    if span.zone == terms.zone:
        return False
    late = span.opens_at >= nominal.closes_at
    ends_at = _close_of(terms, span.opens_at, span.zone) if late else nominal.closes_at
    return nominal.opens_at <= span.opens_at < span.closes_at <= min(ends_at, terms.ends_at)


def _nominal(terms: WindowTerms, zone: str, day: date) -> Span | None:
    """The window of this date alone (rules 1, 3 and 4); None if the schedule or the zone lacks the date."""
    info = ZoneInfo(zone)
    noon = datetime.combine(day, NOON, info).astimezone(UTC).astimezone(info)
    if DAYS[day.weekday()] not in terms.days or noon.date() != day:
        return None
    opens_at = first_instant(info, datetime.combine(day, terms.opens))
    closes_at = last_instant(info, datetime.combine(day, terms.opens) + terms.length)
    return Span(opens_at, closes_at if closes_at > opens_at else _close_of(terms, opens_at, zone), zone)


def _after(terms: WindowTerms, span: Span, closed: datetime | None) -> Span:
    """Rules 2 and 3: the window if the one before it closes then."""
    if closed is None or closed <= span.opens_at:
        return span
    return Span(closed, span.closes_at if span.closes_at > closed else _close_of(terms, closed, span.zone), span.zone)


def _close_of(terms: WindowTerms, opens_at: datetime, zone: str) -> datetime:
    """The nominal length on the wall clock after a window opens."""
    info = ZoneInfo(zone)
    return last_instant(info, opens_at.astimezone(info).replace(tzinfo=None) + terms.length)


def _clip(terms: WindowTerms, span: Span) -> Span | None:
    """Rule 5: the part in the challenge's period."""
    opens_at, closes_at = max(span.opens_at, terms.starts_at), min(span.closes_at, terms.ends_at)
    return Span(opens_at, closes_at, span.zone) if opens_at < closes_at else None
