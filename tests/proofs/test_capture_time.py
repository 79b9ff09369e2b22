"""Times and UTC offsets as cameras, phones and apps write them in EXIF."""

from datetime import datetime, timedelta

import pytest

from proofs.capture_time import CaptureTime, parse_capture_time

TIME = "2026:11:20 06:45:10"
IN_ARABIC = TIME.translate({ord("0") + n: 0x660 + n for n in range(10)})
WALL = datetime.fromisoformat("2026-11-20T06:45:10")


@pytest.mark.parametrize(
    "time",
    [
        *(TIME, TIME + "\0", TIME + "\0\0\0", TIME + "\0garbage", b"2026:11:20 06:45:10\0", " " + TIME, TIME + "\r\n"),
        *("2026-11-20T06:45:10", "2026/11/20 06:45:10", "2026.11.20 06.45.10", "2026:11:20  6:45:10"),
        *(TIME + ".5", TIME + ",987654", TIME + ".", TIME + " AM", TIME + " a.m.", TIME + "am"),
        *(IN_ARABIC, IN_ARABIC.encode(), IN_ARABIC.encode().decode("latin-1")),  # the last is how Pillow reads it
        "2569:11:20 06:45:10",  # the Buddhist calendar
    ],
)
def test_common_spellings_of_a_time_are_parsed(time: object) -> None:
    assert parse_capture_time(time) == CaptureTime(WALL, None)


@pytest.mark.parametrize(
    ("time", "wall"),
    [
        ("2026:11:29 24:05:35", "2026-11-29T00:05:35"),  # phones write hour 24 after midnight
        ("2026:11:29 24:00:00", "2026-11-29T00:00:00"),
        ("2026:11:29 24:59:59", "2026-11-29T00:59:59"),
        ("2026:11:29 24:59:60", "2026-11-29T01:00:00"),
        ("2026:11:20 06:45:60", "2026-11-20T06:46:00"),
        ("2026:12:31 23:59:60", "2027-01-01T00:00:00"),
        ("2026:11:20 06:45:  ", "2026-11-20T06:45:00"),  # seconds that the camera does not know
        ("2026:11:20 06:45", "2026-11-20T06:45:00"),
        ("2026:11: 9  6: 5: 7", "2026-11-09T06:05:07"),  # padded with spaces
        ("2026:1:9 6:5:7", "2026-01-09T06:05:07"),
        ("2026:11:20 06:45:10 PM", "2026-11-20T18:45:10"),
        ("2026:11:20 12:45:10 p.m.", "2026-11-20T12:45:10"),
        ("2026:11:20 12:45:10 am", "2026-11-20T00:45:10"),
        ("2026:11:20 18:45:10 PM", "2026-11-20T18:45:10"),
        ("2567:02:29 06:45:10", "2024-02-29T06:45:10"),
    ],
)
def test_unusual_clocks_are_read_as_the_moment_that_they_mean(time: str, wall: str) -> None:
    assert parse_capture_time(time) == CaptureTime(datetime.fromisoformat(wall), None)


@pytest.mark.parametrize(
    "time",
    [
        *("", "\0" * 20, " " * 19, "    :  :     :  :  ", "0000:00:00 00:00:00", "2102:11:20 06:45:10"),
        *("0000:00:00 24:00:00", "2026:11:20   :  :  ", "0:0:0 0:0:0", "-001:11:30 00:00:00", "2026:00:20 06:45:10"),
        *("1970:01:01 00:00:00", "2026:13:01 00:00:00", "2026:02:30 06:45:10", "2026:11:20 25:00:00"),
        *("2026:11:20", "20 November 2026", "2026:11:20 06:45:99", "2026:11:20 06:60:10", "2026:11:20 06:45:61"),
        *("1900:01:01 00:00:00", "9999:12:31 23:59:60", TIME[:-6] + "x", "x" * 100_000, "2026:11:20" + " " * 100_000),
        *(None, 20261120, 1.5, (2026, 11, 20), [TIME], {0: TIME}, b"\xff\xfe", True, WALL),
    ],
)
def test_invalid_times_are_ignored(time: object) -> None:
    assert parse_capture_time(time) is None


@pytest.mark.parametrize(
    ("offset", "hours"),
    [
        *(("+02:00", 2), ("-09:30", -9.5), ("+05:45", 5.75), ("Z", 0), ("+00:00", 0), ("+14:00", 14)),
        *(("+0200", 2), ("+02", 2), ("+2:00", 2), ("UTC+2", 2), ("gmt -3:00", -3), ("+02:00\0", 2)),
        *((b"+02:00\0", 2), ("utc", 0), ("z", 0), (" +02:00 ", 2), ("+02:00:00", 2), ("+05 45", 5.75)),
        *(("GMT+05:45", 5.75), ("\u221203:30", -3.5), ("\u221203:30".encode(), -3.5), ("-00:00", 0), ("+02:00\n", 2)),
    ],
)
def test_offsets_are_parsed(offset: object, hours: float) -> None:
    assert parse_capture_time(TIME, offset) == CaptureTime(WALL, timedelta(hours=hours))


@pytest.mark.parametrize(
    "offset",
    [
        *("", "   :  ", "+  :  ", "+25:00", "-13:00", "+02:60", "02:00", "Europe/Oslo", "++2", "+02:00:30"),
        *(None, 2, (2, 0), b"\xff", "\0" * 7),
    ],
)
def test_invalid_offsets_are_ignored(offset: object) -> None:
    assert parse_capture_time(TIME, offset) == CaptureTime(WALL, None)


def test_an_offset_after_the_time_is_parsed() -> None:
    two = CaptureTime(WALL, timedelta(hours=2))
    assert parse_capture_time(TIME + "+02:00") == parse_capture_time(TIME + " GMT+2") == two
    assert parse_capture_time("2026-11-20T06:45:10.123Z", "+03:00") == CaptureTime(WALL, timedelta(hours=3))
    assert parse_capture_time("2026:11:20 06:45 +02:00") == CaptureTime(WALL.replace(second=0), timedelta(hours=2))
    assert parse_capture_time("2026:11:20 06:45:10 PM -03:00") == CaptureTime(
        WALL.replace(hour=18), timedelta(hours=-3)
    )
