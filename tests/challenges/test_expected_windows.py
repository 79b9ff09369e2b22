"""The nightly job's calculation of windows, held to the oracle: it reports what is wrong, and nothing that is right."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given

from challenges.expected_windows import Span, WindowMismatch, WindowTerms, mismatches
from tests.support import window_oracle, zone_clocks
from tests.support.window_oracle import Participant, Schedule
from tests.support.window_strategies import NASTY, Travel, fast, travels

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def terms(participant: Participant, *, moved: bool = False) -> WindowTerms:
    schedule = participant.schedule
    return WindowTerms(
        opens=time.fromisoformat(schedule.opens),
        closes=time.fromisoformat(schedule.closes),
        days=schedule.days,
        zone=participant.zone if schedule.scope == "participant_local" else participant.challenge_zone,
        moved=moved,
        starts_at=participant.starts_at,
        ends_at=participant.ends_at,
        joined_at=participant.joined_at,
    )


def spans(windows: dict[date, window_oracle.Window]) -> dict[date, Span]:
    return {day: Span(window.opens_at, window.closes_at, window.zone) for day, window in windows.items()}


def found(participant: Participant, windows: dict[date, Span], *, moved: bool = False) -> dict[date, WindowMismatch]:
    first, last = participant.starts_at.date() - 3 * DAY, participant.ends_at.date() + 3 * DAY
    return mismatches(terms(participant, moved=moved), windows, first, last)


@pytest.mark.long
def test_right_windows_are_found_right_around_every_clock_change_of_every_zone() -> None:
    wrong = []
    for zone in zone_clocks.unlike():
        for change in zone_clocks.transitions(zone):
            for opens, closes in NASTY:
                starts_at, ends_at = change - 4 * DAY, change + 4 * DAY
                person = Participant(Schedule(opens, closes), starts_at, ends_at, starts_at, zone)
                right = spans(window_oracle.at_joining(person, zone))
                wrong += [(zone, opens, closes, *each) for each in found(person, right).items()]
    assert not wrong, f"{len(wrong)}: {wrong[:10]}"


@fast
@given(travel=travels())
def test_right_windows_of_travellers_are_found_right(travel: Travel) -> None:
    participant, events = travel
    local = participant.schedule.scope == "participant_local"
    windows = window_oracle.at_joining(participant, participant.zone if local else participant.challenge_zone)
    assert not found(participant, spans(windows)), participant
    for now, zone in events:
        if zone is not None and local and now < participant.ends_at:
            windows = window_oracle.moved(participant, windows, now, zone)
            there = replace(participant, zone=zone)
            assert not found(there, spans(windows), moved=True), (participant, now, zone)


def test_a_window_that_was_fitted_to_one_moved_since_is_right() -> None:
    """It opens when the one before it closed in Cairo, which closes earlier in Jerusalem now."""
    starts_at = datetime(2020, 3, 25, 14, tzinfo=UTC)
    ends_at = datetime(2020, 3, 28, 10, 31, tzinfo=UTC)
    person = Participant(Schedule("00:00", "12:30"), starts_at, ends_at, starts_at, "NZ-CHAT")
    windows = window_oracle.at_joining(person, person.zone)
    for zone in ("Africa/Cairo", "Asia/Jerusalem"):
        windows = window_oracle.moved(person, windows, starts_at, zone)
    assert windows[date(2020, 3, 29)].zone == "NZ-CHAT"
    assert not found(replace(person, zone="Asia/Jerusalem"), spans(windows), moved=True)


CHANGE = datetime(2027, 3, 28, 1, tzinfo=UTC)
SUNDAY = date(2027, 3, 28)
BERLIN = Participant(Schedule("05:00", "08:00"), CHANGE - 4 * DAY, CHANGE + 4 * DAY, CHANGE - 4 * DAY, "Europe/Berlin")


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize(
    "damage",
    [
        lambda span: replace(span, opens_at=span.opens_at + HOUR, closes_at=span.closes_at + HOUR),
        lambda span: replace(span, opens_at=span.opens_at - HOUR, closes_at=span.closes_at - HOUR),
        lambda span: replace(span, opens_at=span.opens_at + HOUR),
        lambda span: replace(span, closes_at=span.closes_at - HOUR),
        lambda span: replace(span, closes_at=span.opens_at + 2 * HOUR),
        lambda span: replace(span, zone="Europe/Istanbul"),
    ],
)
def test_a_window_that_is_an_hour_off_is_found(damage: object, moved: bool) -> None:
    assert callable(damage)
    windows = spans(window_oracle.at_joining(BERLIN, BERLIN.zone))
    windows[SUNDAY] = damage(windows[SUNDAY])
    assert found(BERLIN, windows, moved=moved) == {SUNDAY: "window not as calculated"}


def test_a_missing_window_and_one_too_many_are_found() -> None:
    windows = spans(window_oracle.at_joining(BERLIN, BERLIN.zone))
    missing = windows.pop(SUNDAY)
    assert found(BERLIN, windows) == {SUNDAY: "window missing"}
    weekdays = replace(BERLIN, schedule=replace(BERLIN.schedule, days=("mon", "tue", "wed", "thu", "fri", "sat")))
    assert found(weekdays, windows | {SUNDAY: missing}) == {SUNDAY: "window not expected"}
    late = replace(BERLIN, joined_at=missing.closes_at)
    assert found(late, {day: span for day, span in windows.items() if day > SUNDAY}) == {}
    assert found(late, {day: span for day, span in (windows | {SUNDAY: missing}).items() if day >= SUNDAY}) == {
        SUNDAY: "window not expected"
    }
