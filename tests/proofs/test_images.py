import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from proofs import fingerprints, images, inspection
from proofs.images import UnreadableImage
from proofs.rules.verdict import DISCARDED_QUALITY, DUPLICATE_DISTANCE, is_comparable
from tests.support import corpora
from tests.support.pictures import encoded, photo, picture

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
FORMATS = [("JPEG", JPEG), ("PNG", PNG), ("WEBP", WEBP)]

ORIGINAL = picture(11)
FULL_SIZE = fingerprints.fingerprint(np.asarray(ORIGINAL.convert("L")))


def distance(data: bytes, declared_type: str) -> int:
    """The distance between the fingerprint of the picture as read and that of the original at full size."""
    return fingerprints.fingerprint(images.read_photo(data, declared_type).luma).distance(FULL_SIZE)


def refusal(data: bytes, declared_type: str = JPEG) -> str:
    with pytest.raises(UnreadableImage) as caught:
        images.read_photo(data, declared_type)
    assert caught.value.detail.endswith(".")
    return caught.value.code


class TestAccepted:
    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    def test_each_accepted_format_is_read(self, file_format: str, declared_type: str) -> None:
        data = encoded(ORIGINAL, file_format=file_format)
        read = images.read_photo(data, declared_type)
        assert (read.content_type, read.width, read.height) == (declared_type, 1024, 768)
        assert read.luma.dtype == np.uint8
        assert read.luma.shape == (384, 384)
        assert distance(data, declared_type) <= 10

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_each_jpeg_mode_is_read(self, mode: str) -> None:
        assert distance(encoded(ORIGINAL.convert(mode)), JPEG) <= 10

    @pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
    def test_each_png_mode_is_read(self, mode: str) -> None:
        assert distance(encoded(ORIGINAL.convert(mode), file_format="PNG"), PNG) <= 12

    def test_sixteen_bit_pictures_are_scaled_to_eight(self) -> None:
        grey = np.asarray(ORIGINAL.convert("L")).astype(np.uint16) * 257
        assert distance(encoded(Image.fromarray(grey), file_format="PNG"), PNG) <= 10

    def test_a_black_and_white_picture_is_read(self) -> None:
        read = images.read_photo(encoded(ORIGINAL.convert("1"), file_format="PNG"), PNG)
        assert read.luma.max() > 200

    def test_a_progressive_jpeg_is_read(self) -> None:
        assert distance(encoded(ORIGINAL, progressive=True), JPEG) <= 10

    def test_twelve_megapixels_are_read(self) -> None:
        data = encoded(ORIGINAL.resize((4032, 3024)))
        read = images.read_photo(data, JPEG)
        assert (read.width, read.height) == (4032, 3024)
        assert distance(data, JPEG) <= 10

    def test_a_mirrored_copy_is_found_by_a_dihedral_fingerprint(self) -> None:
        data = encoded(ORIGINAL.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        assert distance(data, JPEG) > 3 * DUPLICATE_DISTANCE
        variants = fingerprints.dihedral(images.read_photo(data, JPEG).luma)
        assert min(variant.distance(FULL_SIZE) for variant in variants) <= 10

    @pytest.mark.parametrize("size", [(1, 1), (3, 3000), (3000, 3)])
    def test_a_picture_too_small_to_compare_is_still_read(self, size: tuple[int, int]) -> None:
        read = images.read_photo(encoded(Image.new("RGB", size), file_format="PNG"), PNG)
        assert (read.width, read.height) == size
        assert not is_comparable(fingerprints.fingerprint(read.luma).quality)

    def test_a_second_picture_appended_by_a_phone_is_ignored(self) -> None:
        file = io.BytesIO()
        ORIGINAL.save(file, "MPO", save_all=True, append_images=[ORIGINAL.resize((256, 192))])
        assert images.read_photo(file.getvalue(), JPEG).content_type == JPEG
        assert distance(file.getvalue(), JPEG) <= 10

    def test_bytes_after_the_picture_are_ignored(self) -> None:
        assert distance(encoded(ORIGINAL) + b"a video, or whatever a phone adds" * 100, JPEG) <= 10

    def test_a_video_after_the_picture_has_no_scans(self) -> None:
        """Phones append videos, whose bytes can contain the markers of a hundred scans by chance."""
        film = b"\xff\xda\x12" * 100
        assert distance(encoded(ORIGINAL) + film, JPEG) <= 10

    def test_a_preview_in_the_metadata_has_no_scans(self) -> None:
        assert distance(encoded(ORIGINAL, exif=b"Exif\0\0" + b"\xff\xd9\xff\xda" * 100), JPEG) <= 10


class TestTransparency:
    def test_transparent_pixels_are_white(self) -> None:
        """A picture hidden in transparent pixels does not count."""
        hidden = ORIGINAL.convert("RGBA")
        hidden.putalpha(0)
        for file_format, declared_type in FORMATS[1:]:
            options = {"exact": True} if file_format == "WEBP" else {}
            data = encoded(hidden, file_format=file_format, **options)
            assert (images.read_photo(data, declared_type).luma == 255).all()

    def test_a_transparent_palette_colour_is_white(self) -> None:
        image = Image.new("P", (400, 400), 1)
        image.putpalette([0, 0, 0, 10, 20, 30])
        assert (images.read_photo(encoded(image, file_format="PNG", transparency=1), PNG).luma == 255).all()


class TestOrientation:
    TURNED = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    @pytest.mark.parametrize("orientation", TURNED)
    def test_the_orientation_is_applied(self, orientation: int, file_format: str, declared_type: str) -> None:
        """The fingerprint is of the upright picture."""
        turn = self.TURNED[orientation]
        stored = ORIGINAL if turn is None else ORIGINAL.transpose(turn)
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(stored, file_format=file_format, exif=exif)
        read = images.read_photo(data, declared_type)
        assert (read.width, read.height) == ORIGINAL.size
        assert distance(data, declared_type) <= 10

    @pytest.mark.parametrize(
        "exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0" + b"\xff" * 60, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
    )
    def test_broken_metadata_is_ignored(self, exif: bytes) -> None:
        assert distance(encoded(ORIGINAL, exif=exif), JPEG) <= 10

    @pytest.mark.parametrize("orientation", [0, 9, 65535])
    def test_an_invalid_orientation_is_ignored(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        data = encoded(ORIGINAL, exif=exif)
        read = images.read_photo(data, JPEG)
        assert (read.width, read.height) == ORIGINAL.size
        assert distance(data, JPEG) <= 10


class TestNotAnImage:
    @pytest.mark.parametrize(
        "data", [b"", b"\0", b"I did it, I promise.\n" * 50, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF"]
    )
    def test_a_file_that_is_not_a_picture_is_refused(self, data: bytes) -> None:
        for _, declared_type in FORMATS:
            assert refusal(data, declared_type) == "not_an_image"

    @pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF", "PPM", "ICO", "PDF"])
    def test_other_formats_are_refused(self, file_format: str) -> None:
        assert refusal(encoded(picture(1, (64, 64)), file_format=file_format)) == "not_an_image"

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS)
    @pytest.mark.parametrize("kept", [0.02, 0.5, 0.98])
    def test_a_truncated_picture_is_refused(self, file_format: str, declared_type: str, kept: float) -> None:
        data = photo(2, (640, 480), file_format=file_format)
        assert refusal(data[: int(len(data) * kept)], declared_type) == "not_an_image"

    @pytest.mark.parametrize(("file_format", "declared_type"), FORMATS[1:])
    def test_an_animated_picture_is_refused(self, file_format: str, declared_type: str) -> None:
        """Other people would see frames that were never compared."""
        file = io.BytesIO()
        frames = [picture(seed, (200, 200)) for seed in range(3)]
        frames[0].save(file, file_format, save_all=True, append_images=frames[1:])
        assert refusal(file.getvalue(), declared_type) == "not_an_image"

    @pytest.mark.parametrize("progressive", [True, False])
    def test_thousands_of_scans_are_refused(self, progressive: bool) -> None:
        data = encoded(Image.new("RGB", (2000, 2000)), progressive=progressive)
        last = data[data.rindex(b"\xff\xda") : -2]
        assert refusal(data[:-2] + last * 10_000 + b"\xff\xd9") == "not_an_image"

    def test_scans_after_an_end_marker_in_a_comment_are_counted(self) -> None:
        """An end marker inside a comment does not hide later scans."""
        data = encoded(Image.new("RGB", (2000, 2000)), progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        assert refusal(data[:-2] + b"\xff\xfe\0\4\xff\xd9" + last * 10_000 + b"\xff\xd9") == "not_an_image"

    def test_few_scans_of_many_pixels_are_refused(self) -> None:
        data = encoded(Image.new("L", (7000, 7000)), progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        assert refusal(data[:-2] + last * 15 + b"\xff\xd9") == "not_an_image"


class TestTypeMismatch:
    @pytest.mark.parametrize(("file_format", "actual"), FORMATS)
    @pytest.mark.parametrize("declared", [JPEG, PNG, WEBP, "image/gif", "text/plain", ""])
    def test_the_content_must_match_the_announced_type(self, file_format: str, actual: str, declared: str) -> None:
        data = photo(3, (64, 64), file_format=file_format)
        if actual == declared:
            assert images.read_photo(data, declared).content_type == actual
        else:
            assert refusal(data, declared) == "type_mismatch"


class TestTooLarge:
    BOMBS = {
        "PNG, pixels beyond our cap": ((8000, 8001), "PNG", PNG),
        "PNG, pixels beyond Pillow's": ((20_000, 20_000), "PNG", PNG),
        "JPEG, pixels beyond our cap": ((8001, 8000), "JPEG", JPEG),
        "WebP, pixels beyond our cap": ((6000, 6000), "WEBP", WEBP),
    }

    @pytest.mark.parametrize(("size", "file_format", "declared_type"), BOMBS.values(), ids=list(BOMBS))
    def test_pictures_with_too_many_pixels_are_refused(
        self, size: tuple[int, int], file_format: str, declared_type: str
    ) -> None:
        options = {"lossless": True, "method": 0} if file_format == "WEBP" else {}
        data = encoded(Image.new("L", size), file_format=file_format, **options)
        assert len(data) < 2_000_000
        assert refusal(data, declared_type) == "too_large"

    def test_a_header_with_too_many_pixels_is_refused_before_decoding(self) -> None:
        """The size is checked before decoding and before memory is allocated."""
        data = bytearray(encoded(Image.new("RGB", (8, 8)), file_format="WEBP", lossless=True))
        data[21:25] = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
        assert refusal(bytes(data), WEBP) == "too_large"

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux's /proc")
    def test_the_largest_picture_fits_the_memory_of_a_function(self, tmp_path: Path) -> None:
        """In a separate process, to measure its peak. The worst case is a transparent WebP of 32 megapixels."""
        file = tmp_path / "largest.webp"
        Image.new("RGBA", (8000, 4000), (9, 8, 7, 100)).save(file, lossless=True, method=0)
        program = (
            "import sys; sys.path[:] = sys.argv[2:]; from proofs import images;"
            "images.read_photo(open(sys.argv[1], 'rb').read(), 'image/webp');"
            # getrusage would include the peak of the parent process.
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, file, *sys.path], capture_output=True, text=True, check=True
        )
        assert int(run.stdout) < 900 * 1024


class TestHostile:
    SEEDS = [
        (photo(seed, (96, 64), file_format=file_format, **options), declared_type)
        for seed, (file_format, declared_type, options) in enumerate(
            [("JPEG", JPEG, {}), ("JPEG", JPEG, {"progressive": True}), ("PNG", PNG, {}), ("WEBP", WEBP, {})]
        )
    ]

    @settings(max_examples=400, deadline=None)
    @given(
        st.sampled_from(SEEDS),
        st.lists(
            st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=8), st.integers(0, 8)),
            min_size=1,
            max_size=6,
        ),
    )
    def test_mutated_files_are_read_or_refused(
        self, seed: tuple[bytes, str], edits: list[tuple[float, bytes, int]]
    ) -> None:
        """Whatever is cut, inserted or overwritten, only UnreadableImage is raised."""
        data, declared_type = bytearray(seed[0]), seed[1]
        for place, inserted, cut in edits:
            start = int(place * len(data))
            data[start : start + cut] = inserted
        with contextlib.suppress(UnreadableImage):
            assert images.read_photo(bytes(data), declared_type).content_type == declared_type

    @pytest.mark.parametrize(
        "error", [SyntaxError, IndexError, OSError, ValueError, KeyError, EOFError, RecursionError, AssertionError]
    )
    def test_any_exception_of_pillow_becomes_unreadable(
        self, error: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error("as broken files make it")

        monkeypatch.setattr(images, "_luma", fail)
        assert refusal(photo(1, (64, 64))) == "not_an_image"

    def test_running_out_of_memory_becomes_damaged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr(images, "_luma", fail)
        assert refusal(photo(1, (64, 64))) == "damaged"

    def test_the_settings_of_pillow_are_unchanged(self) -> None:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        images.read_photo(photo(1, (64, 64)), JPEG)
        refusal(b"")
        assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@corpora.needed
class TestRealFiles:
    @pytest.mark.parametrize("path", corpora.files("photos/*.jpg"), ids=lambda path: path.stem)
    def test_real_photos_stay_within_metas_tolerance(self, path: Path) -> None:
        """A photo decoded at reduced size has a fingerprint within 10 bits of the full size's."""
        with Image.open(path) as image:
            whole = np.asarray(image.convert("L"))
        expected = fingerprints.fingerprint(whole)
        alone = fingerprints.dihedral(images.read_photo(path.read_bytes(), JPEG).luma)
        with_its_copy = inspection.inspect(path.read_bytes(), JPEG, strip_exif=True, read_codes=False).variants
        for variants in (alone, with_its_copy):
            assert variants[0].quality > DISCARDED_QUALITY
            assert min(variant.distance(expected) for variant in variants) <= 10

    @pytest.mark.parametrize("path", corpora.files("near_duplicates/bridge-*.jpg"), ids=lambda path: path.stem)
    def test_every_copy_of_the_bridge_is_found(self, path: Path) -> None:
        assert self.nearest(path) <= DUPLICATE_DISTANCE

    @pytest.mark.parametrize("path", corpora.files("near_duplicates/unrelated-*.jpg"), ids=lambda path: path.stem)
    def test_no_other_picture_is_the_bridge(self, path: Path) -> None:
        assert self.nearest(path) > 2 * DUPLICATE_DISTANCE

    @pytest.mark.parametrize("path", corpora.files("invalid/*"), ids=lambda path: path.stem)
    def test_invalid_metadata_does_not_hide_a_picture(self, path: Path) -> None:
        assert images.read_photo(path.read_bytes(), JPEG).content_type == JPEG

    @staticmethod
    def nearest(path: Path) -> int:
        bridge = images.read_photo((corpora.ROOT / "near_duplicates/bridge-aaa-orig.jpg").read_bytes(), JPEG)
        variants = fingerprints.dihedral(images.read_photo(path.read_bytes(), JPEG).luma)
        return min(variant.distance(fingerprints.fingerprint(bridge.luma)) for variant in variants)
