"""Participants and journeys that Hypothesis draws, and their windows as the real implementation stores them."""

from datetime import date, datetime, timedelta
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from challenges import windows
from chally import db
from tests.support import window_oracle, zone_clocks
from tests.support.window_oracle import WEEKDAYS, Participant, Schedule

DAY = timedelta(days=1)

NASTY = [
    ("00:00", "00:00"),
    ("01:30", "02:30"),
    ("02:15", "02:45"),
    ("02:30", "02:30"),
    ("23:30", "00:30"),
    ("22:00", "06:00"),
    ("00:00", "00:15"),
    ("03:00", "02:00"),
]


def between(tx: db.Tx, participant: UUID, first: date, last: date, now: datetime) -> window_oracle.Windows:
    return {w.local_date: (w.opens_at, w.closes_at) for w in windows.between(tx, participant, first, last, now)}


def all_of(id_: UUID, participant: Participant, now: datetime) -> window_oracle.Windows:
    first, last = participant.starts_at.date() - 5 * DAY, participant.ends_at.date() + 5 * DAY
    with db.as_system("test", read_only=True) as tx:
        return between(tx, id_, first, last, now)


def differences(ours: window_oracle.Windows, right: window_oracle.Windows) -> list[str]:
    def told(window: tuple[datetime, datetime] | None) -> str:
        return f"{window[0]:%d %H:%M:%S}-{window[1]:%d %H:%M:%S}Z" if window else "none"

    return [
        f"{day}: ours {told(ours.get(day))}, the oracle's {told(right.get(day))}"
        for day in sorted(ours.keys() | right.keys())
        if ours.get(day) != right.get(day)
    ]


@st.composite
def instants(draw: st.DrawFn, first: datetime, last: datetime) -> datetime:
    """Mostly full quarter-hours, where windows open and close; sometimes any second."""
    seconds = int((last - first).total_seconds())
    quarters = st.integers(0, seconds // 900).map(lambda n: n * 900)
    return first + timedelta(seconds=draw(quarters | st.integers(0, seconds)))


def walls() -> st.SearchStrategy[str]:
    quarters = st.integers(0, 24 * 4 - 1).map(lambda n: f"{n // 4:02}:{n % 4 * 15:02}")
    minutes = st.integers(0, 24 * 60 - 1).map(lambda n: f"{n // 60:02}:{n % 60:02}")
    return quarters | minutes


@st.composite
def schedules(draw: st.DrawFn, *, scope: bool = True) -> Schedule:
    opens, closes = draw(st.tuples(walls(), walls()) | st.sampled_from(NASTY) | walls().map(lambda wall: (wall, wall)))
    some = st.sets(st.sampled_from(WEEKDAYS), min_size=1).map(lambda days: tuple(d for d in WEEKDAYS if d in days))
    days = draw(st.just(WEEKDAYS) | some)
    clock = draw(st.sampled_from(["participant_local", "participant_local", "challenge_tz"])) if scope else None
    return Schedule(opens, closes, days, clock or "participant_local")  # type: ignore[arg-type]


def zone() -> st.SearchStrategy[str]:
    """With equal chance a zone whose clocks change, or any zone."""
    return st.deferred(
        lambda: (
            st.sampled_from([name for name in zone_clocks.unlike() if zone_clocks.transitions(name)])
            | st.sampled_from(zone_clocks.names())
        )
    )


@st.composite
def participants(draw: st.DrawFn, *, scope: bool = True) -> Participant:
    """A challenge of minutes to weeks, with equal chance around a change of the participant's clocks or anywhere."""
    theirs, challenge_zone = draw(zone()), draw(zone())
    schedule = draw(schedules(scope=scope))
    changes = zone_clocks.transitions(theirs if schedule.scope == "participant_local" else challenge_zone)
    near = st.sampled_from(changes) if changes else st.nothing()
    middle = draw(instants(zone_clocks.FIRST, zone_clocks.END) | near)
    starts = draw(instants(middle - 10 * DAY, middle + DAY))
    ends = draw(instants(starts + timedelta(minutes=1), starts + 15 * DAY))
    joined = draw(st.just(starts) | instants(starts - 5 * DAY, ends))
    return Participant(schedule, starts, ends, joined, theirs, challenge_zone)


fast = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


type Travel = tuple[Participant, list[tuple[datetime, str | None]]]
"""A participant and events: a move to a zone, or None for the job that stores windows."""


def travel(zone: str, hours: str, starts: str, ends: str, *events: tuple[str, str | None]) -> Travel:
    opens, closes = hours.split("-")
    first, last = (datetime.fromisoformat(f"{at}:00Z") for at in (starts, ends))
    there = Participant(Schedule(opens, closes), first, last, first, zone)
    return there, [(datetime.fromisoformat(f"{at}:00Z"), to) for at, to in events]


DAY_EAST = travel(
    *("Pacific/Honolulu", "05:00-08:00", "2026-06-01T00:00", "2026-06-20T00:00"),
    *(("2026-06-09T12:00", None), ("2026-06-09T16:00", "Pacific/Kiritimati")),
)


LONG_NIGHT = travel(
    *("Pacific/Pago_Pago", "01:00-02:00", "2026-03-26T00:00", "2026-04-15T00:00"),
    ("2026-04-04T00:00", "Pacific/Chatham"),
)


THERE_AND_BACK = travel(
    *("Pacific/Kiritimati", "00:00-00:00", "2026-06-01T00:00", "2026-06-20T00:00"),
    *(("2026-06-09T16:00", "Pacific/Honolulu"), ("2026-06-10T16:00", "Pacific/Kiritimati")),
)


# The last date cannot follow, and leaves the one before it 15 minutes in the new zone.
NO_ROOM = travel(
    *("Pacific/Chatham", "13:30-06:00", "2021-03-30T19:30", "2021-04-02T04:00"),
    ("2021-03-31T17:00", "Pacific/Honolulu"),
)


@st.composite
def travels(draw: st.DrawFn) -> Travel:
    participant = draw(participants(scope=draw(st.integers(0, 5)) == 0))
    last = participant.ends_at + DAY
    far = st.sampled_from(["Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Honolulu", "Europe/Berlin"])
    events = st.lists(
        st.tuples(instants(participant.joined_at, last), st.none() | zone() | far), min_size=1, max_size=6
    )
    return participant, sorted(draw(events), key=lambda event: event[0])
