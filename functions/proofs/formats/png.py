"""PNG (https://www.w3.org/TR/png-3/): a signature, and chunks of length, name, content and CRC."""

import zlib
from collections.abc import Iterator

from proofs.formats.parts import MAX_PROFILE, PictureParts, inflate, tiff
from proofs.unreadable import UnreadableImage, incomplete, unusual_structure

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CONTENT_TYPE = "image/png"
# 10 MB of pixels in the smallest chunks that encoders write by default, 8 KB, are 1,280 chunks.
MAX_CHUNKS = 20_000
# `acTL` of an animation follows its header; what comes after the pixels is text.
_PIXELS, _END, _ANIMATION = b"IDAT", b"IEND", b"acTL"
_CRITICAL = (b"IHDR", b"PLTE", _PIXELS)
_TRANSPARENCY = b"tRNS"


def parts(data: bytes) -> PictureParts:
    """Reduce a PNG to its pixels, profile and EXIF. An ancillary chunk that is broken is left out, as browsers do."""
    kept = [SIGNATURE]
    profile = exif = b""
    frames = 1
    for name, chunk in _chunks(data):
        if name in _CRITICAL:
            kept.append(chunk)
        elif name in (_TRANSPARENCY, b"iCCP", b"eXIf", _ANIMATION) and _is_sound(chunk):
            content = chunk[8:-4]
            if name == _TRANSPARENCY:
                kept.append(chunk)
            elif name == _ANIMATION:
                frames = max(frames, int.from_bytes(content[:4]))
            elif name == b"iCCP":
                profile = profile or _profile(content)
            else:
                exif = exif or tiff(content)
    if frames > 1:
        raise UnreadableImage("not_an_image", "This picture is animated. Send a still picture.")
    kept.append(_chunk(_END))
    return PictureParts(CONTENT_TYPE, b"".join(kept), exif, profile)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the whole of each chunk, up to the end of the picture or of the file."""
    place = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        name = data[place + 4 : place + 8]
        if len(name) < 4 or name == _END:
            return
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if end > len(data) and name in _CRITICAL and name != _PIXELS:
            raise incomplete()
        yield name, data[place:end]
        place = end
    raise unusual_structure()


def _is_sound(chunk: bytes) -> bool:
    """Whether a chunk is complete and its CRC is right."""
    return len(chunk) == 12 + int.from_bytes(chunk[:4]) and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])


def _profile(content: bytes) -> bytes:
    """The profile of an iCCP chunk: a name, NUL, the compression method 0, and a zlib stream."""
    _, _, compressed = content.partition(b"\0")
    return inflate(compressed[1:], MAX_PROFILE)


def _chunk(name: bytes, content: bytes = b"") -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)
