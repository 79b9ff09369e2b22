"""What a picture's EXIF tells: when it was taken, and what of it others may see. Where it was taken is never read."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from PIL import Image
from PIL.ExifTags import IFD, Base

from proofs import images
from proofs.capture import Captured

# When the shutter opened, and its clock's offset; and the same of when the picture became a file, which for a camera is
# one moment. Not DateTime: that is when the file was last changed, and every editor writes it anew.
_MOMENTS = ((Base.DateTimeOriginal, Base.OffsetTimeOriginal), (Base.DateTimeDigitized, Base.OffsetTimeDigitized))
# EXIF writes 2026:11:20 06:45:10. Other separators, fractions and an offset behind are what some apps make of it.
_TIME = re.compile(
    r"([0-9]{4})[:/.-]([0-9]{2})[:/.-]([0-9]{2})[ T]+([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,][0-9]*)?(.*)", re.DOTALL
)
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])\s*([0-9]{1,2})(?::?([0-9]{2}))?")
_UTC = {"Z", "UTC", "GMT"}
# No digital camera is older, and a clock that is in the next century has lost its battery.
_YEARS = range(1990, 2100)
# Offsets that any place has on its clocks.
_OFFSETS = (timedelta(hours=-12), timedelta(hours=14))

# What others may see where the owner keeps EXIF: how the picture was taken. A list of what stays, so that what a maker
# invents does not: no GPS, maker notes, thumbnail, comments, serial numbers, or names of people.
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
_LONGEST = 500  # octets of a value and what it is wrapped in: all of EXIF must fit one segment of a JPEG, 64 KB
_UPRIGHT = 1
_SRGB = 1


def captured(data: bytes, declared_type: str) -> Captured | None:
    """When the picture says it was taken; None where it does not, or says what makes no sense. Raises `Unreadable`."""
    with images.opened(data, declared_type) as image:
        return _captured(image)


def _captured(image: Image.Image) -> Captured | None:
    try:
        exif = image.getexif().get_ifd(IFD.Exif)
    except Exception:
        return None
    moments = (moment(exif.get(time), exif.get(offset)) for time, offset in _MOMENTS)
    return next((found for found in moments if found is not None), None)


def moment(time: object, offset: object = None) -> Captured | None:
    """A moment from the values of two EXIF tags, of whatever type somebody has written there."""
    found = _TIME.fullmatch(_text(time))
    if found is None:
        return None
    try:
        wall = datetime(*(int(part) for part in found.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None  # 0000:00:00, the 30th of February, 25 o'clock
    if wall.year not in _YEARS:
        return None
    known = _offset(_text(offset))
    return Captured(wall, _offset(found[7].strip()) if known is None else known)


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
    """The text before the first NUL. Some write bytes where EXIF wants a text; whatever else comes is no text."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return value.partition("\0")[0].strip() if isinstance(value, str) else ""


def shareable(image: Image.Image) -> bytes:
    """The part of the picture's EXIF that others may see, for a copy of it that is upright and sRGB."""
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
    """Those of the tags that are there with a value that is short, and of a type that can be written again."""
    return {tag: values[tag] for tag in sorted(tags) if tag in values and _writable(tag, values[tag])}


def _writable(tag: int, value: object) -> bool:
    alone = Image.Exif()
    alone[IFD.Exif] = {tag: value}
    try:
        return len(alone.tobytes()) <= _LONGEST
    except Exception:
        return False
