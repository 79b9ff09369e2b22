"""Instants as mails tell them: the reader's time, date and zone."""

from datetime import UTC, datetime

import pytest

from chally.wall_clock import describe

EVENING = datetime(2026, 11, 28, 21, 41, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "beside", "told"),
    [
        ("Asia/Tokyo", None, "06:41 on Sunday 29 November 2026 (Asia/Tokyo)"),
        ("Asia/Tokyo", "Asia/Tokyo", "06:41 on Sunday 29 November 2026 (Asia/Tokyo)"),
        (
            "Asia/Tokyo",
            "America/New_York",
            "06:41 on Sunday 29 November 2026 (Asia/Tokyo; 16:41 on Saturday 28 November 2026 in America/New_York)",
        ),
        ("Europe/Oslo", "Europe/London", "22:41 on Saturday 28 November 2026 (Europe/Oslo; 21:41 in Europe/London)"),
        # the same clocks: a second name would only confuse
        ("Europe/Oslo", "Europe/Berlin", "22:41 on Saturday 28 November 2026 (Europe/Oslo)"),
        ("Asia/Kathmandu", None, "03:26 on Sunday 29 November 2026 (Asia/Kathmandu)"),
        ("nonsense", None, "21:41 on Saturday 28 November 2026 (UTC)"),
        ("UTC", "../../etc/passwd", "21:41 on Saturday 28 November 2026 (UTC)"),
    ],
)
def test_an_instant_is_told_in_its_readers_zone(zone: str, beside: str | None, told: str) -> None:
    assert describe(EVENING, zone, beside=beside) == told


@pytest.mark.parametrize(("hour", "offset"), [(0, "+02:00"), (1, "+01:00")])
def test_a_time_that_occurs_twice_has_its_offset(hour: int, offset: str) -> None:
    told = describe(datetime(2026, 10, 25, hour, 30, tzinfo=UTC), "Europe/Berlin")
    assert told == f"02:30 on Sunday 25 October 2026 (Europe/Berlin, UTC{offset})"


def test_a_time_that_the_other_zone_has_twice_has_its_offset_there() -> None:
    told = describe(datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Asia/Tokyo", beside="Europe/Berlin")
    assert told == "09:30 on Sunday 25 October 2026 (Asia/Tokyo; 02:30 in Europe/Berlin, UTC+02:00)"
