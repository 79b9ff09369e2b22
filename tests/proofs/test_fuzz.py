"""Malformed and hostile files. Each batch is read in a separate process, so a crash of the interpreter fails a test."""

import io
import json
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import GPS, IFD, Base

from proofs import inspection, sandbox
from proofs.capture_time import CaptureTime
from proofs.unreadable import UnreadableImage
from tests.support import corpora
from tests.support.hostile_pictures import BOMBS, JPEG, PNG, WEBP
from tests.support.image_mutants import mutant
from tests.support.pictures import encoded, picture

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
    strip = len(data) % 2 == 0
    try:
        found = inspection.inspect(data, declared_type, strip_exif=strip, read_codes=False)
    except UnreadableImage:
        return False
    assert found.picture.startswith(b"\xff\xd8\xff")
    assert not any(word in found.picture for word in (b"SECRET", b"ICC_PROFILE"))
    assert not strip or b"Exif" not in found.picture
    assert found.captured is None or isinstance(found.captured, CaptureTime)
    return True


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
    data = Path(name).read_bytes()
    before = time.process_time()
    accepted = read_all(data, declared_type)
    print(json.dumps({"accepted": accepted, "peak": peak(), "seconds": time.process_time() - before}))


def alone(call: str, *arguments: object) -> dict[str, float]:
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
    response: dict[str, float] = json.loads(run.stdout)
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


class TestBombs:
    @pytest.mark.parametrize("name", BOMBS)
    def test_a_bomb_takes_no_more_time_and_memory_than_a_photo(self, name: str, tmp_path: Path) -> None:
        make, declared_type, accepted = BOMBS[name]
        file = tmp_path / "bomb"
        file.write_bytes(make())
        assert file.stat().st_size < 10.6 * 1024 * 1024
        found = alone("read_file", str(file), declared_type)
        assert found["accepted"] == accepted
        assert found["peak"] < MEMORY
        assert found["seconds"] < sandbox.PROCESSOR_SECONDS / 2
