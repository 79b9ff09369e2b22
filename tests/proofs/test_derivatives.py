import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

from proofs import images, inspection
from proofs.unreadable import UnreadableImage
from tests.support import corpora
from tests.support.pictures import encoded, picture

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
FORMATS = [("JPEG", JPEG), ("PNG", PNG), ("WEBP", WEBP)]
# What metadata in a JPEG begin with: EXIF, XMP, IPTC, profiles, second pictures, and comments (the marker FF FE).
METADATA = (b"Exif", b"http:", b"xmp", b"Photoshop", b"8BIM", b"ICC_PROFILE", b"MPF\0", b"GPS", b"SECRET")


def derivative(data: bytes, declared_type: str, *, strip_exif: bool) -> bytes:
    """The cleaned copy of a file."""
    return inspection.inspect(data, declared_type, strip_exif=strip_exif, read_codes=False).picture


def segments(data: bytes) -> list[int]:
    """The markers of a JPEG before its picture; asserts that nothing follows the picture."""
    markers, place = [], 2
    while data[place + 1] != 0xDA:
        assert data[place] == 0xFF
        markers.append(data[place + 1])
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
    assert data.count(b"\xff\xd8\xff") == 1
    assert data.endswith(b"\xff\xd9")
    return markers


def bare(data: bytes) -> bool:
    """Whether a JPEG has no metadata: only APP0 (JFIF, with its density) and what decoding needs."""
    return set(segments(data)) <= {0xE0, 0xDB, 0xC0, 0xC4} and not any(word in data for word in METADATA)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    image.load()
    return image


def colour(data: bytes, x: float = 0.5, y: float = 0.5) -> tuple[int, ...]:
    """The colour at a relative position (0 to 1) of the picture."""
    image = opened(data)
    pixel = image.getpixel((int(x * image.width), int(y * image.height)))
    assert isinstance(pixel, tuple)
    return pixel


def near(one: tuple[int, ...], other: tuple[int, ...], by: int = 6) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= by


def exif(orientation: int = 1) -> Image.Exif:
    """EXIF as a phone writes it, with private fields."""
    written = Image.Exif()
    written[Base.Make], written[Base.Artist], written[Base.Orientation] = "Camera", "SECRET", orientation
    written[IFD.Exif] = {Base.DateTimeOriginal: "2026:11:20 06:45:10", Base.MakerNote: b"SECRET"}
    written[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (59.0, 54.0, 50.0), GPS.GPSMapDatum: "SECRET"}
    return written


def corner(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Blue, with a red upper left quarter, so that every orientation differs."""
    image = Image.new("RGB", size, "blue")
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 2), "red")
    return image


class TestWithoutMetadata:
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_all_metadata_is_removed(self, file_format: str, declared_type: str) -> None:
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        more: dict[str, object] = {"exif": exif(), "xmp": b"<x:xmpmeta>SECRET", "icc_profile": profile}
        if file_format == "PNG":
            text = PngInfo()
            text.add_text("Comment", "SECRET")
            text.add_itxt("XML:com.adobe.xmp", "SECRET")
            more |= {"pnginfo": text}
        if file_format == "JPEG":
            more |= {"comment": b"SECRET", "progressive": True}
        data = encoded(picture(1, (320, 240)), file_format=file_format, **more)
        assert b"SECRET" in data
        out = derivative(data, declared_type, strip_exif=True)
        assert bare(out)
        assert opened(out).size == (320, 240)

    def test_a_second_picture_and_trailing_bytes_are_removed(self) -> None:
        file = io.BytesIO()
        picture(1, (320, 240)).save(file, "MPO", save_all=True, append_images=[picture(2, (160, 120))])
        assert bare(derivative(file.getvalue() + b"SECRET", JPEG, strip_exif=True))

    def test_the_same_photo_gives_the_same_bytes(self) -> None:
        data = encoded(picture(1, (2500, 1500)), exif=exif(6))
        for strip in (True, False):
            assert len({derivative(data, JPEG, strip_exif=strip) for _ in range(3)}) == 1


class TestWithMetadata:
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_how_the_photo_was_taken_is_kept(self, file_format: str, declared_type: str) -> None:
        data = encoded(corner(), file_format=file_format, exif=exif(6))
        out = derivative(data, declared_type, strip_exif=False)
        assert not any(word in out for word in (b"SECRET", b"GPS"))
        kept = opened(out).getexif()
        assert Base.Make not in kept
        assert kept.get_ifd(IFD.Exif)[Base.DateTimeOriginal] == "2026:11:20 06:45:10"
        assert not kept.get_ifd(IFD.GPSInfo)
        assert not kept.get_ifd(IFD.IFD1)

    def test_the_photo_is_rotated_once(self) -> None:
        out = derivative(encoded(corner(), exif=exif(6)), JPEG, strip_exif=False)
        assert opened(out).getexif()[Base.Orientation] == 1
        assert opened(out).size == (240, 320)


class TestPicture:
    # where the red quarter appears, which is stored at the upper left
    SEEN = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    @pytest.mark.parametrize("orientation", SEEN)
    def test_the_picture_is_upright(self, orientation: int, file_format: str, declared_type: str) -> None:
        data = encoded(corner(), file_format=file_format, exif=exif(orientation))
        out = derivative(data, declared_type, strip_exif=True)
        assert opened(out).size == ((240, 320) if orientation >= 5 else (320, 240))
        for x in (0, 1):
            for y in (0, 1):
                expected = (254, 0, 0) if (x, y) == self.SEEN[orientation] else (0, 0, 254)
                assert near(colour(out, 0.25 + x / 2, 0.25 + y / 2), expected)

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((4032, 3024), (2016, 1512)),
            ((3024, 4032), (1512, 2016)),
            ((2048, 100), (2048, 100)),
            ((2049, 1000), (2048, 1000)),
            ((3000, 3), (2048, 2)),
            ((5000, 1), (2048, 1)),
            ((1, 1), (1, 1)),
        ],
    )
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_the_picture_is_no_larger_than_a_screen(
        self, size: tuple[int, int], expected: tuple[int, int], file_format: str, declared_type: str
    ) -> None:
        options = {"method": 0} if file_format == "WEBP" else {"compress_level": 1} if file_format == "PNG" else {}
        data = encoded(Image.new("RGB", size, "teal"), file_format=file_format, **options)
        out = derivative(data, declared_type, strip_exif=True)
        seen = opened(out).size
        assert max(seen) <= images.MAX_SIDE
        assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= 32
        assert near(colour(out), (0, 128, 128))

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_each_png_mode_keeps_its_brightness(self, mode: str) -> None:
        grey: NDArray[np.uint16] = np.full((60, 80), 200 * 257, np.uint16)
        image = Image.fromarray(grey) if mode == "I;16" else Image.new("L", (80, 60), 200).convert(mode)
        seen = colour(derivative(encoded(image, file_format="PNG"), PNG, strip_exif=True))
        assert near(seen, (200, 200, 200)) or mode == "1"

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS[1:])
    def test_transparent_pixels_become_white(self, file_format: str, declared_type: str) -> None:
        image = corner((3000, 2000)).convert("RGBA")
        image.paste((0, 0, 0, 0), (1500, 0, 3000, 2000))
        data = encoded(image, file_format=file_format, **({"method": 0} if file_format == "WEBP" else {}))
        out = derivative(data, declared_type, strip_exif=True)
        assert near(colour(out, 0.75, 0.5), (255, 255, 255))
        assert near(colour(out, 0.25, 0.25), (254, 0, 0))

    def test_the_picture_looks_like_the_original(self) -> None:
        original = picture(7, (4032, 3024))
        seen = opened(derivative(encoded(original, quality=95), JPEG, strip_exif=True))
        expected = original.resize(seen.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(seen, np.int16) - np.asarray(expected, np.int16)).mean() < 4


class TestColours:
    @staticmethod
    def display_p3() -> bytes:
        """A matrix and curve profile with the primaries of Display P3 (SMPTE EG 432-1, adapted to D50)."""
        profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        primaries = {
            b"rXYZ": (0.51512, 0.24120, -0.00105),
            b"gXYZ": (0.29198, 0.69225, 0.04189),
            b"bXYZ": (0.15710, 0.06657, 0.78407),
        }
        for name, values in primaries.items():
            entry = profile.index(name)
            place = int.from_bytes(profile[entry + 4 : entry + 8]) + 8
            numbers = b"".join(round(value * 65536).to_bytes(4, signed=True) for value in values)
            profile[place : place + 12] = numbers
        return bytes(profile)

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_display_p3_becomes_srgb(self, file_format: str, declared_type: str) -> None:
        """A Display P3 colour of (200, 100, 50) is a redder orange in sRGB; white is unchanged."""
        image = Image.new("RGB", (320, 240), (200, 100, 50))
        image.paste((255, 255, 255), (160, 0, 320, 240))
        options = {"lossless": True} if file_format == "WEBP" else {"quality": 95, "subsampling": 0}
        data = encoded(image, file_format=file_format, icc_profile=self.display_p3(), **options)
        out = derivative(data, declared_type, strip_exif=True)
        assert near(colour(out, 0.25), (215, 97, 36))
        assert near(colour(out, 0.75), (255, 255, 255), by=2)
        assert bare(out)

    @pytest.mark.parametrize("profile", [b"", b"not a profile", b"\0" * 128, b"\0" * 70_000])
    def test_a_broken_profile_is_ignored(self, profile: bytes) -> None:
        data = encoded(Image.new("RGB", (320, 240), (200, 100, 50)), icc_profile=profile)
        assert near(colour(derivative(data, JPEG, strip_exif=True)), (200, 100, 50))

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_a_profile_of_another_mode_is_ignored(self, mode: str) -> None:
        data = encoded(Image.new("L", (320, 240), 200).convert(mode), icc_profile=self.display_p3())
        assert near(colour(derivative(data, JPEG, strip_exif=True)), (200, 200, 200))

    def test_a_grey_picture_keeps_its_brightness(self) -> None:
        data = encoded(Image.new("L", (320, 240), 200))
        assert near(colour(derivative(data, JPEG, strip_exif=True)), (200, 200, 200))


class TestRefusals:
    def test_an_unreadable_file_is_refused(self) -> None:
        whole = encoded(picture(1, (320, 240)))
        for data in (b"", whole[: len(whole) // 2], b"I did it, I promise.\n" * 50):
            with pytest.raises(UnreadableImage):
                derivative(data, JPEG, strip_exif=True)

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux's /proc")
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_the_largest_picture_fits_the_memory_of_a_function(
        self, tmp_path: Path, file_format: str, declared_type: str
    ) -> None:
        file = tmp_path / "largest"
        options: dict[str, Any] = {"lossless": True, "method": 0, "compress_level": 1}
        largest = (
            Image.new("RGB", (8000, 8000), "teal")
            if file_format == "JPEG"
            else Image.new("RGBA", (8000, 4000), (9, 8, 7, 100))
        )
        largest.save(file, file_format, **options)
        program = (
            "import sys; sys.path[:] = sys.argv[3:]; from proofs import inspection;"
            "inspection.inspect(open(sys.argv[1], 'rb').read(), sys.argv[2], strip_exif=True, read_codes=True);"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, file, declared_type, *sys.path], capture_output=True, text=True, check=True
        )
        assert int(run.stdout) < 900 * 1024


@corpora.needed
class TestRealFiles:
    @pytest.mark.parametrize(
        "path", [*corpora.files("photos/*.jpg"), *corpora.files("invalid/*")], ids=lambda path: path.stem
    )
    def test_all_metadata_of_a_real_photo_is_removed(self, path: Path) -> None:
        data = path.read_bytes()
        out = derivative(data, JPEG, strip_exif=True)
        assert bare(out)
        kept = opened(derivative(data, JPEG, strip_exif=False)).getexif()
        assert not kept.get_ifd(IFD.GPSInfo)
        assert Base.MakerNote not in kept.get_ifd(IFD.Exif)

    @pytest.mark.parametrize("path", corpora.files("photos/landscape_*.jpg"), ids=lambda path: path.stem)
    def test_a_landscape_photo_stays_landscape(self, path: Path) -> None:
        """The sixth is stored in portrait, with an EXIF orientation."""
        image = opened(derivative(path.read_bytes(), JPEG, strip_exif=True))
        assert image.size == (600, 450)
