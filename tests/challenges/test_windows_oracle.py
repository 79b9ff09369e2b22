"""The windows of the real implementation against the oracle's."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from challenges import windows
from chally import db
from tests.challenges import arrange, clocks, oracle
from tests.challenges.oracle import WEEKDAYS, Participant, Schedule
from tests.conftest import Database

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


@dataclass(frozen=True)
class Club:
    """A database with one user, and a way to put participants into it."""

    connection: psycopg.Connection[object]
    user: UUID

    def take_part(self, *participants: Participant) -> list[UUID]:
        return arrange.take_part(self.connection, self.user, participants)


@pytest.fixture
def club(database: Database) -> Iterator[Club]:
    """The oracle reads the zones of the package tzdata, as the functions do; Postgres is on trial with its own."""
    with psycopg.connect(database.url, autocommit=True) as connection, clocks.of(None):
        yield Club(connection, arrange.anna(database))


def between(tx: db.Tx, participant: UUID, first: date, last: date, now: datetime) -> oracle.Windows:
    return {w.local_date: (w.opens_at, w.closes_at) for w in windows.between(tx, participant, first, last, now)}


def all_of(id_: UUID, participant: Participant, now: datetime) -> oracle.Windows:
    first, last = participant.starts_at.date() - 5 * DAY, participant.ends_at.date() + 5 * DAY
    with db.as_system("test", read_only=True) as tx:
        return between(tx, id_, first, last, now)


def differences(ours: oracle.Windows, right: oracle.Windows) -> list[str]:
    def told(window: tuple[datetime, datetime] | None) -> str:
        return f"{window[0]:%d %H:%M:%S}-{window[1]:%d %H:%M:%S}Z" if window else "none"

    return [
        f"{day}: ours {told(ours.get(day))}, the oracle's {told(right.get(day))}"
        for day in sorted(ours.keys() | right.keys())
        if ours.get(day) != right.get(day)
    ]


def test_every_zone_around_every_change_of_its_clocks(club: Club) -> None:
    """Three dates before and after, from 2020 to 2035."""
    people = [
        Participant(Schedule(opens, closes), clocks.FIRST - 30 * DAY, clocks.END + 30 * DAY, clocks.FIRST - 30 * DAY, z)
        for z in clocks.unlike()
        for opens, closes in NASTY
    ]
    wrong: list[str] = []
    asked = 0
    with db.as_system("test", read_only=True) as tx:
        for id_, person in zip(club.take_part(*people), people, strict=True):
            for change in clocks.transitions(person.zone) or [datetime(2027, 6, 15, tzinfo=UTC)]:
                first, last = change.date() - 3 * DAY, change.date() + 3 * DAY
                near = replace(person, starts_at=change - 6 * DAY, ends_at=change + 6 * DAY)
                right = {day: window for day, window in oracle.windows(near).items() if first <= day <= last}
                assert len(right) >= 6
                ours = between(tx, id_, first, last, change)
                asked += len(right)
                wrong += [
                    f"{person.zone} {person.schedule.opens}-{person.schedule.closes} {difference}"
                    for difference in differences(ours, right)
                ]
    assert not wrong, f"{len(wrong)} of {asked}: " + "; ".join(wrong[:20])
    assert len(clocks.unlike()) > 60
    assert asked > 50_000


# What Hypothesis makes


@st.composite
def instants(draw: st.DrawFn, first: datetime, last: datetime) -> datetime:
    """To the quarter of an hour mostly, where windows begin and end; to the second as well."""
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
    """As likely one whose clocks change as one of all."""
    return st.deferred(
        lambda: (
            st.sampled_from([name for name in clocks.unlike() if clocks.transitions(name)])
            | st.sampled_from(clocks.names())
        )
    )


@st.composite
def participants(draw: st.DrawFn, *, scope: bool = True) -> Participant:
    """A challenge of minutes to weeks, as likely around a change of the participant's clocks as anywhere."""
    theirs, challenge_zone = draw(zone()), draw(zone())
    schedule = draw(schedules(scope=scope))
    changes = clocks.transitions(theirs if schedule.scope == "participant_local" else challenge_zone)
    near = st.sampled_from(changes) if changes else st.nothing()
    middle = draw(instants(clocks.FIRST, clocks.END) | near)
    starts = draw(instants(middle - 10 * DAY, middle + DAY))
    ends = draw(instants(starts + timedelta(minutes=1), starts + 15 * DAY))
    joined = draw(st.just(starts) | instants(starts - 5 * DAY, ends))
    return Participant(schedule, starts, ends, joined, theirs, challenge_zone)


fast = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fast
@given(data=st.data(), participant=participants())
def test_any_rules_any_challenge_any_zone(club: Club, data: st.DataObject, participant: Participant) -> None:
    """And whenever one asks."""
    now = data.draw(instants(participant.joined_at, participant.ends_at + 3 * DAY), label="now")
    [id_] = club.take_part(participant)
    assert not differences(all_of(id_, participant, now), oracle.windows(participant)), participant


type Travel = tuple[Participant, list[tuple[datetime, str | None]]]
"""A participant, and what happens: a move to a zone, or (None) the job that stores windows."""


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
# where the last date, which cannot follow, leaves the one before it a quarter of an hour in the new zone
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


@fast
@example(travel=DAY_EAST)
@example(travel=LONG_NIGHT)
@example(travel=THERE_AND_BACK)
@example(travel=NO_ROOM)
@given(travel=travels())
def test_travellers(club: Club, travel: Travel) -> None:
    """No date is won or lost, no two windows overlap, what had opened stays, and all is as the oracle says."""
    participant, events = travel
    [id_] = club.take_part(participant)
    before = dates = oracle.windows(participant)
    for now, zone in events:
        with db.as_system("test") as tx:
            if zone is None:
                windows.precompute_batch(tx, UUID(int=id_.int - 1), 1, now)
            else:
                windows.move(tx, id_, zone, now)
                participant = replace(participant, moves=(*participant.moves, (now, zone)))
        found = all_of(id_, participant, now)
        told = f"{zone or 'the job'} at {now}, {participant}"
        assert sorted(found) == sorted(dates), f"{told}: the dates of joining"
        spans = [found[day] for day in sorted(found)]
        assert all(opening < closing for opening, closing in spans), told
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans)), f"{told}: they overlap"
        opened = {day: window for day, window in before.items() if window[0] <= now}
        assert {day: found[day] for day in opened} == opened, f"{told}: what had opened"
        assert not differences(found, oracle.windows(participant)), told
        before = found
