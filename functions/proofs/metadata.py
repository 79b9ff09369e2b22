"""A picture's EXIF: when it was taken, and what its colours mean. The location is never read."""

from contextlib import suppress

from PIL import Image
from PIL.ExifTags import IFD, Base, Interop

from proofs.capture_time import CaptureTime, parse_capture_time, text_of

# When the shutter opened, and the clock's UTC offset; then the same for when the picture became a file, which for a
# camera is the same moment. Not DateTime, which is when the file was last changed: every editor updates it.
_TIME_TAGS = ((Base.DateTimeOriginal, Base.OffsetTimeOriginal), (Base.DateTimeDigitized, Base.OffsetTimeDigitized))
# The names of Adobe RGB: in the interoperability directory (DCF 2.0, 4.5.3), and that of some older cameras.
_ADOBE_RGB = "R03"
_ADOBE_RGB_SPACE = 2


def capture_time(exif: Image.Exif) -> CaptureTime | None:
    """When the picture was taken; None if its EXIF has no valid time."""
    try:
        exposure = exif.get_ifd(IFD.Exif)
        edited = exif.get(Base.DateTime)
    except Exception:
        return None
    taken, digitized = (parse_capture_time(exposure.get(time), exposure.get(offset)) for time, offset in _TIME_TAGS)
    # Some phones give only the offset of another time, and some cameras only whole hours.
    changed = parse_capture_time(edited, exposure.get(Base.OffsetTime))
    found = taken or digitized
    return found and found.completed(digitized, changed, _in_whole_hours(found, exposure.get(Base.TimeZoneOffset)))


def _in_whole_hours(time: CaptureTime, value: object) -> CaptureTime | None:
    """The time with the offset of a tag that gives it in hours, for itself and sometimes for a second time."""
    first = value[0] if isinstance(value, tuple) and value else value
    return parse_capture_time(time.wall.isoformat(), f"{first:+}") if isinstance(first, int) else None


def is_adobe_rgb(exif: Image.Exif) -> bool:
    """Whether the camera says that its colours are Adobe RGB."""
    with suppress(Exception):
        index = exif.get_ifd(IFD.Interop).get(Interop.InteropIndex)
        return text_of(index) == _ADOBE_RGB or exif.get_ifd(IFD.Exif).get(Base.ColorSpace) == _ADOBE_RGB_SPACE
    return False
