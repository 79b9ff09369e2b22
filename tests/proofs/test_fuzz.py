"""Malformed and hostile files. Each batch is read in a separate process, so a crash of the interpreter fails a test."""

import io
import json
import subprocess
import sys
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import GPS, IFD, Base

from proofs import derivatives, images, metadata
from proofs.capture_time import CaptureTime
from tests.support import corpora
from tests.support.image_mutants import mutant
from tests.support.pictures import encoded, picture

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
MUTANTS, LOTS = 6000, 4
# A function has 1,769 MB (infra/function.py), of which a batch of ten files, Python and its modules take a part.
MEMORY = 900 * 1024  # KB

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux's /proc"
)


def seeds() -> list[tuple[bytes, str]]:
    """Small files of every accepted type, with their types, and some real ones if they are available."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Orientation], exif[Base.Artist] = "Camera", 6, "SECRET"
    exif[IFD.Exif] = {
        Base.DateTimeOriginal: "2026:11:20 06:45:10",
        Base.OffsetTimeOriginal: "+01:00",
        Base.FNumber: 2.8,
        Base.MakerNote: b"SECRET" * 9,
    }
    exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (59.0, 54.0, 50.0), GPS.GPSMapDatum: "SECRET"}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    small = picture(1, (96, 64))
    clear = small.convert("RGBA")
    clear.putalpha(90)
    several = io.BytesIO()
    small.save(several, "MPO", save_all=True, append_images=[picture(2, (48, 32))], exif=exif)
    made = [
        (encoded(small, exif=exif), JPEG),
        (encoded(small, exif=exif, icc_profile=profile, progressive=True, comment=b"SECRET"), JPEG),
        (encoded(small.convert("CMYK"), icc_profile=profile, xmp=b"<x:xmpmeta>SECRET"), JPEG),
        (encoded(small.convert("L"), exif=exif, restart_marker_rows=1), JPEG),
        (several.getvalue(), JPEG),
        (encoded(small, file_format="PNG", exif=exif, icc_profile=profile), PNG),
        (encoded(small.quantize(16), file_format="PNG", transparency=3), PNG),
        (encoded(clear, file_format="PNG", exif=exif), PNG),
        (encoded(small, file_format="WEBP", exif=exif, icc_profile=profile, xmp=b"SECRET"), WEBP),
        (encoded(clear, file_format="WEBP", exif=exif), WEBP),
        (encoded(small, file_format="WEBP", lossless=True), WEBP),
    ]
    real = [path.read_bytes() for path in [*corpora.files("photos/*.jpg"), *corpora.files("invalid/*")]]
    return made + [(data, JPEG) for data in real if len(data) < 150_000]


def read_all(data: bytes, declared_type: str) -> bool:
    """Process a file as verdicts do; return whether it is accepted. Only `UnreadableImage` is caught."""
    try:
        photo = images.read_photo(data, declared_type)
    except images.UnreadableImage:
        photo = None
    for strip in (True, False) if len(data) % 2 else (True,):
        try:
            out = derivatives.derivative(data, declared_type, strip_exif=strip)
        except images.UnreadableImage:
            continue
        assert out.startswith(b"\xff\xd8\xff")
        assert not strip or not any(word in out for word in (b"Exif", b"SECRET", b"ICC_PROFILE"))
    try:
        captured = metadata.capture_time(data, declared_type)
    except images.UnreadableImage:
        captured = None
    assert photo is None or isinstance(photo, images.DecodedPhoto)
    assert captured is None or isinstance(captured, CaptureTime)
    return photo is not None


def peak() -> int:
    """The peak memory of this process in KB. getrusage would include the peak of the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def read_lot(first: int, last: int) -> None:
    """Process the mutants `first` to `last`; called in a separate process."""
    kinds = seeds()
    accepted = 0
    for seed in range(first, last):
        data, declared_type = kinds[seed % len(kinds)]
        changed = mutant(seed, data, kinds[(seed * 7 + 3) % len(kinds)][0])
        print(seed, file=sys.stderr, flush=True)  # the last line names the file that crashed the process
        try:
            accepted += read_all(changed, declared_type)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
    print(json.dumps({"accepted": accepted, "peak": peak()}))


def read_file(name: str, declared_type: str) -> None:
    """Process one file; called in a separate process."""
    accepted = read_all(Path(name).read_bytes(), declared_type)
    print(json.dumps({"accepted": accepted, "peak": peak()}))


def alone(call: str, *arguments: object) -> dict[str, int]:
    """Call a function of this module in a new process with one thread; return its last line of output."""
    program = (
        "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from tests.proofs import test_fuzz;"
        f"test_fuzz.{call}(*json.loads(sys.argv[2]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, json.dumps(sys.path), json.dumps(arguments)],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    response: dict[str, int] = json.loads(run.stdout)
    return response


class TestMutants:
    @pytest.mark.parametrize("lot", range(LOTS))
    def test_mutants_are_read_or_refused(self, lot: int) -> None:
        each = MUTANTS // LOTS
        found = alone("read_lot", lot * each, (lot + 1) * each)
        assert found["peak"] < MEMORY
        assert each / 5 < found["accepted"] < each * 4 / 5, "the mutants must include accepted and refused files"

    def test_a_seed_gives_the_same_mutants(self) -> None:
        data, other = encoded(picture(1, (96, 64))), encoded(picture(2, (96, 64)), file_format="PNG")
        assert [mutant(seed, data, other) for seed in range(50)] == [mutant(seed, data, other) for seed in range(50)]


def png(size: tuple[int, int], pixels: bytes, *before: tuple[bytes, bytes], bits: int = 8, colours: int = 0) -> bytes:
    """A PNG with this header, these chunks and this compressed stream."""
    header = size[0].to_bytes(4) + size[1].to_bytes(4) + bytes((bits, colours, 0, 0, 0))
    chunks = [(b"IHDR", header), *before, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in chunks
    )


def zeros(megabytes: int) -> bytes:
    """Megabytes of zeros, compressed to a thousandth."""
    deflate = zlib.compressobj(9)
    return b"".join(deflate.compress(bytes(1_000_000)) for _ in range(megabytes)) + deflate.flush()


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    data = bytearray(encoded(Image.new("RGB", (16, 16), "teal")))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = height.to_bytes(2) + width.to_bytes(2)
    return bytes(data)


def slow_jpeg(mode: str) -> bytes:
    """A JPEG with the most pixels and scans that we accept."""
    data = encoded(Image.new(mode, (5000, 2500)), progressive=True, subsampling=0)
    last = data[data.rindex(b"\xff\xda") : -2]
    more = images.MAX_SCANS - images._scans(data)
    return data[:-2] + last * more + b"\xff\xd9"


def long_exif(size: int, entries: int) -> bytes:
    """EXIF in which every entry claims the whole length."""
    wants = size - 12 * entries - 100
    directory = b"".join(
        (tag + 1).to_bytes(2) + b"\0\1" + wants.to_bytes(4) + (12 * entries + 20).to_bytes(4) for tag in range(entries)
    )
    whole = b"Exif\0\0MM\0*\0\0\0\x08" + entries.to_bytes(2) + directory
    return whole + bytes(size - len(whole))


def webp_canvas() -> bytes:
    """An extended WebP with the largest canvas that 24 bits allow."""
    data = bytearray(encoded(Image.new("RGBA", (16, 16), (9, 8, 7, 100)), file_format="WEBP"))
    canvas = data.index(b"VP8X") + 12
    data[canvas : canvas + 6] = b"\xff" * 6
    return bytes(data)


def many_segments() -> bytes:
    data = encoded(Image.new("RGB", (16, 16)))
    return data[:2] + b"\xff\xe5\0\2" * 2_000_000 + data[2:]


BOMBS: dict[str, tuple[Callable[[], bytes], str, bool]] = {
    "PNG, a few octets for 65,535 x 65,535": (lambda: png((65_535, 65_535), zeros(1)), PNG, False),
    "PNG, two thousand million wide": (lambda: png((0x7FFFFFFF, 1), zeros(1)), PNG, False),
    "PNG, the most pixels of eight octets": (lambda: png((8000, 4000), zeros(257), bits=16, colours=6), PNG, True),
    "PNG, a stream far longer than its pixels": (lambda: png((100, 100), zeros(500)), PNG, True),
    "PNG, an inflated profile": (lambda: png((8, 8), zeros(1), (b"iCCP", b"x\0\0" + zeros(500))), PNG, False),
    "PNG, an inflated text": (lambda: png((8, 8), zeros(1), (b"zTXt", b"x\0\0" + zeros(500))), PNG, False),
    "PNG, an inflated text of many languages": (
        lambda: png((8, 8), zeros(1), (b"iTXt", b"x\0\1\0\0\0" + zeros(500))),
        PNG,
        False,
    ),
    "PNG, many texts": (lambda: png((8, 8), zeros(1), *[(b"zTXt", b"x\0\0" + zeros(1))] * 1000), PNG, False),
    "PNG, EXIF that reads itself": (lambda: png((8, 8), zeros(1), (b"eXIf", long_exif(10**6, 9000)[6:])), PNG, True),
    "JPEG, 65,535 x 65,535 in its header": (lambda: jpeg(65_535, 65_500), JPEG, False),
    # missing data is grey
    "JPEG, 64 million pixels in its header alone": (lambda: jpeg(8000, 8000), JPEG, True),
    "JPEG, no height": (lambda: jpeg(8000, 0), JPEG, False),
    "JPEG, scans": (lambda: slow_jpeg("RGB"), JPEG, True),
    "JPEG, scans of four inks": (lambda: slow_jpeg("CMYK"), JPEG, True),
    "JPEG, empty segments": (many_segments, JPEG, False),
    "JPEG, EXIF that reads itself": (lambda: encoded(Image.new("L", (8, 8)), exif=long_exif(65_000, 2700)), JPEG, True),
    "WebP, a huge canvas": (webp_canvas, WEBP, False),
    "WebP, the most pixels": (
        lambda: encoded(Image.new("RGBA", (8000, 4000), (9, 8, 7, 100)), file_format="WEBP", lossless=True, method=0),
        WEBP,
        True,
    ),
}


class TestBombs:
    @pytest.mark.parametrize("name", BOMBS)
    def test_a_bomb_neither_crashes_nor_exhausts_the_memory(self, name: str, tmp_path: Path) -> None:
        make, declared_type, accepted = BOMBS[name]
        file = tmp_path / "bomb"
        file.write_bytes(make())
        assert file.stat().st_size < 10 * 1024 * 1024
        found = alone("read_file", str(file), declared_type)
        assert found["accepted"] == accepted
        assert found["peak"] < MEMORY
