"""Reads pictures from untrusted senders: four formats, limited sizes, and only one exception."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from proofs.formats import heic, jpeg, jpeg_rows, kinds, png, webp
from proofs.formats.parts import EXIF_HEADER, PictureParts
from proofs.unreadable import UnreadableImage as UnreadableImage
from proofs.unreadable import damaged, incomplete

# The largest photos of phones have 50.1 million pixels (8160 x 6144). A JPEG is shrunk while it is decoded. The others
# are decoded in full.
MAX_PIXELS = {
    "image/jpeg": 64_000_000,
    "image/png": 32_000_000,
    "image/webp": 32_000_000,
    "image/heic": 64_000_000,
}

# What is computed from a picture is computed from a copy of at most this many pixels a side.
MAX_SIDE = 2048
# A JPEG is decoded at the smallest of 1/8, 1/4 and 1/2 that keeps this many pixels of its longer and of its shorter
# side: enough for other people's screens, and for reading a QR code. 12 megapixels become 2016 pixels wide, in half the
# time of a full decode.
_DRAFT = (1600, 1200)
# For its fingerprint alone, 1/8 is enough for 12 megapixels, in a tenth of the time. PDQ is computed from 384 pixels,
# where its window has an odd number of pixels and is centred. On the real photos of our tests the fingerprint stays
# within 10 bits of the full size's, which is Meta's own tolerance.
_FINGERPRINT_DRAFT = (360, 360)
_SIDE = 384

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


@dataclass(eq=False)
class Picture:
    """An open picture: `size` is (width, height) of the stored pixels, which `turn` makes upright."""

    content_type: str
    size: tuple[int, int]
    profile: bytes = field(repr=False)
    exif: Image.Exif = field(repr=False)
    turn: Image.Transpose | None
    _decode: Callable[[], Image.Image] = field(repr=False)

    @cached_property
    def pixels(self) -> Image.Image:
        """The stored pixels, at most `MAX_SIDE` a side, as L, LA, RGB, RGBA or CMYK. Decoded once."""
        return _fitted(_plain(self._decode()))

    @property
    def upright_size(self) -> tuple[int, int]:
        width, height = self.size
        return (height, width) if self.turn in _SIDEWAYS else (width, height)


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
    with open_picture(data, declared_type, draft=_DRAFT if legible else _FINGERPRINT_DRAFT) as picture:
        return decoded(picture, legible=legible)


def decoded(picture: Picture, *, legible: bool = False) -> DecodedPhoto:
    """The brightness of a picture, on a white background."""
    luma = _luma(picture.pixels)
    large = np.asarray(luma) if legible else None
    luma = luma.resize((min(luma.width, _SIDE), min(luma.height, _SIDE)), Image.Resampling.BILINEAR)
    if picture.turn is not None:
        luma = luma.transpose(picture.turn)
    return DecodedPhoto(picture.content_type, *picture.upright_size, np.asarray(luma), large)


@contextmanager
def open_picture(data: bytes, declared_type: str, *, draft: tuple[int, int] = _DRAFT) -> Iterator[Picture]:
    """Open a picture, and check its type, structure and size before any pixel is decoded.

    `draft`: how many pixels of its longer and shorter side a JPEG must keep when it is shrunk while it is decoded.
    Raises `UnreadableImage`, also in place of any exception in the body of the `with`, where the picture is decoded.
    """
    try:
        # Pillow warns about odd files, which are the sender's concern, not our logs'.
        with warnings.catch_warnings(action="ignore"):
            content_type = _content_type(data)
            if content_type in heic.CONTENT_TYPES:
                _check_heic(declared_type)
                yield _open_heic(data)
                return
            parts = _PARTS[content_type](data)
            with Image.open(io.BytesIO(parts.pixels), formats=_FORMATS) as image:
                _check_type(content_type, declared_type)
                yield _open(parts, image, draft)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(declared_type) from error
    except MemoryError as error:
        raise damaged() from error
    except Exception as error:
        # Broken files make Pillow raise SyntaxError, IndexError, struct.error, EOFError and more.
        raise incomplete() from error


_FORMATS = ("JPEG", "PNG", "WEBP")
_PARTS: dict[str, Callable[[bytes], PictureParts]] = {
    jpeg.CONTENT_TYPE: jpeg.parts,
    png.CONTENT_TYPE: png.parts,
    webp.CONTENT_TYPE: webp.parts,
}


def _content_type(data: bytes) -> str:
    content_type = kinds.content_type(data)
    if content_type is None:
        kind = kinds.other_kind(data)
        detail = f"This file is {kind}, not" if kind else "This file is not"
        raise UnreadableImage("not_an_image", f"{detail} a JPEG, PNG, WebP or HEIC picture.")
    return content_type


def _check_type(content_type: str, declared_type: str) -> None:
    if content_type != declared_type:
        detail = f"This file is {content_type}, but {declared_type} was announced. Announce its real content type."
        raise UnreadableImage("type_mismatch", detail)


def _check_heic(declared_type: str) -> None:
    if declared_type not in heic.CONTENT_TYPES:
        detail = f"This is an HEIC picture, but {declared_type} was announced. {_AS_JPEG}"
        raise UnreadableImage("type_mismatch", detail)


_AS_JPEG = (
    "To take JPEGs with an iPhone, choose Settings, Camera, Formats, Most Compatible. To send this photo, convert it to"
    " JPEG, or announce it as image/heic if the challenge accepts that."
)


def _open(parts: PictureParts, image: Image.Image, draft: tuple[int, int]) -> Picture:
    _check_size(parts.content_type, image.size)
    if getattr(image, "is_animated", False):
        raise UnreadableImage("not_an_image", "This picture is animated. Send a still picture.")
    if parts.may_be_cut and not jpeg_rows.has_every_row(parts.pixels):
        raise incomplete()
    size = image.size
    exif = _exif(parts.exif)

    def decode() -> Image.Image:
        longer, shorter = draft
        width, height = _within(size, longer)
        image.draft(None, (max(width, shorter), max(height, shorter)))
        image.load()
        # Apps that repair a cut JPEG append the end marker.
        is_jpeg = parts.content_type == jpeg.CONTENT_TYPE
        if is_jpeg and jpeg_rows.may_lack_rows(image) and not jpeg_rows.has_every_row(parts.pixels, details=False):
            raise incomplete()
        return image

    return Picture(parts.content_type, size, parts.profile, exif, _upright_transpose(exif), decode)


def _open_heic(data: bytes) -> Picture:
    parts, size, decode = heic.opened(data)
    _check_size(parts.content_type, size)
    return Picture(parts.content_type, size, parts.profile, _exif(parts.exif), None, decode)


def _check_size(content_type: str, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS[content_type]:
        raise _too_large(content_type)


def _exif(tiff: bytes) -> Image.Exif:
    """The tags of EXIF; none if it is broken."""
    exif = Image.Exif()
    try:
        exif.load(EXIF_HEADER + tiff)
    except Exception:
        return Image.Exif()
    return exif


def _upright_transpose(exif: Image.Exif) -> Image.Transpose | None:
    """The transposition that turns the picture upright; None if it is upright or EXIF is broken."""
    try:
        return _UPRIGHT.get(int(exif.get(_ORIENTATION, 1)))
    except Exception:
        return None


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized; transparency becomes an alpha channel."""
    if image.mode.startswith("I;16"):
        return _eight_bits(image)
    if image.mode == "LA":
        return image
    if image.has_transparency_data:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("1", "La"):
        return image.convert("L" if image.mode == "1" else "LA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A 16-bit picture scaled to 8 bits. Pillow would clip it at 255."""
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _fitted(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    # Pillow first reduces by a whole number, and uses Lanczos only from twice the final size on.
    return image.resize(_within(image.size, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size (width, height) when its longer side is `side`."""
    width, height = (max(1, length * side // max(size)) for length in size)
    return width, height


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency, on a white background."""
    if image.mode not in ("LA", "RGBA"):
        return image
    white = Image.new(image.mode.removesuffix("A"), image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _luma(image: Image.Image) -> Image.Image:
    """The visible brightness in 8 bits."""
    return on_white(image).convert("L")


def _too_large(content_type: str) -> UnreadableImage:
    limit = MAX_PIXELS.get(content_type, min(MAX_PIXELS.values())) // 1_000_000
    return UnreadableImage("too_large", f"This picture has more than {limit} million pixels. Send a smaller one.")
