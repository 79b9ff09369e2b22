"""A picture's EXIF: when it was taken, and the part that other people may see. The location is never read."""

from collections.abc import Mapping
from contextlib import suppress

from PIL import Image
from PIL.ExifTags import IFD, Base

from proofs import images
from proofs.capture_time import CaptureTime, parse_capture_time

# When the shutter opened, and the clock's UTC offset; then the same for when the picture became a file, which for a
# camera is the same moment. Not DateTime, which is when the file was last changed: every editor updates it.
_TIME_TAGS = ((Base.DateTimeOriginal, Base.OffsetTimeOriginal), (Base.DateTimeDigitized, Base.OffsetTimeDigitized))
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
        basic = image.getexif()
        exposure = basic.get_ifd(IFD.Exif)
    except Exception:
        return None
    taken, digitized = (parse_capture_time(exposure.get(time), exposure.get(offset)) for time, offset in _TIME_TAGS)
    # Some phones give only the offset of another time, and some cameras only whole hours.
    changed = parse_capture_time(basic.get(Base.DateTime), exposure.get(Base.OffsetTime))
    found = taken or digitized
    return found and found.completed(digitized, changed, _in_whole_hours(found, exposure.get(Base.TimeZoneOffset)))


def _in_whole_hours(time: CaptureTime, value: object) -> CaptureTime | None:
    """The time with the offset of a tag that gives it in hours, for itself and sometimes for a second time."""
    first = value[0] if isinstance(value, tuple) and value else value
    return parse_capture_time(time.wall.isoformat(), f"{first:+}") if isinstance(first, int) else None


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
