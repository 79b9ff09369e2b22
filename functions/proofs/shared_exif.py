"""The EXIF that other people may see if the challenge keeps it: how the picture was taken, in numbers and codes.

It lists what to keep, and the values that each may have. There are no texts, because a text can say anything: a
description, a copyright, the name of a lens or of a program. So nothing tells a place, a person or a serial number.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

from proofs.capture_time import parse_capture_time, parse_offset, text_of

_UPRIGHT = 1
_SRGB = 1
_LARGEST = 1_000_000
_MOST_DIGITS = 6

type _Check = Callable[[object], object]
"""Returns the value to keep, or None."""


def _one_of(codes: range | tuple[int, ...]) -> _Check:
    return lambda value: value if isinstance(value, int) and value in codes else None


def _number(value: object) -> object:
    """A number; of several, as some cameras write a sensitivity, the first."""
    if isinstance(value, tuple) and value:
        value = value[0]
    return value if isinstance(value, int | float | IFDRational) and abs(float(value)) <= _LARGEST else None


def _four_numbers(value: object) -> object:
    """The focal lengths and apertures of a lens. 0/0 is an unknown one."""
    if not isinstance(value, tuple) or len(value) != 4:
        return None
    return value if all(_number(part) is not None or part != part for part in value) else None


def _time(value: object) -> object:
    found = parse_capture_time(value)
    return f"{found.wall:%Y:%m:%d %H:%M:%S}" if found else None


def _offset(value: object) -> object:
    offset = parse_offset(text_of(value))
    if offset is None:
        return None
    minutes = abs(offset) // timedelta(minutes=1)
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _digits(value: object) -> object:
    text = text_of(value)
    return text if re.fullmatch(f"[0-9]{{1,{_MOST_DIGITS}}}", text) else None


# EXIF 2.32, tables 4, 7 and 8. Some codes beyond the standard are Apple's: HDR, panoramas, portraits.
_MAIN: Mapping[int, _Check] = {Base.DateTime: _time}
_EXPOSURE: Mapping[int, _Check] = {
    **dict.fromkeys((Base.DateTimeOriginal, Base.DateTimeDigitized), _time),
    **dict.fromkeys((Base.OffsetTime, Base.OffsetTimeOriginal, Base.OffsetTimeDigitized), _offset),
    **dict.fromkeys((Base.SubsecTime, Base.SubsecTimeOriginal, Base.SubsecTimeDigitized), _digits),
    **dict.fromkeys(
        (
            *(Base.ExposureTime, Base.FNumber, Base.ISOSpeedRatings, Base.ShutterSpeedValue, Base.ApertureValue),
            *(Base.BrightnessValue, Base.ExposureBiasValue, Base.MaxApertureValue, Base.SubjectDistance),
            *(Base.FocalLength, Base.FocalLengthIn35mmFilm, Base.DigitalZoomRatio),
        ),
        _number,
    ),
    Base.LensSpecification: _four_numbers,
    Base.ExposureProgram: _one_of(range(10)),
    Base.SensitivityType: _one_of(range(8)),
    Base.MeteringMode: _one_of((*range(7), 255)),
    Base.LightSource: _one_of((*range(25), 255)),
    Base.Flash: _one_of(range(128)),
    Base.SensingMethod: _one_of(range(9)),
    Base.CustomRendered: _one_of(range(10)),
    Base.ExposureMode: _one_of(range(3)),
    Base.WhiteBalance: _one_of(range(2)),
    Base.SceneCaptureType: _one_of(range(4)),
    Base.GainControl: _one_of(range(5)),
    **dict.fromkeys((Base.Contrast, Base.Saturation, Base.Sharpness), _one_of(range(3))),
    Base.SubjectDistanceRange: _one_of(range(4)),
}


def shareable(exif: Image.Exif) -> bytes:
    """What others may see of a picture's EXIF, for a copy that is upright and in sRGB."""
    kept = Image.Exif()
    kept[Base.Orientation] = _UPRIGHT
    with suppress(Exception):
        exposure = _chosen(exif.get_ifd(IFD.Exif), _EXPOSURE) | {Base.ColorSpace: _SRGB}
        for tag, value in _chosen(exif, _MAIN).items():
            kept[tag] = value
        kept[IFD.Exif] = exposure
    return kept.tobytes()


def _chosen(values: Mapping[int, object], checks: Mapping[int, _Check]) -> dict[int, object]:
    """The values that are allowed, and that Pillow can write."""
    found = {tag: check(values[tag]) for tag, check in sorted(checks.items()) if tag in values}
    return {tag: value for tag, value in found.items() if value is not None and _writable(tag, value)}


def _writable(tag: int, value: object) -> bool:
    alone = Image.Exif()
    alone[IFD.Exif] = {tag: value}
    try:
        alone.tobytes()
    except Exception:
        return False
    return True
