"""The windows that Postgres computes, compared with the oracle's."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from challenges import windows, zone_change
from chally import db
from tests.support import enrolment, window_oracle, zone_clocks
from tests.support.concurrency import acting, connect
from tests.support.database import Database
from tests.support.window_oracle import Participant, Schedule
from tests.support.window_strategies import (
    DAY_EAST,
    LONG_NIGHT,
    NASTY,
    NO_ROOM,
    THERE_AND_BACK,
    Travel,
    all_of,
    between,
    differences,
    fast,
    instants,
    participants,
    travels,
)

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Club:
    """A database with one user, and a way to insert participants."""

    connection: psycopg.Connection[object]
    own: psycopg.Connection[object]  # as the role of the API
    user: UUID

    def take_part(self, *participants: Participant) -> list[UUID]:
        return enrolment.take_part(self.connection, self.user, participants)


@pytest.fixture
def club(database: Database) -> Iterator[Club]:
    with psycopg.connect(database.url, autocommit=True) as connection, connect(database) as own:
        yield Club(connection, own, enrolment.anna(database))


@pytest.mark.long
def test_windows_match_the_oracle_around_every_clock_change_of_every_zone(club: Club) -> None:
    """Three dates before and after each change from 2020 to 2035."""
    people = [
        Participant(
            Schedule(opens, closes),
            zone_clocks.FIRST - 30 * DAY,
            zone_clocks.END + 30 * DAY,
            zone_clocks.FIRST - 30 * DAY,
            z,
        )
        for z in zone_clocks.unlike()
        for opens, closes in NASTY
    ]
    wrong: list[str] = []
    asked = 0
    with db.as_system("test", read_only=True) as tx:
        for id_, person in zip(club.take_part(*people), people, strict=True):
            for change in zone_clocks.transitions(person.zone) or [datetime(2027, 6, 15, tzinfo=UTC)]:
                first, last = change.date() - 3 * DAY, change.date() + 3 * DAY
                near = replace(person, starts_at=change - 6 * DAY, ends_at=change + 6 * DAY)
                right = {day: window for day, window in window_oracle.windows(near).items() if first <= day <= last}
                assert len(right) >= 6
                ours = between(tx, id_, first, last, change)
                asked += len(right)
                wrong += [
                    f"{person.zone} {person.schedule.opens}-{person.schedule.closes} {difference}"
                    for difference in differences(ours, right)
                ]
    assert not wrong, f"{len(wrong)} of {asked}: " + "; ".join(wrong[:20])
    assert len(zone_clocks.unlike()) > 60
    assert asked > 50_000


# Random examples


@fast
@given(data=st.data(), participant=participants())
def test_windows_match_the_oracle_for_random_rules(club: Club, data: st.DataObject, participant: Participant) -> None:
    """At a random instant."""
    now = data.draw(instants(participant.joined_at, participant.ends_at + 3 * DAY), label="now")
    [id_] = club.take_part(participant)
    assert not differences(all_of(id_, participant, now), window_oracle.windows(participant)), participant


@pytest.mark.long
@fast
@example(travel=DAY_EAST)
@example(travel=LONG_NIGHT)
@example(travel=THERE_AND_BACK)
@example(travel=NO_ROOM)
@given(travel=travels())
def test_windows_of_random_travels_match_the_oracle(club: Club, travel: Travel) -> None:
    """No date is gained or lost, windows do not overlap, and windows that had opened stay."""
    participant, events = travel
    [id_] = club.take_part(participant)
    before = dates = window_oracle.windows(participant)
    for now, zone in events:
        if zone is None:
            with db.as_system("test") as tx:
                windows.precompute_batch(tx, UUID(int=id_.int - 1), 1, now)
        else:
            with acting(club.own, club.user) as tx:
                zone_change.move_participant(tx, id_, zone, now)
            participant = replace(participant, moves=(*participant.moves, (now, zone)))
        found = all_of(id_, participant, now)
        context = f"{zone or 'the job'} at {now}, {participant}"
        assert sorted(found) == sorted(dates), f"{context}: the dates changed"
        spans = [found[day] for day in sorted(found)]
        assert all(opening < closing for opening, closing in spans), context
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans)), f"{context}: they overlap"
        opened = {day: window for day, window in before.items() if window[0] <= now}
        assert {day: found[day] for day in opened} == opened, f"{context}: a window that had opened moved"
        assert not differences(found, window_oracle.windows(participant)), context
        before = found
