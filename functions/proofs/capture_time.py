"""When a photo says that it was taken: times and UTC offsets as cameras, phones and apps write them in EXIF. Pure."""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

# EXIF writes 2026:11:20 06:45:10. Some cameras pad with spaces, and leave unknown seconds blank; some apps use other
# separators, or the digits of the phone's language, or append fractions of a second, am or pm, or a UTC offset.
_TIME = re.compile(
    r"(\d{4})[:/.-] ?(\d{1,2})[:/.-] ?(\d{1,2})[ T]+(\d{1,2})[:.] ?(\d{1,2})(?:[:.] ?(\d{1,2})?)?(?:[.,]\d*)?"
    r"\s*(?:([ap])\.?\s?m\b\.?)?(.*)",
    re.DOTALL | re.IGNORECASE,
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+\u2212-])\s*(\d{1,2})(?:[: ]?(\d{2}))?(?::?00)?")
_UTC = {"Z", "UTC", "GMT"}
# Digital cameras are not older, and a clock in the next century has lost its battery.
_YEARS = range(1990, 2100)
# Phones set to the Buddhist calendar, as in Thailand, can write its years.
_BUDDHIST = 543
# The UTC offsets in use anywhere.
_OFFSETS = (timedelta(hours=-12), timedelta(hours=14))
_LONGEST = 100  # bytes of a text


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When EXIF says that a photo was taken: the camera's wall clock (naive), and its UTC offset if it gives one."""

    wall: datetime
    offset: timedelta | None

    def completed(self, *others: "CaptureTime | None") -> "CaptureTime":
        """With the offset of another time of the same photo, if that has the same wall clock and this has no offset."""
        found = (other.offset for other in others if other and other.wall == self.wall and other.offset is not None)
        return self if self.offset is not None else replace(self, offset=next(found, None))


def parse_capture_time(time: object, offset: object = None) -> CaptureTime | None:
    """Parse the values of two EXIF tags, which can be of any type: a time, and the UTC offset that belongs to it."""
    found = _TIME.fullmatch(text_of(time))
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if year - _BUDDHIST in _YEARS:
        year -= _BUDDHIST
    if found[7] is not None and 1 <= hour <= 12:
        hour = hour % 12 + (12 if found[7] in "pP" else 0)
    if hour == 24:  # some phones number the first hour of a date so
        hour = 0
    leap = timedelta(seconds=1 if second == 60 else 0)
    if year not in _YEARS:
        return None
    try:
        wall = datetime(year, month, day, hour, minute, 59 if leap else second) + leap  # noqa: DTZ001
    except ValueError:
        return None  # 2026:00:00, the 30th of February, 25 o'clock
    tagged_offset = parse_offset(text_of(offset))
    return CaptureTime(wall, parse_offset(found[8].strip()) if tagged_offset is None else tagged_offset)


def parse_offset(text: str) -> timedelta | None:
    """Parse a UTC offset: +02:00, -0330, UTC+2, Z."""
    if text.upper() in _UTC:
        return timedelta(0)
    found = _OFFSET.fullmatch(text.upper())
    if found is None or int(found[3] or 0) >= 60:
        return None
    size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    offset = size if found[1] == "+" else -size
    return offset if _OFFSETS[0] <= offset <= _OFFSETS[1] else None


def text_of(value: object) -> str:
    """The beginning of the text before the first NUL; empty for values that are neither text nor bytes.

    Pillow reads text as Latin-1, but some apps write UTF-8, or bytes.
    """
    if isinstance(value, str):
        value = value[:_LONGEST]
        with suppress(UnicodeEncodeError):
            value = value.encode("latin-1")
    if isinstance(value, bytes):
        value = value[:_LONGEST].decode(errors="replace")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""
