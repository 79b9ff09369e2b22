"""Files as phones, cameras, messengers, scanners and editors write them: odd ones are read, incomplete ones refused."""

import contextlib
import io
import re
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from PIL.ExifTags import IFD, Base, Interop
from PIL.PngImagePlugin import PngInfo

from proofs import colours, derivatives, fingerprints, images, inspection
from proofs.capture_time import CaptureTime
from proofs.inspection import Findings
from proofs.unreadable import UnreadableImage
from tests.support import profiles
from tests.support.heic import heic
from tests.support.hostile_pictures import noise, png, rationals
from tests.support.pictures import encoded, picture

JPEG, PNG, WEBP, HEIC = "image/jpeg", "image/png", "image/webp", "image/heic"
SIZE = (640, 480)
SCENE = picture(21, SIZE)
EXPECTED = fingerprints.fingerprint(np.asarray(SCENE.convert("L")))


def read(data: bytes, declared_type: str = JPEG) -> Findings:
    return inspection.inspect(data, declared_type, strip_exif=True, read_codes=False)


def check_scene(data: bytes, declared_type: str = JPEG, *, by: int = 12) -> None:
    """Assert that the file shows the scene, to the fingerprint and to other people."""
    found = read(data, declared_type)
    assert (found.width, found.height) == SIZE
    assert found.variants[0].distance(EXPECTED) <= by
    with Image.open(io.BytesIO(found.picture)) as seen:
        assert (seen.format, seen.mode, seen.size) == ("JPEG", "RGB", SIZE)
        assert fingerprints.fingerprint(np.asarray(seen.convert("L"))).distance(EXPECTED) <= by


def refusal(data: bytes, declared_type: str = JPEG) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read(data, declared_type)
    return caught.value


JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "full colour resolution": {"subsampling": 0},
    "optimised": {"optimize": True},
}


class TestCutJpegs:
    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_jpeg_without_its_end_marker_is_read(self, options: dict[str, Any]) -> None:
        data = encoded(SCENE, **options)
        assert data.endswith(b"\xff\xd9")
        for cut in (data[:-2], data[:-1], data[:-2] + bytes(5000), data[:-2] + b"SEFT trailer of a phone" * 90):
            check_scene(cut)

    @pytest.mark.parametrize("mode", ["L", "CMYK"])
    def test_grey_and_printed_ones_too(self, mode: str) -> None:
        check_scene(encoded(SCENE.convert(mode))[:-2])

    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    @pytest.mark.parametrize("missing", [60, 200, 1000, 0.1, 0.5, 0.9])
    def test_a_jpeg_with_missing_rows_is_refused(self, options: dict[str, Any], missing: float) -> None:
        data = encoded(SCENE, **options)
        kept = len(data) - (int(missing) if missing >= 1 else int(len(data) * missing))
        assert refusal(data[:kept]).code == "not_an_image"

    def test_a_missing_last_scan_is_refused(self) -> None:
        data = encoded(SCENE, progressive=True)
        assert refusal(data[: data.rindex(b"\xff\xda")]).code == "not_an_image"
        assert refusal(data[: data.rindex(b"\xff\xc4")]).code == "not_an_image"

    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    @pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}, {"subsampling": 0}, {"optimize": True}])
    @pytest.mark.parametrize("missing", [0.1, 0.5, 0.9])
    def test_a_jpeg_with_missing_rows_is_refused_in_spite_of_an_end_marker(
        self, mode: str, options: dict[str, Any], missing: float
    ) -> None:
        """Apps that repair a cut file append the marker."""
        data = encoded(SCENE.convert(mode), **options)
        assert refusal(data[: int(len(data) * (1 - missing))] + data[-2:]).code == "not_an_image"

    def test_a_progressive_jpeg_with_missing_rows_is_refused_in_spite_of_an_end_marker(self) -> None:
        data = encoded(SCENE, progressive=True)
        first, second = (found.start() for found in list(re.finditer(b"\xff\xda", data))[:2])
        assert refusal(data[: (first + second) // 2] + data[-2:]).code == "not_an_image"

    @pytest.mark.parametrize("options", JPEGS.values(), ids=list(JPEGS))
    def test_a_complete_jpeg_that_ends_in_one_colour_is_read(self, options: dict[str, Any]) -> None:
        bordered = SCENE.copy()
        bordered.paste("white", (0, SIZE[1] - 100, *SIZE))
        assert read(encoded(bordered, **options)).width == SIZE[0]

    def test_only_the_last_row_of_blocks_missing_is_refused(self) -> None:
        """With a restart marker after each row of blocks, the last row begins at the last of them."""
        data = encoded(SCENE, restart_marker_rows=1)
        last = max(data.rindex(bytes((0xFF, marker))) for marker in range(0xD0, 0xD8) if bytes((0xFF, marker)) in data)
        assert refusal(data[:last]).code == "not_an_image"
        assert refusal(data[: last + 2]).code == "not_an_image"


class TestAppended:
    """What phones put behind or beside the picture is ignored."""

    VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0\0\x10\0mdat" + noise(200_000)

    @staticmethod
    def xmp(content: str) -> bytes:
        return b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + content.encode() + b"</x:xmpmeta>"

    @pytest.mark.parametrize("trailer", [b"", b"\0\0\0\x8cSEFH", b"MotionPhoto_Data"])
    def test_a_motion_photo_is_read(self, trailer: bytes) -> None:
        xmp = self.xmp('GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="200040"')
        check_scene(encoded(SCENE, xmp=xmp) + trailer + self.VIDEO)

    def test_a_motion_photo_without_an_end_marker_is_read(self) -> None:
        check_scene(encoded(SCENE)[:-2] + self.VIDEO)

    @pytest.mark.parametrize("number", [1, 2])
    def test_an_mpo_is_read(self, number: int) -> None:
        file = io.BytesIO()
        SCENE.save(file, "MPO", save_all=True, append_images=[picture(3, SIZE)] * number)
        check_scene(file.getvalue())

    def test_an_ultra_hdr_photo_is_read(self) -> None:
        """A gain map behind the picture, announced in XMP and in the segment of multi-picture files."""
        gain = encoded(picture(3, (160, 120)).convert("L"), xmp=self.xmp('hdrgm:Version="1.0" hdrgm:GainMapMax="3"'))
        file = io.BytesIO()
        SCENE.save(file, "MPO", save_all=True, append_images=[Image.open(io.BytesIO(gain))], xmp=self.xmp("hdrgm"))
        check_scene(file.getvalue())
        check_scene(encoded(SCENE, xmp=self.xmp('<rdf:li Item:Semantic="GainMap"/>')) + gain)

    def test_huge_metadata_is_ignored(self) -> None:
        """XMP in many segments (depth maps), an own segment of the maker, a comment, a second EXIF."""
        data = encoded(SCENE, comment=b"x" * 60_000)
        more = b"".join(
            b"\xff" + marker + (len(content) + 2).to_bytes(2) + content
            for marker, content in [
                (b"\xe1", b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)),
                (b"\xe1", b"Exif\0\0" + rationals(7000)),
                (b"\xe1", b"Exif\0\0" + rationals(7000)),
                (b"\xed", b"Photoshop 3.0\x008BIM" + bytes(50_000)),
                (b"\xef", noise(60_000).replace(b"\xff", b"")),
            ]
            * 10
        )
        check_scene(data[:2] + more + data[2:])


def with_chunk(name: bytes, content: bytes, *, crc: int | None = None, number: int = 1) -> bytes:
    """The scene as a PNG with a chunk after its header."""
    data = encoded(SCENE, file_format="PNG")
    check = (zlib.crc32(name + content) if crc is None else crc).to_bytes(4)
    return data[:33] + (len(content).to_bytes(4) + name + content + check) * number + data[33:]


class TestPngChunks:
    @pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"pHYs", b"tIME", b"prVt"])
    @pytest.mark.parametrize("content", [b"", b"Comment\0\0\0\0\0\0made by a program", bytes(100_000)])
    def test_a_broken_ancillary_chunk_is_skipped(self, name: bytes, content: bytes) -> None:
        check_scene(with_chunk(name, content, crc=1), PNG)
        check_scene(with_chunk(name, content), PNG)

    @pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
    def test_long_and_many_texts_are_skipped(self, name: bytes) -> None:
        check_scene(with_chunk(name, b"Comment\0\0\0\0\0\0" + bytes(3_000_000)), PNG)
        check_scene(with_chunk(name, b"Comment\0\0\0\0\0\0" + bytes(300), number=8000), PNG)

    def test_a_text_that_inflates_to_gigabytes_is_skipped(self) -> None:
        check_scene(with_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200_000_000))), PNG)

    def test_texts_behind_the_pixels_are_skipped(self) -> None:
        text = PngInfo()
        text.add(b"tEXt", b"Software\0" + b"a program " * 100_000, after_idat=True)
        check_scene(encoded(SCENE, file_format="PNG", pnginfo=text) + b"bytes behind the end", PNG)

    def test_a_png_without_its_end_is_read(self) -> None:
        check_scene(encoded(SCENE, file_format="PNG")[:-12], PNG)

    @pytest.mark.parametrize("kept", [0.3, 0.9, 0.99])
    def test_a_png_with_missing_rows_is_refused(self, kept: float) -> None:
        data = encoded(SCENE, file_format="PNG")
        assert refusal(data[: int(len(data) * kept)], PNG).code == "not_an_image"

    def test_the_first_sound_profile_is_used(self) -> None:
        broken = b"x\0\0" + zlib.compress(b"no profile")[:-3]
        sound = b"x\0\0" + zlib.compress(colours.ADOBE_RGB)
        data = with_chunk(b"iCCP", sound)
        both = data[:33] + len(broken).to_bytes(4) + b"iCCP" + broken + bytes(4) + data[33:]
        assert (
            read(both, PNG).picture == read(data, PNG).picture != read(encoded(SCENE, file_format="PNG"), PNG).picture
        )

    def test_a_still_png_with_one_frame_is_read(self) -> None:
        check_scene(with_chunk(b"acTL", (1).to_bytes(4) + bytes(4)), PNG)

    def test_an_interlaced_png_is_read(self) -> None:
        """Adam7: seven pictures, each a part of the pixels. Here by hand, because Pillow does not write it."""
        grey = np.asarray(SCENE.convert("L"))
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        rows = b"".join(b"\0" + row.tobytes() for y, x, down, across in passes for row in grey[y::down, x::across])
        data = bytearray(png(SIZE, zlib.compress(rows)))
        data[28] = 1
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
        check_scene(bytes(data), PNG)

    def test_sixteen_bits_a_colour_are_read(self) -> None:
        deep = np.asarray(SCENE).astype(">u2") * 257
        rows = b"".join(b"\0" + row.tobytes() for row in deep)
        check_scene(png(SIZE, zlib.compress(rows), bits=16, colours=2), PNG)

    @pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
    def test_a_transparent_colour_is_read(self, mode: str) -> None:
        image = SCENE.convert(mode)
        options = {"transparency": 3} if mode in ("P", "L") else {}
        check_scene(encoded(image, file_format="PNG", **options), PNG, by=16)


class TestWebp:
    @pytest.mark.parametrize(
        "options",
        [{}, {"lossless": True}, {"quality": 30}, {"exif": Image.Exif(), "xmp": b"x" * 100_000}],
        ids=["lossy", "lossless", "small", "with metadata"],
    )
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_each_kind_is_read(self, options: dict[str, Any], mode: str) -> None:
        data = encoded(SCENE.convert(mode), file_format="WEBP", **options)
        check_scene(data, WEBP)
        check_scene(data + b"bytes behind the end", WEBP)

    def test_a_missing_last_byte_of_padding_is_tolerated(self) -> None:
        data = encoded(SCENE, file_format="WEBP", xmp=b"x" * 101)
        assert data.endswith(b"x\0")
        check_scene(data[:-1], WEBP)


class TestHeic:
    def test_a_photo_is_read_and_others_see_a_jpeg(self) -> None:
        for declared_type in (HEIC, "image/heif"):
            check_scene(heic(SCENE), declared_type)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_is_upright(self, orientation: int) -> None:
        """The file turns its pixels by a box; the orientation in its EXIF only tells what was done."""
        stored = SCENE
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        turn = images._UPRIGHT.get(orientation)
        if turn is not None:
            back = {
                Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
                Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
            }
            stored = SCENE.transpose(back.get(turn, turn))
        check_scene(heic(stored, exif=exif.tobytes()), HEIC)

    def test_its_time_is_read(self) -> None:
        exif = Image.Exif()
        exif[IFD.Exif] = {Base.DateTimeOriginal: "2026:11:20 06:45:10"}
        captured = read(heic(SCENE, exif=exif.tobytes()), HEIC).captured
        assert isinstance(captured, CaptureTime)
        assert captured.wall.isoformat() == "2026-11-20T06:45:10"

    def test_its_profile_is_used(self) -> None:
        plain, wide = (heic(SCENE), heic(SCENE, icc_profile=colours.ADOBE_RGB))
        assert read(plain, HEIC).picture != read(wide, HEIC).picture

    def test_a_burst_shows_its_main_picture(self) -> None:
        check_scene(heic(SCENE, picture(5, SIZE)), HEIC)

    @pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
    def test_a_truncated_file_is_refused(self, kept: float) -> None:
        data = heic(SCENE)
        assert refusal(data[: int(len(data) * kept)], HEIC).code == "not_an_image"

    @pytest.mark.parametrize("seed", range(12))
    def test_damaged_files_are_read_or_refused(self, seed: int) -> None:
        data = bytearray(heic(picture(seed, (128, 96))))
        chance = np.random.default_rng(seed)
        for place in chance.integers(0, len(data) if seed % 2 else 600, 12):
            data[place] ^= 1 << chance.integers(8)
        with contextlib.suppress(UnreadableImage):
            assert read(bytes(data), HEIC).picture.startswith(b"\xff\xd8\xff")

    def test_one_named_jpg_is_told_how_to_send_it(self) -> None:
        refused = refusal(heic(SCENE), JPEG)
        assert refused.code == "type_mismatch"
        assert refused.detail.startswith("This is an HEIC picture, but image/jpeg was announced.")
        assert "Most Compatible" in refused.detail

    def test_a_jpeg_named_heic_is_a_mismatch(self) -> None:
        assert refusal(encoded(SCENE), HEIC).code == "type_mismatch"

    def test_too_many_pixels_are_refused_before_decoding(self) -> None:
        data = heic(Image.new("L", (64, 64)))
        size = data.index(b"ispe") + 8
        huge = data[:size] + (20_000).to_bytes(4) * 2 + data[size + 8 :]
        assert refusal(huge, HEIC).code in ("too_large", "not_an_image")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "an AVIF picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "an AVIF picture"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "a video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"GIF89a", "a GIF"),
        (b"II*\0\x08\0\0\0", "a TIFF or raw picture"),
        (b"%PDF-1.7", "a PDF"),
    ],
)
def test_other_kinds_of_files_are_named(start: bytes, name: str) -> None:
    for declared_type in (JPEG, HEIC):
        refused = refusal(start + bytes(500), declared_type)
        assert refused.code == "not_an_image"
        assert refused.detail == f"This file is {name}, not a JPEG, PNG, WebP or HEIC picture."


SOFT = picture(4, (800, 600)).filter(ImageFilter.GaussianBlur(3))
LARGE = {
    "CMYK of a printing press": ("CMYK", profiles.table_profile("CMYK", 17)),
    "CMYK of three megabytes": ("CMYK", profiles.table_profile("CMYK", 17, padding=3_000_000)),
    "RGB of a printer": ("RGB", profiles.table_profile("RGB", 33, padding=1_000_000)),
}


class TestColours:
    @pytest.mark.parametrize("name", LARGE)
    def test_large_profiles_are_used(self, name: str) -> None:
        """They are over 64 KB, so a JPEG has them in several segments."""
        mode, profile = LARGE[name]
        data = encoded(SOFT.convert(mode), icc_profile=profile, quality=95)
        assert len(profile) > 65_536
        expected = profiles.by_littlecms(Image.open(io.BytesIO(data)), profile)
        with Image.open(io.BytesIO(read(data).picture)) as seen:
            assert profiles.difference(seen, expected) < 1
        with Image.open(io.BytesIO(data)) as ignored:
            assert profiles.difference(ignored, expected) > 4

    @pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.parametrize(
        ("interoperability", "space"),
        [("R03", 65535), ("R03\0", 1), (None, 2)],
        ids=["named", "also sRGB", "old camera"],
    )
    def test_adobe_rgb_without_a_profile_is_converted(
        self, file_format: str, interoperability: str | None, space: int
    ) -> None:
        exif = Image.Exif()
        named = {IFD.Interop: {Interop.InteropIndex: interoperability}} if interoperability else {}
        exif[IFD.Exif] = {Base.ColorSpace: space} | named
        options = {"lossless": True} if file_format == "WEBP" else {"quality": 95}
        data = encoded(SOFT, file_format=file_format, exif=exif, **options)
        expected = profiles.by_littlecms(Image.open(io.BytesIO(data)).convert("RGB"), colours.ADOBE_RGB)
        with images.open_picture(data, f"image/{file_format.lower()}") as opened:
            assert profiles.difference(derivatives.rendered(opened), expected) < 0.05
        with Image.open(io.BytesIO(read(data, f"image/{file_format.lower()}").picture)) as seen:
            assert profiles.difference(seen, expected) < 1
            assert profiles.difference(seen, SOFT) > 2

    def test_srgb_named_by_the_camera_stays(self) -> None:
        exif = Image.Exif()
        exif[IFD.Exif] = {Base.ColorSpace: 1, IFD.Interop: {Interop.InteropIndex: "R98"}}
        with Image.open(io.BytesIO(read(encoded(SOFT, exif=exif, quality=95)).picture)) as seen:
            assert profiles.difference(seen, SOFT) < 1

    def test_adobe_rgb_is_that_of_the_standard(self) -> None:
        """Pure green and a mid grey of Adobe RGB (1998), by the matrix and gamma of its annex."""
        image = Image.new("RGB", (64, 64), (0, 255, 0))
        image.paste((128, 128, 128), (32, 0, 64, 64))
        seen = colours.to_srgb(image, colours.ADOBE_RGB)
        assert seen.getpixel((5, 5)) == (0, 255, 0)  # out of gamut, clipped
        (grey,) = {seen.getpixel((50, 50))}
        assert max(abs(value - 129) for value in grey) <= 1  # type: ignore[union-attr]

    def test_a_grey_profile_is_used(self) -> None:
        """Also with transparency. Its gamma is 1, so its middle is bright."""
        linear = b"curv" + bytes(4) + (1).to_bytes(4) + (256).to_bytes(2) + bytes(2)
        white = profiles.white()
        contents = {b"wtpt": white, b"kTRC": linear, b"desc": b"desc" + bytes(4) + (2).to_bytes(4) + b"x\0" + bytes(78)}
        profile = profiles.assembled(b"mntrGRAYXYZ ", contents)
        for mode in ("L", "LA"):
            data = encoded(Image.new("L", (64, 64), 128).convert(mode), file_format="PNG", icc_profile=profile)
            with Image.open(io.BytesIO(read(data, PNG).picture)) as seen:
                assert abs(seen.convert("L").getpixel((5, 5)) - 188) <= 2  # type: ignore[operator]

    @pytest.mark.parametrize("size", [2**31, 10, 0])
    def test_sizes_in_a_profile_are_not_trusted(self, size: int) -> None:
        profile = bytearray(profiles.table_profile("RGB", 9))
        profile[:4] = size.to_bytes(4)
        profile[140:144] = size.to_bytes(4)
        check_scene(encoded(SCENE, icc_profile=bytes(profile)), by=40)
