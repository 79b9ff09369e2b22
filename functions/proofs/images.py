"""Reading pictures that strangers send: only three formats, only so many pixels, and no way to crash us."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# Format by content, as Pillow names it. MPO is a JPEG with a second picture behind it: phones put a gain map there.
CONTENT_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# A phone's largest photos have 50.1 million pixels (8160 x 6144). A JPEG is shrunk as it is decoded; PNG and WebP come
# in full, several times over: 64 million pixels took 1.3 GB of memory there, 32 million take 700 MB.
MAX_PIXELS = {"image/jpeg": 64_000_000, "image/png": 32_000_000, "image/webp": 32_000_000}
# A progressive JPEG has about ten scans. Each costs a walk over the whole picture, and a small file can hold a million:
# 64 scans of 64 million pixels took eleven seconds, these take two.
MAX_SCANS = 64
MAX_SCANNED_PIXELS = 800_000_000
# Ten million octets of profiles and previews are 160 segments. Each becomes objects in Pillow, and can be four octets.
MAX_SEGMENTS = 2000

# For its fingerprint a JPEG is decoded at the smallest of 1/8, 1/4 and 1/2 that keeps 360 pixels a side (1/8 for 12
# megapixels, where that takes a tenth of the time), and any picture is then shrunk to 384: there PDQ's window is an odd
# number of pixels and centred. On the real photos of our tests this stays within 10 bits of the full size's
# fingerprint, which is Meta's own tolerance; without the second step it is 14.
_DRAFT_SIDE = 360
_SIDE = 384
# A code in the picture needs more: at 1/2 a phone's 12 megapixels are 2016 pixels wide.
_LEGIBLE_DRAFT_SIDE = 1200
_LEGIBLE_SIDE = 2048

# ISO/IEC 10918-1, table B.1: the markers SOI, EOI and SOS follow FF. All other that we meet have a length behind them.
_JPEG = b"\xff\xd8\xff"
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA

# EXIF 2.32, 4.6.4: how the stored pixels lie, and what sets them upright. From 5 on they lie on their side.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}

type UnreadableCode = Literal["not_an_image", "too_large", "type_mismatch"]


class Unreadable(Exception):
    """The bytes are not a picture we accept. `detail` tells the person who sent them."""

    def __init__(self, code: UnreadableCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code: UnreadableCode = code
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A picture the right way up: its size in pixels, and its luma, shrunk for `fingerprints`: (height, width).

    `legible` is a larger luma, for what can be read in the picture, as the file has it: not set upright.
    """

    content_type: str
    width: int
    height: int
    luma: NDArray[np.uint8]
    legible: NDArray[np.uint8] | None = None


def read(data: bytes, declared_type: str, *, legible: bool = False) -> Photo:
    """Read a picture that was announced as `declared_type`. Raises `Unreadable`, and nothing else.

    `legible`: keep a luma of up to 2048 pixels a side too, which takes longer.
    """
    with opened(data, declared_type) as image:
        content_type = CONTENT_TYPES[str(image.format)]
        width, height = image.size
        if content_type == "image/jpeg":
            side = _LEGIBLE_DRAFT_SIDE if legible else _DRAFT_SIDE
            image.draft("L", (side, side))
        turn = upright(image)
        luma = _luma(image)
        large = np.asarray(_bounded(luma, _LEGIBLE_SIDE)) if legible else None
        luma = luma.resize((min(luma.width, _SIDE), min(luma.height, _SIDE)), Image.Resampling.BILINEAR)
        if turn is not None:
            luma = luma.transpose(turn)
        if turn in _LYING:
            width, height = height, width
        return Photo(content_type, width, height, np.asarray(luma), large)


@contextmanager
def opened(data: bytes, declared_type: str) -> Iterator[Image.Image]:
    """The picture, held against its type, our caps and what no camera makes, before a pixel of it is decoded.

    Raises `Unreadable`, also for whatever goes wrong inside of the `with`, where it is decoded.
    """
    try:
        scans = _scans(data) if data.startswith(_JPEG) else 0
        # Pillow's remarks on odd files are for the sender, not for our logs.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image,
        ):
            _check(image, scans, declared_type)
            yield image
    except Unreadable:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(declared_type) from error
    except UnidentifiedImageError as error:
        raise Unreadable("not_an_image", "This file is not a JPEG, PNG or WebP picture.") from error
    except Exception as error:
        # Broken files make Pillow raise SyntaxError, IndexError, struct.error, EOFError and more.
        raise Unreadable("not_an_image", "This picture is damaged or incomplete. Send it again.") from error


def upright(image: Image.Image) -> Image.Transpose | None:
    """What sets the picture upright, by EXIF's orientation; None where it is, or its metadata make no sense."""
    try:
        return _UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:
        return None


def _check(image: Image.Image, scans: int, declared_type: str) -> None:
    content_type = CONTENT_TYPES[str(image.format)]
    if content_type != declared_type:
        detail = f"This file is {content_type}, but {declared_type} was announced. Announce it as what it is."
        raise Unreadable("type_mismatch", detail)
    if image.width * image.height > MAX_PIXELS[content_type]:
        raise _too_large(content_type)
    if content_type == "image/jpeg":
        if scans * image.width * image.height > MAX_SCANNED_PIXELS:
            raise _unlike_a_camera()
    elif getattr(image, "is_animated", False):
        raise Unreadable("not_an_image", "This picture is animated. Send a still one.")


def _scans(data: bytes) -> int:
    """How many scans a JPEG has, up to its end: a film that a phone hides behind it does not count."""
    octets = np.frombuffer(data, np.uint8)
    # In a scan FF is followed by 00, or is a mark to restart at (D0 to D7). Any other is a marker.
    marked = np.flatnonzero(octets[:-1] == 0xFF)
    kinds = octets[marked + 1]
    markers = marked[(kinds >= 0xC0) & (kinds < 0xFF) & (kinds >> 3 != 0x1A)]
    scans, place = 0, 0
    for _ in range(MAX_SEGMENTS):
        index = np.searchsorted(markers, place)
        if index == len(markers):
            return scans
        place = int(markers[index])
        kind = data[place + 1]
        if kind == _END:
            return scans
        scans += kind == _SCAN
        if scans > MAX_SCANS:
            break
        place += 2
        if kind != _START:
            place += int.from_bytes(data[place : place + 2])
    raise _unlike_a_camera()


def _unlike_a_camera() -> Unreadable:
    return Unreadable("not_an_image", "No camera builds a JPEG like this. Save it anew and send that.")


def _luma(image: Image.Image) -> Image.Image:
    """The brightness that a person sees, 8 bits: what is transparent lies on white."""
    if image.mode.startswith("I;16"):
        return eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white.convert("L")
    return image.convert("L")


def eight_bits(image: Image.Image) -> Image.Image:
    """A picture of 16 bits in 8: Pillow would clip it at 255."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _bounded(luma: Image.Image, side: int) -> Image.Image:
    """The same picture with at most `side` pixels a side."""
    if max(luma.size) <= side:
        return luma
    scale = side / max(luma.size)
    return luma.resize(
        (max(1, round(luma.width * scale)), max(1, round(luma.height * scale))), Image.Resampling.BILINEAR
    )


def _too_large(content_type: str) -> Unreadable:
    limit = MAX_PIXELS.get(content_type, min(MAX_PIXELS.values())) // 1_000_000
    return Unreadable("too_large", f"This picture has more than {limit} million pixels. Send a smaller one.")
