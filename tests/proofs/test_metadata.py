from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from proofs import images, metadata
from proofs.capture_time import CaptureTime
from tests.support import corpora
from tests.support.pictures import encoded, picture

TIME = "2026:11:20 06:45:10"
WALL = datetime.fromisoformat("2026-11-20T06:45:10")
FORMATS = [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]


def photo(exposure: Mapping[Base, Any], *, file_format: str = "JPEG", **basic: Any) -> bytes:
    """A picture with these values in its EXIF directory, and others in its main directory."""
    exif = Image.Exif()
    for name, value in basic.items():
        exif[Base[name]] = value
    exif[IFD.Exif] = dict(exposure)
    return encoded(picture(5, (64, 48)), file_format=file_format, exif=exif)


def capture_time(data: bytes, declared_type: str) -> CaptureTime | None:
    with images.open_picture(data, declared_type) as opened:
        return metadata.capture_time(opened.exif)


class TestCaptureTime:
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_the_time_is_read_in_each_format(self, file_format: str, declared_type: str) -> None:
        exposure = {Base.DateTimeOriginal: TIME, Base.OffsetTimeOriginal: "+01:00", Base.SubsecTimeOriginal: "987"}
        data = photo(exposure, file_format=file_format)
        assert capture_time(data, declared_type) == CaptureTime(WALL, timedelta(hours=1))
        assert capture_time(encoded(picture(5, (64, 48)), file_format=file_format), declared_type) is None

    def test_the_digitized_time_is_used_without_an_original_time(self) -> None:
        exposure = {Base.DateTimeDigitized: TIME, Base.OffsetTimeDigitized: "-09:30"}
        assert capture_time(photo(exposure), "image/jpeg") == CaptureTime(WALL, timedelta(hours=-9.5))
        exposure |= {Base.DateTimeOriginal: "2026:11:20 06:40:00"}
        assert capture_time(photo(exposure), "image/jpeg") == CaptureTime(WALL.replace(minute=40, second=0), None)

    def test_the_offset_of_another_time_with_the_same_clock_is_used(self) -> None:
        """Some phones write only OffsetTime, which belongs to DateTime; some cameras whole hours."""
        lisbon = CaptureTime(WALL, timedelta(hours=1))
        exposure = {Base.DateTimeOriginal: TIME, Base.OffsetTime: "+01:00"}
        assert capture_time(photo(exposure, DateTime=TIME), "image/jpeg") == lisbon
        edited = photo(exposure, DateTime="2026:11:21 06:45:10")
        assert capture_time(edited, "image/jpeg") == CaptureTime(WALL, None)
        both = {Base.DateTimeOriginal: TIME, Base.DateTimeDigitized: TIME, Base.OffsetTimeDigitized: "+01:00"}
        assert capture_time(photo(both), "image/jpeg") == lisbon
        own = both | {Base.OffsetTimeOriginal: "-03:00"}
        assert capture_time(photo(own), "image/jpeg") == CaptureTime(WALL, timedelta(hours=-3))

    @pytest.mark.parametrize(("value", "hours"), [(1, 1), ((-5, 1), -5), (90, None), ("x", None), (1.5, None)])
    def test_an_offset_in_whole_hours_is_used(self, value: object, hours: int | None) -> None:
        exposure = {Base.DateTimeOriginal: TIME, Base.TimeZoneOffset: value}
        expected = CaptureTime(WALL, None if hours is None else timedelta(hours=hours))
        assert capture_time(photo(exposure), "image/jpeg") == expected

    def test_the_time_of_editing_is_not_used(self) -> None:
        assert capture_time(photo({Base.OffsetTime: "+01:00"}, DateTime=TIME), "image/jpeg") is None

    def test_broken_exif_has_no_time(self) -> None:
        for exif in (b"", b"Exif\0\0II*\0" + b"\xff" * 60, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0"):
            assert capture_time(encoded(picture(5, (64, 48)), exif=exif), "image/jpeg") is None


@corpora.needed
class TestRealPhotos:
    # Read from the files' TIFF headers by hand, without Pillow.
    TAKEN = {
        "Canon_40D": "2008-05-30T15:56:01",  # DateTime is 2008-07-31, when GIMP saved it
        "DSCN0010": "2008-10-22T16:28:39",
        "DSCN0021": "2008-10-22T16:38:20",
        "Reconyx_HC500_Hyperfire": None,  # only in its maker notes
        "canon-ixus": "2001-06-09T15:17:32",
        "iphone_hdr_NO": "2015-04-10T20:12:23",
        "jolla": "2014-09-21T16:00:56",
        "landscape_1": None,
        "landscape_6": None,
        "nikon-e950": "2001-04-06T11:51:40",
        "sony-cybershot": "2000-09-30T10:59:45",
    }

    @pytest.mark.parametrize("path", corpora.files("photos/*.jpg"), ids=lambda path: path.stem)
    def test_the_time_of_real_photos_is_read(self, path: Path) -> None:
        """None of these old files has an offset."""
        time = self.TAKEN[path.stem]
        expected = CaptureTime(datetime.fromisoformat(time), None) if time else None
        assert capture_time(path.read_bytes(), "image/jpeg") == expected

    @pytest.mark.parametrize("path", corpora.files("invalid/*"), ids=lambda path: path.stem)
    def test_invalid_metadata_has_no_time(self, path: Path) -> None:
        assert capture_time(path.read_bytes(), "image/jpeg") is None
