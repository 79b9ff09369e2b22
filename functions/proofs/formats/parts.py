"""What is left of a picture's file."""

import zlib
from dataclasses import dataclass, field

# EXIF of phones and cameras has up to 64 KB, because a JPEG segment holds no more. What comes after that is cut off:
# the tags that we read are at the beginning.
MAX_EXIF = 65_536
# Profiles of displays and cameras have 500 to 4,000 bytes, those of printing presses up to 3 MB.
MAX_PROFILE = 4 * 1024 * 1024

EXIF_HEADER = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class PictureParts:
    """A file that has the pixels and nothing else; the TIFF structure of its EXIF; and its ICC profile.

    `may_be_cut`: the file ends without an end marker, so pixels may be missing.
    """

    content_type: str
    pixels: bytes = field(repr=False)
    exif: bytes = field(default=b"", repr=False)
    profile: bytes = field(default=b"", repr=False)
    may_be_cut: bool = False


def tiff(exif: bytes) -> bytes:
    """The TIFF structure of EXIF, which some apps store behind the header that only JPEG has."""
    return exif.removeprefix(EXIF_HEADER)[:MAX_EXIF]


def inflate(data: bytes, limit: int) -> bytes:
    """Decompress a zlib stream of at most `limit` bytes; nothing if it is longer, broken or incomplete."""
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(data, limit)
    except zlib.error:
        return b""
    return inflated if stream.eof else b""
