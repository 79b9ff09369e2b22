"""The EXIF that others see: numbers and codes, and no text from the file."""

from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

from proofs import shared_exif

TIME = "2026:11:20 06:45:10"


def shared(exposure: dict[int, Any], **main: Any) -> Image.Exif:
    """What is kept of EXIF with these tags, read again."""
    exif = Image.Exif()
    for name, value in main.items():
        exif[Base[name]] = value
    exif[IFD.Exif] = exposure
    read = Image.Exif()
    read.load(exif.tobytes())
    kept = Image.Exif()
    kept.load(shared_exif.shareable(read))
    return kept


def test_how_a_photo_was_taken_is_shared() -> None:
    exposure: dict[int, Any] = {
        Base.DateTimeOriginal: TIME,
        Base.OffsetTimeOriginal: "+01:00",
        Base.SubsecTimeOriginal: "987",
        Base.FNumber: 2.8,
        Base.ExposureTime: IFDRational(1, 250),
        Base.ISOSpeedRatings: 200,
        Base.Flash: 16,
        Base.MeteringMode: 5,
        Base.ExposureBiasValue: IFDRational(-1, 3),
        Base.LensSpecification: (IFDRational(24), IFDRational(70), IFDRational(28, 10), IFDRational(28, 10)),
    }
    kept = shared(exposure, DateTime=TIME, Orientation=6).get_ifd(IFD.Exif)
    assert set(kept) == {*exposure, Base.ColorSpace}
    assert (kept[Base.DateTimeOriginal], kept[Base.OffsetTimeOriginal]) == (TIME, "+01:00")
    assert (kept[Base.ISOSpeedRatings], kept[Base.Flash]) == (200, 16)
    assert float(kept[Base.FNumber]) == 2.8
    assert float(kept[Base.ExposureBiasValue]) == pytest.approx(-1 / 3)


def ascii_everywhere(text: bytes) -> Image.Exif:
    """EXIF whose main and exposure directories have every tag, each with this text, whatever its type should be."""
    links = (Base.ExifOffset, Base.GPSInfo, Base.ExifInteroperabilityOffset, Base.MakerNote)
    tags = sorted(tag for tag in Base if tag not in links and tag < 65536)
    lengths = 2 + 12 * (len(tags) + 1) + 4, 2 + 12 * len(tags) + 4
    place = 8 + sum(lengths)
    value = b"\0\2" + len(text).to_bytes(4) + place.to_bytes(4)
    entries = [tag.to_bytes(2) + value for tag in tags]
    link = Base.ExifOffset.to_bytes(2) + b"\0\4\0\0\0\1" + (8 + lengths[0]).to_bytes(4)
    main = sorted([*entries, link])
    exif = Image.Exif()
    exif.load(
        b"Exif\0\0MM\0*\0\0\0\x08"
        + (len(main).to_bytes(2) + b"".join(main) + bytes(4))
        + (len(entries).to_bytes(2) + b"".join(entries) + bytes(4))
        + text * 2 * len(tags)  # Pillow adds up the lengths, and skips tags once they exceed the file
    )
    assert exif.get_ifd(IFD.Exif)[Base.FNumber] == exif[Base.Make] == text.decode()
    return exif


@pytest.mark.parametrize(
    "text", [b"Anna lives at 12 Elm Road", b"59.9139 N 10.7522 E", b"2026:11:20 06:45:10 Elm Road"]
)
def test_no_text_of_the_file_is_shared_whichever_tag_holds_it(text: bytes) -> None:
    written = shared_exif.shareable(ascii_everywhere(text))
    assert text[-8:] not in written
    assert text[:8] not in written or text.startswith(b"2026:11:20")


@pytest.mark.parametrize("text", [TIME + " Elm Road", TIME + ".5 Elm Road", "+01:00 Elm Road", "98 Elm Road"])
def test_texts_behind_times_are_dropped(text: str) -> None:
    exposure = dict.fromkeys((Base.DateTimeOriginal, Base.OffsetTimeOriginal, Base.SubsecTimeOriginal), text)
    exif = Image.Exif()
    exif[IFD.Exif] = exposure
    assert b"Elm" not in shared_exif.shareable(exif)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (Base.Flash, 4_000_000),
        (Base.MeteringMode, 77),
        (Base.WhiteBalance, 2),
        (Base.FocalLength, IFDRational(0, 0)),
        (Base.FocalLength, IFDRational(4_000_000_000, 1)),
        (Base.LensSpecification, (1.0, 2.0)),
    ],
)
def test_values_that_mean_nothing_are_dropped(tag: int, value: object) -> None:
    exif = Image.Exif()
    exif[IFD.Exif] = {tag: value}
    kept = Image.Exif()
    kept.load(shared_exif.shareable(exif))
    assert tag not in kept.get_ifd(IFD.Exif)


def test_the_copy_is_upright_and_in_srgb() -> None:
    kept = shared({Base.ColorSpace: 65535}, Orientation=6)
    assert (kept[Base.Orientation], kept.get_ifd(IFD.Exif)[Base.ColorSpace]) == (1, 1)


@pytest.mark.filterwarnings("ignore")
def test_broken_exif_shares_nothing() -> None:
    broken = Image.Exif()
    broken.load(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\4\0\1\0\0\0\xff\xff\xff\x7f")
    kept = Image.Exif()
    kept.load(shared_exif.shareable(broken))
    assert (kept[Base.Orientation], kept.get_ifd(IFD.Exif)) == (1, {Base.ColorSpace: 1})
