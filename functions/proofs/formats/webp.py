"""WebP (RFC 9649): a RIFF file of chunks, each a name, a length and content padded to an even length."""

from collections.abc import Iterator

from proofs.formats.parts import MAX_PROFILE, PictureParts, tiff
from proofs.unreadable import UnreadableImage, incomplete, unusual_structure

CONTENT_TYPE = "image/webp"
# A still picture has at most seven chunks. Other apps' own chunks are allowed.
MAX_CHUNKS = 200
_FRAME = b"ANMF"
_PICTURE = (b"VP8X", b"ANIM", _FRAME, b"ALPH", b"VP8 ", b"VP8L")
_ONCE = (b"VP8X", b"ANIM", b"ALPH")
# The flags of the extended header that announce a profile, EXIF and XMP (section 2.7.1).
_METADATA_FLAGS = 0b0010_1100


def is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def parts(data: bytes) -> PictureParts:
    """Reduce a WebP to its pixels, profile and EXIF."""
    kept: dict[bytes, list[bytes]] = {}
    profile = exif = b""
    for name, content in _chunks(data):
        if name in _PICTURE and not (name in _ONCE and name in kept):
            kept.setdefault(name, []).append(content)
        elif name == b"ICCP":
            profile = profile or (content if len(content) <= MAX_PROFILE else b"")
        elif name == b"EXIF":
            exif = exif or tiff(content)
    if len(kept.get(_FRAME, ())) > 1:
        raise UnreadableImage("not_an_image", "This picture is animated. Send a still picture.")
    if header := kept.get(b"VP8X"):
        header[0] = bytes([header[0][0] & ~_METADATA_FLAGS]) + header[0][1:] if header[0] else b""
    body = b"WEBP" + b"".join(_chunk(name, each) for name in _PICTURE for each in kept.get(name, ()))
    return PictureParts(CONTENT_TYPE, b"RIFF" + len(body).to_bytes(4, "little") + body, exif, profile)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks up to the end of the RIFF file. Bytes after that do not count."""
    end_of_file = 8 + int.from_bytes(data[4:8], "little")
    place = 12
    for _ in range(MAX_CHUNKS):
        if place >= min(end_of_file, len(data)):
            if end_of_file > len(data) + 1:  # the padding of the last chunk may be missing
                raise incomplete()
            return
        name, length = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        content = data[place + 8 : place + 8 + length]
        if len(content) < length:
            raise incomplete()
        yield name, content
        place += 8 + length + length % 2
    raise unusual_structure()


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)
