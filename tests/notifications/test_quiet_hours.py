"""Due instants with quiet hours: the database, the Python calculation, and a third by stepping through time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import cycle

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.rules import QuietSchedule, ReminderWindow, due_instant
from tests.support import window_oracle, zone_clocks
from tests.support.database import Database

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NASTY = [("22:00", "07:00"), ("01:30", "02:30"), ("02:30", "01:30"), ("02:15", "02:00"), ("00:00", "23:59")]


@dataclass(frozen=True)
class Case:
    """A window, quiet hours, and the instant of planning."""

    opens_at: datetime
    closes_at: datetime
    before_close: timedelta
    zone: str
    begins: str
    ends: str
    planned_at: datetime

    @property
    def window(self) -> ReminderWindow:
        return ReminderWindow(self.opens_at, self.closes_at, self.before_close)

    @property
    def quiet(self) -> QuietSchedule:
        return QuietSchedule(self.zone, time.fromisoformat(self.begins), time.fromisoformat(self.ends))


Ask = Callable[[Sequence[Case]], list[datetime | None]]


@pytest.fixture
def ask(database: Database) -> Iterator[Ask]:
    """The database's calculation."""
    with psycopg.connect(database.url, autocommit=True) as connection:

        def said(cases: Sequence[Case]) -> list[datetime | None]:
            rows = connection.execute(
                "select notifications.due_instant(nominal, opens, closes, zone, quiet_from, quiet_to, at) from unnest("
                " %(nominal)s::timestamptz[], %(opens)s::timestamptz[], %(closes)s::timestamptz[], %(zone)s::text[],"
                " %(quiet_from)s::time[], %(quiet_to)s::time[], %(at)s::timestamptz[])"
                " with ordinality as x (nominal, opens, closes, zone, quiet_from, quiet_to, at, n) order by n",
                {
                    "nominal": [case.window.nominal for case in cases],
                    "opens": [case.opens_at for case in cases],
                    "closes": [case.closes_at for case in cases],
                    "zone": [case.zone for case in cases],
                    "quiet_from": [case.begins for case in cases],
                    "quiet_to": [case.ends for case in cases],
                    "at": [case.planned_at for case in cases],
                },
            ).fetchall()
            return [instant for (instant,) in rows]

        yield said


def walked(case: Case) -> datetime | None:
    """The contract, using only wall clocks: step forward and back from the instant while it is quiet."""
    if case.closes_at <= case.planned_at:
        return None
    at = max(case.window.nominal, case.planned_at)
    spans = []
    for days in range(-3, 4):
        day = window_oracle.reading(case.zone, at).date() + days * DAY
        until = day if case.begins < case.ends else day + DAY
        begins = window_oracle.instant(case.zone, datetime.combine(day, time.fromisoformat(case.begins)), "first")
        ends = window_oracle.instant(case.zone, datetime.combine(until, time.fromisoformat(case.ends)), "last")
        spans.append((begins, ends))

    begins = ends = at
    while after := [span[1] for span in spans if span[0] <= ends < span[1]]:
        ends = max(after)
    while before := [span[0] for span in spans if span[0] < begins <= span[1]]:
        begins = min(before)
    if ends == at:  # not quiet, even if quiet hours end at this instant
        return at
    if ends + 5 * MINUTE <= case.closes_at:
        return ends
    return begins if begins >= case.opens_at and begins >= case.planned_at else None


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00Z")


@pytest.mark.parametrize(
    ("window", "before", "hours", "planned", "expected"),
    [
        # not quiet
        ("2026-06-03T05:00 2026-06-03T08:00", 60, "22:00-07:00", "2026-06-01T00:00", "2026-06-03T07:00"),
        # quiet: at their end if five minutes of the window are left, not if four are
        ("2026-06-03T05:00 2026-06-03T07:05", 60, "22:00-07:00", "2026-06-01T00:00", "2026-06-03T07:00"),
        ("2026-06-03T05:00 2026-06-03T07:04", 60, "22:00-07:00", "2026-06-01T00:00", None),
        # at their beginning, the evening before, if the window is open then
        ("2026-06-02T20:00 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-01T00:00", "2026-06-02T22:00"),
        ("2026-06-02T22:00 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-01T00:00", "2026-06-02T22:00"),
        ("2026-06-02T22:01 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-01T00:00", None),
        # quiet hours within a day
        ("2026-06-03T09:00 2026-06-03T18:00", 300, "12:00-14:00", "2026-06-01T00:00", "2026-06-03T14:00"),
        ("2026-06-03T09:00 2026-06-03T14:00", 60, "12:00-14:00", "2026-06-01T00:00", "2026-06-03T12:00"),
        # planned late: due at once, or never if quiet hours have begun
        ("2026-06-02T20:00 2026-06-03T00:00", 60, "none", "2026-06-02T23:30", "2026-06-02T23:30"),
        ("2026-06-02T20:00 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-02T23:30", None),
        ("2026-06-02T20:00 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-02T22:01", None),
        ("2026-06-02T20:00 2026-06-03T00:00", 60, "22:00-07:00", "2026-06-03T00:00", None),
    ],
)
def test_the_due_instant_follows_the_contract(
    database: Database, window: str, before: int, hours: str, planned: str, expected: str | None
) -> None:
    opens_at, closes_at = (utc(instant) for instant in window.split())
    begins, ends = hours.split("-") if hours != "none" else (None, None)
    [(said,)] = database.execute(
        "select notifications.due_instant("
        " greatest(%(opens)s, %(closes)s - make_interval(mins => %(before)s)), %(opens)s,"
        " %(closes)s, 'UTC', %(begins)s::time, %(ends)s::time, %(at)s)",
        opens=opens_at,
        closes=closes_at,
        before=before,
        begins=begins,
        ends=ends,
        at=utc(planned),
    )
    assert said == (utc(expected) if expected else None)
    quiet = QuietSchedule("UTC", time.fromisoformat(begins), time.fromisoformat(ends)) if begins and ends else None
    assert due_instant(ReminderWindow(opens_at, closes_at, before * MINUTE), quiet, utc(planned)) == said


def test_quiet_hours_follow_changes_of_the_clocks(ask: Ask) -> None:
    """Clocks in New York go forward at 2:00 on 8 March 2026, and back at 2:00 on 1 November."""
    long = {"before_close": 10 * HOUR, "zone": "America/New_York", "planned_at": utc("2026-01-01T00:00")}
    spring = {"opens_at": utc("2026-03-08T05:30"), "closes_at": utc("2026-03-08T15:30")}  # due at 0:30
    autumn = {"opens_at": utc("2026-11-01T04:30"), "closes_at": utc("2026-11-01T14:30")}  # due at 0:30
    cases = [
        Case(begins="22:00", ends="02:30", **spring, **long),  # type: ignore[arg-type]
        Case(begins="22:00", ends="01:30", **autumn, **long),  # type: ignore[arg-type]
        # these end at the second 1:30, and the next ones have begun at the first 1:45: quiet until the next day
        Case(begins="01:45", ends="01:30", **autumn, **long),  # type: ignore[arg-type]
    ]
    assert ask(cases) == [utc("2026-03-08T07:30"), utc("2026-11-01T06:30"), None]


def test_database_and_python_agree_around_every_clock_change_of_every_zone(ask: Ask) -> None:
    hours = cycle(NASTY)
    lengths = cycle([10 * MINUTE, HOUR, 7 * HOUR, DAY])
    cases = []
    for zone in zone_clocks.unlike():
        for change in zone_clocks.transitions(zone) or [utc("2027-06-15T00:00")]:
            for away in (-DAY, -3 * HOUR, -HOUR, -30 * MINUTE, timedelta(), 30 * MINUTE, HOUR, DAY):
                begins, ends = next(hours)
                length, nominal = next(lengths), change + away
                cases.append(Case(nominal - length, nominal + length, length, zone, begins, ends, nominal - DAY))
    said = ask(cases)
    wrong = [
        f"{case}: {instant}, not {due_instant(case.window, case.quiet, case.planned_at)}"
        for case, instant in zip(cases, said, strict=True)
        if instant != due_instant(case.window, case.quiet, case.planned_at)
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}: " + "; ".join(wrong[:10])
    moved = [instant for case, instant in zip(cases, said, strict=True) if instant != case.window.nominal]
    assert len(moved) > 1_000
    assert None in moved


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Half of them near a clock change, mostly at a quarter of an hour."""
    zone = draw(
        st.sampled_from([z for z in zone_clocks.unlike() if zone_clocks.transitions(z)])
        | st.sampled_from(zone_clocks.names())
    )
    quarters = st.integers(0, 95).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
    hours = st.tuples(quarters, quarters).filter(lambda pair: pair[0] != pair[1]) | st.sampled_from(NASTY)
    begins, ends = draw(hours)
    near = st.sampled_from(zone_clocks.transitions(zone)) if zone_clocks.transitions(zone) else st.nothing()
    some = st.integers(0, 15 * 365 * 24).map(lambda hour: zone_clocks.FIRST + 10 * DAY + hour * HOUR)
    middle = draw(near | some)
    opens_at = middle + draw(st.integers(-200, 200)) * 15 * MINUTE
    closes_at = opens_at + draw(st.integers(1, 26 * 60)) * MINUTE
    planned_at = draw(st.just(opens_at - 2 * DAY) | st.integers(-60, 1800).map(lambda n: opens_at + n * MINUTE))
    return Case(opens_at, closes_at, draw(st.integers(1, 1440)) * MINUTE, zone, begins, ends, planned_at)


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(some=st.lists(cases(), min_size=1, max_size=5))
def test_all_calculations_agree_for_any_hours_window_and_zone(ask: Ask, some: list[Case]) -> None:
    calculated = [due_instant(case.window, case.quiet, case.planned_at) for case in some]
    assert ask(some) == calculated
    assert [walked(case) for case in some] == calculated
    for case, instant in zip(some, calculated, strict=True):
        assert instant is None or case.opens_at <= instant < case.closes_at or instant == case.planned_at


def test_quiet_hours_are_read_in_their_own_zone() -> None:
    tokyo = QuietSchedule("Asia/Tokyo", time(22), time(7))
    assert tokyo.span_around(datetime(2026, 6, 3, 12, 59, tzinfo=UTC)) is None
    assert tokyo.span_around(datetime(2026, 6, 3, 13, tzinfo=UTC)) == (utc("2026-06-03T13:00"), utc("2026-06-03T22:00"))
    assert tokyo.span_around(datetime(2026, 6, 3, 22, tzinfo=UTC)) is None
