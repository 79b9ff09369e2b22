"""A picture's EXIF: when it was taken, and the part that other people may see. The location is never read."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from PIL import Image
from PIL.ExifTags import IFD, Base

from proofs import images
from proofs.capture import CaptureTime

# When the shutter opened, and the clock's UTC offset; then the same for when the picture became a file, which for a
# camera is the same moment. Not DateTime, which is when the file was last changed: every editor updates it.
_TIME_TAGS = ((Base.DateTimeOriginal, Base.OffsetTimeOriginal), (Base.DateTimeDigitized, Base.OffsetTimeDigitized))
# EXIF writes 2026:11:20 06:45:10. Some apps use other separators, or append fractions of a second or a UTC offset.
_TIME = re.compile(
    r"([0-9]{4})[:/.-]([0-9]{2})[:/.-]([0-9]{2})[ T]+([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]*)?(.*)", re.DOTALL
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])\s*([0-9]{1,2})(?::?([0-9]{2}))?")
_UTC = {"Z", "UTC", "GMT"}
# Digital cameras are not older, and a clock in the next century has lost its battery.
_YEARS = range(1990, 2100)
# The UTC offsets in use anywhere.
_OFFSETS = (timedelta(hours=-12), timedelta(hours=14))

# What other people may see if the challenge keeps EXIF: how the picture was taken. This lists the tags to keep, so new
# tags of camera makers are dropped: no GPS, maker notes, thumbnail, comments, serial numbers, or names of people.
_SHARED = {Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Copyright}
_SHARED_OF_EXPOSURE = {
    *(Base.ExposureTime, Base.FNumber, Base.ExposureProgram, Base.ISOSpeedRatings, Base.SensitivityType),
    *(Base.ExifVersion, Base.DateTimeOriginal, Base.DateTimeDigitized),
    *(Base.OffsetTime, Base.OffsetTimeOriginal, Base.OffsetTimeDigitized),
    *(Base.SubsecTime, Base.SubsecTimeOriginal, Base.SubsecTimeDigitized),
    *(Base.ShutterSpeedValue, Base.ApertureValue, Base.BrightnessValue, Base.ExposureBiasValue, Base.MaxApertureValue),
    *(Base.SubjectDistance, Base.MeteringMode, Base.LightSource, Base.Flash, Base.FocalLength),
    *(Base.SensingMethod, Base.CustomRendered, Base.ExposureMode, Base.WhiteBalance, Base.DigitalZoomRatio),
    *(Base.FocalLengthIn35mmFilm, Base.SceneCaptureType, Base.GainControl, Base.Contrast, Base.Saturation),
    *(Base.Sharpness, Base.SubjectDistanceRange, Base.LensSpecification, Base.LensMake, Base.LensModel),
}
_LONGEST = 500  # bytes of a tag with its headers: all of EXIF must fit one JPEG segment of 64 KB
_UPRIGHT = 1
_SRGB = 1


def capture_time(data: bytes, declared_type: str) -> CaptureTime | None:
    """When the picture was taken; None if its EXIF has no valid time. Raises `UnreadableImage`."""
    with images.open_image(data, declared_type) as image:
        return _capture_time(image)


def _capture_time(image: Image.Image) -> CaptureTime | None:
    try:
        exif = image.getexif().get_ifd(IFD.Exif)
    except Exception:
        return None
    times = (parse_capture_time(exif.get(time), exif.get(offset)) for time, offset in _TIME_TAGS)
    return next((time for time in times if time is not None), None)


def parse_capture_time(time: object, offset: object = None) -> CaptureTime | None:
    """Parse the values of two EXIF tags, which can be of any type."""
    found = _TIME.fullmatch(_text(time))
    if found is None:
        return None
    try:
        wall = datetime(*(int(part) for part in found.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None  # 0000:00:00, the 30th of February, 25 o'clock
    if wall.year not in _YEARS:
        return None
    tagged_offset = _offset(_text(offset))
    return CaptureTime(wall, _offset(found[7].strip()) if tagged_offset is None else tagged_offset)


def _offset(text: str) -> timedelta | None:
    if text.upper() in _UTC:
        return timedelta(0)
    found = _OFFSET.fullmatch(text.upper())
    if found is None or int(found[3] or 0) >= 60:
        return None
    size = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
    offset = -size if found[1] == "-" else size
    return offset if _OFFSETS[0] <= offset <= _OFFSETS[1] else None


def _text(value: object) -> str:
    """The text before the first NUL, also from bytes, which some apps write; empty for values of other types."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""


def shareable_exif(image: Image.Image) -> bytes:
    """The part of the picture's EXIF that other people may see, for a copy that is upright and in sRGB."""
    kept = Image.Exif()
    kept[Base.Orientation] = _UPRIGHT
    with suppress(Exception):
        exif = image.getexif()
        exposure = _chosen(exif.get_ifd(IFD.Exif), _SHARED_OF_EXPOSURE) | {Base.ColorSpace: _SRGB}
        for tag, value in _chosen(exif, _SHARED).items():
            kept[tag] = value
        kept[IFD.Exif] = exposure
    return kept.tobytes()


def _chosen(values: Mapping[int, object], tags: set[Base]) -> dict[int, object]:
    """The values of the tags that are present, short, and of a type that Pillow can write."""
    return {tag: values[tag] for tag in sorted(tags) if tag in values and _writable(tag, values[tag])}


def _writable(tag: int, value: object) -> bool:
    alone = Image.Exif()
    alone[IFD.Exif] = {tag: value}
    try:
        return len(alone.tobytes()) <= _LONGEST
    except Exception:
        return False
