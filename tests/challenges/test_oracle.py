"""The oracle of windows, checked against windows worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from chally.zones import ZoneInfo
from tests.support import window_oracle
from tests.support.window_oracle import Participant, Schedule


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def part(zone: str, hours: str, around: str, **changes: object) -> Participant:
    """A participant with a daily window "HH:MM-HH:MM", in a challenge from ten days before a date to ten days after."""
    middle = utc(around)
    opens, closes = hours.split("-")
    starts = middle - timedelta(days=10)
    made = Participant(Schedule(opens, closes), starts, middle + timedelta(days=10), starts, zone)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("zone", "hours", "day", "opens", "closes"),
    [
        # a day without a clock change
        ("America/New_York", "05:00-08:00", "2026-06-01", "2026-06-01 09:00", "2026-06-01 12:00"),
        ("Asia/Kolkata", "22:00-06:00", "2026-06-01", "2026-06-01 16:30", "2026-06-02 00:30"),
        ("Asia/Kathmandu", "00:00-00:00", "2026-06-01", "2026-05-31 18:15", "2026-06-01 18:15"),
        # New York, spring: 02:00 becomes 03:00 at 07:00 UTC
        ("America/New_York", "01:30-02:30", "2026-03-08", "2026-03-08 06:30", "2026-03-08 07:30"),
        ("America/New_York", "02:15-02:45", "2026-03-08", "2026-03-08 07:15", "2026-03-08 07:45"),
        ("America/New_York", "02:30-03:00", "2026-03-08", "2026-03-08 07:30", "2026-03-08 08:00"),
        ("America/New_York", "02:30-03:30", "2026-03-08", "2026-03-08 07:30", "2026-03-08 08:30"),
        ("America/New_York", "02:30-03:45", "2026-03-08", "2026-03-08 07:30", "2026-03-08 07:45"),
        ("America/New_York", "02:30-02:30", "2026-03-07", "2026-03-07 07:30", "2026-03-08 07:30"),
        ("America/New_York", "02:30-02:30", "2026-03-08", "2026-03-08 07:30", "2026-03-09 06:30"),
        # New York, autumn: 02:00 becomes 01:00 at 06:00 UTC
        ("America/New_York", "01:30-02:30", "2026-11-01", "2026-11-01 05:30", "2026-11-01 07:30"),
        ("America/New_York", "00:30-01:30", "2026-11-01", "2026-11-01 04:30", "2026-11-01 06:30"),
        ("America/New_York", "01:15-01:45", "2026-11-01", "2026-11-01 05:15", "2026-11-01 06:45"),
        ("America/New_York", "01:30-01:30", "2026-10-31", "2026-10-31 05:30", "2026-11-01 06:30"),
        ("America/New_York", "01:30-01:30", "2026-11-01", "2026-11-01 06:30", "2026-11-02 06:30"),
        ("America/New_York", "00:00-00:00", "2026-11-01", "2026-11-01 04:00", "2026-11-02 05:00"),
        # Berlin: 02:00 becomes 03:00, and 03:00 becomes 02:00, at 01:00 UTC
        ("Europe/Berlin", "02:15-02:45", "2026-03-29", "2026-03-29 01:15", "2026-03-29 01:45"),
        ("Europe/Berlin", "22:00-06:00", "2026-03-28", "2026-03-28 21:00", "2026-03-29 04:00"),
        ("Europe/Berlin", "23:30-00:30", "2026-03-28", "2026-03-28 22:30", "2026-03-28 23:30"),
        ("Europe/Berlin", "01:30-02:30", "2026-10-25", "2026-10-24 23:30", "2026-10-25 01:30"),
        ("Europe/Berlin", "03:00-02:00", "2026-10-24", "2026-10-24 01:00", "2026-10-25 01:00"),
        ("Europe/Berlin", "03:00-02:00", "2026-10-25", "2026-10-25 02:00", "2026-10-26 01:00"),
        ("Europe/Berlin", "02:30-02:00", "2026-10-24", "2026-10-24 00:30", "2026-10-25 01:00"),
        ("Europe/Berlin", "02:30-02:00", "2026-10-25", "2026-10-25 01:00", "2026-10-26 01:00"),
        # Lord Howe changes by half an hour: 02:00 becomes 01:30 at 15:00 UTC, and 02:30 at 15:30 UTC, of the day before
        ("Australia/Lord_Howe", "01:45-02:15", "2026-04-05", "2026-04-04 14:45", "2026-04-04 15:45"),
        ("Australia/Lord_Howe", "01:30-01:45", "2026-04-05", "2026-04-04 14:30", "2026-04-04 15:15"),
        ("Australia/Lord_Howe", "01:30-02:15", "2026-10-04", "2026-10-03 15:00", "2026-10-03 15:45"),
        ("Australia/Lord_Howe", "02:15-02:45", "2026-10-04", "2026-10-03 15:45", "2026-10-03 16:15"),
        # Cairo: no midnight on 25 April; the last hour of 30 October occurs twice
        ("Africa/Cairo", "00:00-00:15", "2025-04-25", "2025-04-24 22:00", "2025-04-24 22:15"),
        ("Africa/Cairo", "00:30-01:00", "2025-04-25", "2025-04-24 22:30", "2025-04-24 23:00"),
        ("Africa/Cairo", "23:30-00:30", "2025-04-24", "2025-04-24 21:30", "2025-04-24 22:30"),
        ("Africa/Cairo", "00:00-00:00", "2025-04-24", "2025-04-23 22:00", "2025-04-24 22:00"),
        ("Africa/Cairo", "00:00-00:00", "2025-04-25", "2025-04-24 22:00", "2025-04-25 21:00"),
        ("Africa/Cairo", "23:30-00:30", "2025-10-30", "2025-10-30 20:30", "2025-10-30 22:30"),
        # Santiago: no midnight either
        ("America/Santiago", "00:00-00:15", "2026-09-06", "2026-09-06 04:00", "2026-09-06 04:15"),
        ("America/Santiago", "00:00-00:00", "2026-09-05", "2026-09-05 04:00", "2026-09-06 04:00"),
        ("America/Santiago", "23:30-00:30", "2026-04-04", "2026-04-05 02:30", "2026-04-05 04:30"),
        ("America/Santiago", "00:00-00:00", "2026-04-04", "2026-04-04 03:00", "2026-04-05 04:00"),
    ],
)
def test_windows_around_clock_changes_match_those_worked_out_by_hand(
    zone: str, hours: str, day: str, opens: str, closes: str
) -> None:
    found = window_oracle.windows(part(zone, hours, day))
    assert found[date.fromisoformat(day)] == (utc(opens), utc(closes))
    assert len(found) >= 19, "a window for every date"


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ("05:00-08:00", {29: ("29T15:00", "29T18:00"), 31: ("30T15:00", "30T18:00")}),
        ("22:00-06:00", {29: ("30T08:00", "30T16:00"), 31: ("31T08:00", "31T16:00")}),
        ("00:00-00:00", {29: ("29T10:00", "30T10:00"), 31: ("30T10:00", "31T10:00")}),
    ],
)
def test_a_date_that_samoa_skipped_has_no_window(hours: str, expected: dict[int, tuple[str, str]]) -> None:
    """Samoa went from UTC-10 to UTC+14 at the end of the 29th."""
    found = window_oracle.windows(part("Pacific/Apia", hours, "2011-12-30"))
    assert {day: window for day, window in found.items() if date(2011, 12, 29) <= day <= date(2011, 12, 31)} == {
        date(2011, 12, day): (utc(f"2011-12-{opens}"), utc(f"2011-12-{closes}"))
        for day, (opens, closes) in expected.items()
    }


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("America/New_York", "2026-03-07"),
        ("America/New_York", "2026-10-31"),
        ("Australia/Lord_Howe", "2026-04-04"),
        ("Australia/Lord_Howe", "2026-10-03"),
        ("Africa/Cairo", "2025-04-24"),
        ("Africa/Cairo", "2025-10-30"),
        ("Pacific/Apia", "2011-12-28"),
        ("Antarctica/Troll", "2026-03-28"),
        ("Asia/Tokyo", "2026-03-28"),
    ],
)
def test_instants_match_a_minute_by_minute_search(zone: str, start: str) -> None:
    """Each wall time of four days is compared with every minute of eight days."""
    read: dict[datetime, list[datetime]] = {}
    first = utc(start)
    for n in range(-2 * 1440, 6 * 1440):
        u = first + timedelta(minutes=n)
        read.setdefault(u.astimezone(ZoneInfo(zone)).replace(tzinfo=None), []).append(u)
    for n in range(4 * 1440):
        wall = first.replace(tzinfo=None) + timedelta(minutes=n)
        assert window_oracle.instants(zone, wall) == tuple(read.get(wall, ())), wall


JUNE = utc("2026-06-10")


def june(windows: window_oracle.Windows, *days: int) -> dict[int, tuple[str, str]]:
    return {
        day: tuple(f"{at:%d %H:%M}" for at in windows[date(2026, 6, day)])  # type: ignore[misc]
        for day in days
    }


def test_windows_open_on_scheduled_days_and_are_clipped_to_the_challenge() -> None:
    """Rule 5, with windows on Mondays and Thursdays: the first is clipped at the start, the last at the end."""
    starts, ends = utc("2026-06-01 07:00"), utc("2026-06-08 06:30")
    schedule = Schedule("06:00", "08:00", ("mon", "thu"))
    anna = Participant(schedule, starts, ends, starts, "UTC")
    expected = {
        date(2026, 6, 1): (starts, utc("2026-06-01 08:00")),
        date(2026, 6, 4): (utc("2026-06-04 06:00"), utc("2026-06-04 08:00")),
        date(2026, 6, 8): (utc("2026-06-08 06:00"), ends),
    }
    assert window_oracle.windows(anna) == expected
    assert list(window_oracle.windows(replace(anna, ends_at=utc("2026-06-08 06:00")))) == list(expected)[:2]
    assert list(window_oracle.windows(replace(anna, starts_at=utc("2026-06-01 08:00")))) == list(expected)[1:]


def test_dates_begin_with_the_first_window_that_closes_after_joining() -> None:
    starts = utc("2026-06-01")
    anna = Participant(Schedule("06:00", "08:00"), starts, utc("2026-06-05"), starts, "UTC")
    for joined, first in (("07:59", 3), ("08:00", 4)):
        found = window_oracle.windows(replace(anna, joined_at=utc(f"2026-06-03 {joined}")))
        assert sorted(found) == [date(2026, 6, day) for day in range(first, 5)]
        assert june(found, 4) == {4: ("04 06:00", "04 08:00")}
    open_still = window_oracle.windows(replace(anna, joined_at=utc("2026-06-03 07:59")))
    assert june(open_still, 3) == {3: ("03 06:00", "03 08:00")}


class TestTravellers:
    """Kiritimati is at UTC+14 and Honolulu at UTC-10: the same time of day on different dates."""

    def test_a_move_west_delays_the_next_window_by_a_day(self) -> None:
        """The open window stays; the next one opens a day later than it would have."""
        anna = part("Pacific/Kiritimati", "05:00-08:00", "2026-06-10")
        found = window_oracle.windows(replace(anna, moves=((utc("2026-06-09 16:00"), "Pacific/Honolulu"),)))
        assert june(found, 9, 10, 11, 12) == {
            9: ("08 15:00", "08 18:00"),
            10: ("09 15:00", "09 18:00"),
            11: ("11 15:00", "11 18:00"),
            12: ("12 15:00", "12 18:00"),
        }
        # the challenge ends at midnight UTC: at 14:00 on the 20th in Kiritimati, on the 19th in Honolulu
        assert june(found, 18, 19, 20) == {
            18: ("18 15:00", "18 18:00"),
            19: ("19 15:00", "19 18:00"),
            20: ("19 18:00", "19 21:00"),
        }
        assert sorted(found) == sorted(window_oracle.windows(anna))

    def test_a_move_east_keeps_a_date_that_has_already_begun(self) -> None:
        """The 10th has already opened in Kiritimati, so it stays in Honolulu. The 11th follows it, three hours long."""
        anna = part("Pacific/Honolulu", "05:00-08:00", "2026-06-10")
        found = window_oracle.windows(replace(anna, moves=((utc("2026-06-09 16:00"), "Pacific/Kiritimati"),)))
        assert june(found, 8, 9, 10, 11, 12, 13) == {
            8: ("08 15:00", "08 18:00"),
            9: ("09 15:00", "09 18:00"),
            10: ("10 15:00", "10 18:00"),
            11: ("10 18:00", "10 21:00"),
            12: ("11 15:00", "11 18:00"),
            13: ("12 15:00", "12 18:00"),
        }

    def test_a_move_east_into_an_autumn_night_keeps_the_wall_clock_length(self) -> None:
        """In Chatham clocks go back at 14:00 UTC: an hour on the wall clock from 02:45 lasts two."""
        anna = part("Pacific/Pago_Pago", "01:00-02:00", "2026-04-05")
        found = window_oracle.windows(replace(anna, moves=((utc("2026-04-04"), "Pacific/Chatham"),)))
        expected = {
            3: ("2026-04-03 12:00", "2026-04-03 13:00"),
            4: ("2026-04-04 12:00", "2026-04-04 13:00"),
            5: ("2026-04-04 13:00", "2026-04-04 15:00"),
            6: ("2026-04-05 12:15", "2026-04-05 13:15"),
        }
        for day, (opens, closes) in expected.items():
            assert found[date(2026, 4, day)] == (utc(opens), utc(closes))

    def test_a_move_there_and_back_keeps_windows_that_opened_meanwhile(self) -> None:
        anna = part("Pacific/Kiritimati", "05:00-08:00", "2026-06-10")
        moves = ((utc("2026-06-09 16:00"), "Pacific/Honolulu"), (utc("2026-06-10 16:00"), "Pacific/Kiritimati"))
        found = window_oracle.windows(replace(anna, moves=moves))
        # in Kiritimati the 11th opened an hour before the second move: it keeps Honolulu's window, and the 12th follows
        assert june(found, 10, 11, 12, 13) == {
            10: ("09 15:00", "09 18:00"),
            11: ("11 15:00", "11 18:00"),
            12: ("11 18:00", "11 21:00"),
            13: ("12 15:00", "12 18:00"),
        }

    @pytest.mark.parametrize(
        ("ends", "last"),
        [
            ("2026-06-12 00:00", {11: ("11 15:00", "11 18:00"), 12: ("11 18:00", "11 21:00")}),
            ("2026-06-11 19:00", {11: ("11 15:00", "11 18:00"), 12: ("11 18:00", "11 19:00")}),
            ("2026-06-11 18:00", {11: ("10 15:00", "10 18:00"), 12: ("11 15:00", "11 18:00")}),
            ("2026-06-11 17:00", {11: ("10 15:00", "10 18:00"), 12: ("11 15:00", "11 17:00")}),
        ],
    )
    def test_a_move_near_the_end_loses_no_date(self, ends: str, last: dict[int, tuple[str, str]]) -> None:
        """A day west; the 12th is the last date. If it does not fit after the 11th, both keep their windows."""
        starts = utc("2026-06-08")
        anna = Participant(Schedule("05:00", "08:00"), starts, utc(ends), starts, "Pacific/Kiritimati")
        found = window_oracle.windows(replace(anna, moves=((utc("2026-06-09 20:00"), "Pacific/Honolulu"),)))
        assert (
            june(found, *(day.day for day in found))
            == {
                9: ("08 15:00", "08 18:00"),
                10: ("09 15:00", "09 18:00"),
            }
            | last
        )

    def test_whole_day_windows_stay_if_the_last_one_would_not_fit(self) -> None:
        starts, ends = utc("2026-06-08 10:00"), utc("2026-06-13 10:00")
        anna = Participant(Schedule("00:00", "00:00"), starts, ends, starts, "Pacific/Kiritimati")
        moved = replace(anna, moves=((utc("2026-06-09 20:00"), "Pacific/Honolulu"),))
        assert window_oracle.windows(moved) == window_oracle.windows(anna)
        assert len(window_oracle.windows(anna)) == 5

    def test_a_move_east_shortens_the_next_whole_day_window(self) -> None:
        """Berlin to Tokyo, seven hours east: the 11th is shortened, later dates use Tokyo's windows."""
        anna = part("Europe/Berlin", "00:00-00:00", "2026-06-10")
        found = window_oracle.windows(replace(anna, moves=((utc("2026-06-10 12:00"), "Asia/Tokyo"),)))
        assert june(found, 10, 11, 12) == {
            10: ("09 22:00", "10 22:00"),
            11: ("10 22:00", "11 15:00"),
            12: ("11 15:00", "12 15:00"),
        }

    def test_a_window_that_has_opened_in_the_new_zone_keeps_the_old_one(self) -> None:
        """At 20:00 in Berlin, Tokyo's 11th began three hours ago, and its 05:00 is still ahead."""
        anna = part("Europe/Berlin", "05:00-08:00", "2026-06-10")
        for moment, eleventh in (("19:59", ("10 20:00", "10 23:00")), ("20:00", ("11 03:00", "11 06:00"))):
            moves = ((utc(f"2026-06-10 {moment}"), "Asia/Tokyo"),)
            assert june(window_oracle.windows(replace(anna, moves=moves)), 11, 12) == {
                11: eleventh,
                12: ("11 20:00", "11 23:00"),
            }

    def test_a_move_before_the_start_moves_every_window(self) -> None:
        """The dates stay those of joining: the 20th remains, although the challenge ends on the 19th in Honolulu."""
        anna = part("Pacific/Kiritimati", "12:00-13:00", "2026-06-10", joined_at=utc("2026-05-01"))
        found = window_oracle.windows(replace(anna, moves=((utc("2026-05-02"), "Pacific/Honolulu"),)))
        assert sorted(found) == [date(2026, 5, 31) + timedelta(days=n) for n in range(1, 21)]
        assert june(found, 1, 19, 20) == {
            1: ("01 22:00", "01 23:00"),
            19: ("19 22:00", "19 23:00"),
            20: ("19 23:00", "20 00:00"),
        }

    def test_a_date_that_the_new_zone_skipped_keeps_its_window(self) -> None:
        """From Pago Pago to Samoa, which had no 30th: the 30th keeps its window, and the 31st opens after it."""
        anna = part("Pacific/Pago_Pago", "05:00-08:00", "2011-12-30")
        found = window_oracle.windows(replace(anna, moves=((utc("2011-12-28 20:00"), "Pacific/Apia"),)))
        expected = {
            28: ("2011-12-28 16:00", "2011-12-28 19:00"),
            29: ("2011-12-29 15:00", "2011-12-29 18:00"),
            30: ("2011-12-30 16:00", "2011-12-30 19:00"),
            31: ("2011-12-30 19:00", "2011-12-30 22:00"),
        }
        assert {
            day.day: window for day, window in found.items() if date(2011, 12, 28) <= day <= date(2011, 12, 31)
        } == {day: (utc(opens), utc(closes)) for day, (opens, closes) in expected.items()}

    def test_windows_in_the_challenges_zone_do_not_move(self) -> None:
        schedule = Schedule("05:00", "08:00", scope="challenge_tz")
        anna = part("Pacific/Honolulu", "05:00-08:00", "2026-06-10", schedule=schedule, challenge_zone="Asia/Tokyo")
        assert june(window_oracle.windows(anna), 10) == {10: ("09 20:00", "09 23:00")}
        assert window_oracle.windows(replace(anna, moves=((JUNE, "Europe/Berlin"),))) == window_oracle.windows(anna)
