"""Reads pictures from untrusted senders: three formats, limited sizes, and only one exception."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

# By Pillow's name of the format. MPO is a JPEG followed by a second picture, in which phones store a gain map.
CONTENT_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
# The largest photos of phones have 50.1 million pixels (8160 x 6144). A JPEG is shrunk while it is decoded. PNG and
# WebP are decoded in full and copied several times: 64 million pixels took 1.3 GB of memory, 32 million take 700 MB.
MAX_PIXELS = {"image/jpeg": 64_000_000, "image/png": 32_000_000, "image/webp": 32_000_000}
# A progressive JPEG has about ten scans. Each is a pass over the whole picture, and a small file can contain a million:
# 64 scans of 64 million pixels took 11 s; within these limits it takes 2 s.
MAX_SCANS = 64
MAX_SCANNED_PIXELS = 800_000_000
# 10 MB of profiles and previews are 160 segments. Pillow makes objects of each, and one can be as small as 4 bytes.
MAX_SEGMENTS = 2000

# For its fingerprint, a JPEG is decoded at the smallest of 1/8, 1/4 and 1/2 that keeps 360 pixels a side (1/8 for 12
# megapixels, in a tenth of the time), and any picture is then shrunk to 384 pixels, where PDQ's window has an odd
# number of pixels and is centred. On the real photos of our tests the fingerprint stays within 10 bits of the full
# size's, which is Meta's own tolerance; without the second step, within 14.
_DRAFT_SIDE = 360
_SIDE = 384
# Reading a QR code needs more pixels: at 1/2, a phone's 12 megapixels are 2016 pixels wide.
_LEGIBLE_DRAFT_SIDE = 1200
_LEGIBLE_SIDE = 2048

# ISO/IEC 10918-1, table B.1: the markers SOI, EOI and SOS follow FF. The other markers that occur have a length field.
_JPEG = b"\xff\xd8\xff"
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA

# EXIF 2.32, 4.6.4: the orientation of the stored pixels, and what turns them upright. 5 to 8 swap width and height.
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
_SIDEWAYS = {_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}

type UnreadableCode = Literal["not_an_image", "too_large", "type_mismatch"]


class UnreadableImage(Exception):
    """The bytes are not a picture that we accept. `detail` is for the sender."""

    def __init__(self, code: UnreadableCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code: UnreadableCode = code
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class DecodedPhoto:
    """A picture: its upright size in pixels, and its upright luma, shrunk for `fingerprints`, shaped (height, width).

    `legible` is a larger luma for reading QR codes, in the file's orientation.
    """

    content_type: str
    width: int
    height: int
    luma: NDArray[np.uint8]
    legible: NDArray[np.uint8] | None = None


def read_photo(data: bytes, declared_type: str, *, legible: bool = False) -> DecodedPhoto:
    """Read a picture that was announced as `declared_type`. Raises only `UnreadableImage`.

    With `legible` it also keeps a luma of up to 2048 pixels a side, which takes longer.
    """
    with open_image(data, declared_type) as image:
        content_type = CONTENT_TYPES[str(image.format)]
        width, height = image.size
        if content_type == "image/jpeg":
            side = _LEGIBLE_DRAFT_SIDE if legible else _DRAFT_SIDE
            image.draft("L", (side, side))
        turn = upright_transpose(image)
        luma = _luma(image)
        large = np.asarray(_bounded(luma, _LEGIBLE_SIDE)) if legible else None
        luma = luma.resize((min(luma.width, _SIDE), min(luma.height, _SIDE)), Image.Resampling.BILINEAR)
        if turn is not None:
            luma = luma.transpose(turn)
        if turn in _SIDEWAYS:
            width, height = height, width
        return DecodedPhoto(content_type, width, height, np.asarray(luma), large)


@contextmanager
def open_image(data: bytes, declared_type: str) -> Iterator[Image.Image]:
    """Open a picture, and check its type, size and structure before any pixel is decoded.

    Raises `UnreadableImage`, also in place of any exception in the body of the `with`, where the picture is decoded.
    """
    try:
        scans = _scans(data) if data.startswith(_JPEG) else 0
        # Pillow warns about odd files, which are the sender's concern, not our logs'.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as image,
        ):
            _check(image, scans, declared_type)
            yield image
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise _too_large(declared_type) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("not_an_image", "This file is not a JPEG, PNG or WebP picture.") from error
    except Exception as error:
        # Broken files make Pillow raise SyntaxError, IndexError, struct.error, EOFError and more.
        raise UnreadableImage("not_an_image", "This picture is damaged or incomplete. Send it again.") from error


def upright_transpose(image: Image.Image) -> Image.Transpose | None:
    """The transposition that turns the picture upright, by EXIF; None if it is upright or EXIF is broken."""
    try:
        return _UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:
        return None


def _check(image: Image.Image, scans: int, declared_type: str) -> None:
    content_type = CONTENT_TYPES[str(image.format)]
    if content_type != declared_type:
        detail = f"This file is {content_type}, but {declared_type} was announced. Announce its real content type."
        raise UnreadableImage("type_mismatch", detail)
    if image.width * image.height > MAX_PIXELS[content_type]:
        raise _too_large(content_type)
    if content_type == "image/jpeg":
        if scans * image.width * image.height > MAX_SCANNED_PIXELS:
            raise _unusual_structure()
    elif getattr(image, "is_animated", False):
        raise UnreadableImage("not_an_image", "This picture is animated. Send a still picture.")


def _scans(data: bytes) -> int:
    """The number of scans of a JPEG, up to its end marker: phones append videos, which do not count."""
    octets = np.frombuffer(data, np.uint8)
    # Inside a scan, FF is followed by 00 or is a restart marker (D0 to D7). Anything else is a marker between segments.
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
    raise _unusual_structure()


def _unusual_structure() -> UnreadableImage:
    return UnreadableImage(
        "not_an_image",
        "Cameras do not write JPEGs with this structure. Save the photo again and send that.",
    )


def _luma(image: Image.Image) -> Image.Image:
    """The visible brightness in 8 bits, on a white background."""
    if image.mode.startswith("I;16"):
        return eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white.convert("L")
    return image.convert("L")


def eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit picture scaled to 8 bits. Pillow would clip it at 255."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _bounded(luma: Image.Image, side: int) -> Image.Image:
    """The same picture with at most `side` pixels a side."""
    if max(luma.size) <= side:
        return luma
    scale = side / max(luma.size)
    return luma.resize(
        (max(1, round(luma.width * scale)), max(1, round(luma.height * scale))), Image.Resampling.BILINEAR
    )


def _too_large(content_type: str) -> UnreadableImage:
    limit = MAX_PIXELS.get(content_type, min(MAX_PIXELS.values())) // 1_000_000
    return UnreadableImage("too_large", f"This picture has more than {limit} million pixels. Send a smaller one.")
