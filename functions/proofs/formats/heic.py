"""HEIC, the format of iPhones (ISO/IEC 23008-12): boxes around pictures that are compressed as HEVC.

libheif (https://github.com/strukturag/libheif) reads it. It bounds the number of boxes, items and tiles by itself, but
not its time, so it must only run in the limited process of `sandbox`.
"""

import io
from collections.abc import Callable

import pi_heif
from PIL import Image

from proofs.formats.parts import MAX_PROFILE, PictureParts, tiff

CONTENT_TYPES = ("image/heic", "image/heif")
# The brands of still pictures and sequences that are coded as HEVC, and the general ones, which AVIF can have too.
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_MAX_BRANDS = 32

# One thread: a function has one processor. Depth maps and previews are of no use.
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = False
pi_heif.options.DEPTH_IMAGES = False
pi_heif.options.AUX_IMAGES = False


def is_heic(data: bytes) -> bool:
    """Whether the file begins as HEIC does: a box `ftyp` with its brands."""
    length = min(int.from_bytes(data[:4]), 16 + 4 * _MAX_BRANDS)
    brands = {data[place : place + 4] for place in (8, *range(16, length, 4))}
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS and not brands & _AVIF


def opened(data: bytes) -> tuple[PictureParts, tuple[int, int], Callable[[], Image.Image]]:
    """The parts of the main picture, its size, and what decodes it. The decoder turns it upright by itself."""
    file = pi_heif.open_heif(io.BytesIO(data))
    main = file[file.primary_index]

    def decode() -> Image.Image:
        main.load()
        return Image.frombytes(main.mode, main.size, main.data, "raw", main.mode, main.stride)

    profile = main.info.get("icc_profile") or b""
    kept = profile if len(profile) <= MAX_PROFILE else b""
    return PictureParts(CONTENT_TYPES[0], data, tiff(main.info.get("exif") or b""), kept), main.size, decode
