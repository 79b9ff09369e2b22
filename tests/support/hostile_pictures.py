"""Files that cost a reader much more time or memory than their size suggests. All are under 10 MB."""

import random
import zlib
from collections.abc import Callable

from PIL import Image

from proofs.formats import jpeg as jpeg_format
from tests.support.pictures import encoded

JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"


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
    more = jpeg_format.MAX_SCANS - data.count(b"\xff\xda")
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


def rationals(number: int) -> bytes:
    """EXIF whose exposure time is a list of this many fractions."""
    main = b"\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x1a\0\0\0\0"
    exposure = b"\0\1\x82\x9a\0\5" + number.to_bytes(4) + b"\0\0\0\x2c\0\0\0\0"
    return b"MM\0*\0\0\0\x08" + main + exposure + b"\0\0\0\1\0\0\0\x7d" * number


def exif_in_segments(number: int) -> bytes:
    """A JPEG with EXIF in this many segments, which Pillow joins."""
    data = encoded(Image.new("RGB", (64, 64), "teal"))
    whole = rationals(1_100_000)
    size = len(whole) // number
    segments = (b"Exif\0\0" + whole[place : place + size] for place in range(0, size * number, size))
    return data[:2] + b"".join(b"\xff\xe1" + (len(each) + 2).to_bytes(2) + each for each in segments) + data[2:]


def webp_chunks(name: bytes, content: bytes, number: int) -> bytes:
    """A WebP with this chunk many times."""
    data = bytearray(encoded(Image.new("RGBA", (64, 64), (9, 8, 7, 100)), file_format="WEBP"))
    data[20] |= 0b0010_1000  # the extended header announces a profile and EXIF
    data += (name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)) * number
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    return bytes(data)


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


BOMBS: dict[str, tuple[Callable[[], bytes], str, bool]] = {
    "PNG, a few octets for 65,535 x 65,535": (lambda: png((65_535, 65_535), zeros(1)), PNG, False),
    "PNG, two thousand million wide": (lambda: png((0x7FFFFFFF, 1), zeros(1)), PNG, False),
    "PNG, the most pixels of eight octets": (lambda: png((8000, 4000), zeros(257), bits=16, colours=6), PNG, True),
    "PNG, a stream far longer than its pixels": (lambda: png((100, 100), zeros(500)), PNG, True),
    "PNG, an inflated profile": (lambda: png((8, 8), zeros(1), (b"iCCP", b"x\0\0" + zeros(500))), PNG, True),
    "PNG, an inflated text": (lambda: png((8, 8), zeros(1), (b"zTXt", b"x\0\0" + zeros(500))), PNG, True),
    "PNG, an inflated text of many languages": (
        lambda: png((8, 8), zeros(1), (b"iTXt", b"x\0\1\0\0\0" + zeros(500))),
        PNG,
        True,
    ),
    "PNG, many texts": (lambda: png((8, 8), zeros(1), *[(b"zTXt", b"x\0\0" + zeros(1))] * 1000), PNG, True),
    "PNG, 9,600 profiles": (lambda: png((8, 8), zeros(1), *[(b"iCCP", b"x\0\0" + zeros(1))] * 9600), PNG, True),
    "PNG, 9,600 profiles of noise": (
        lambda: png((8, 8), zeros(1), *[(b"iCCP", b"x\0\0" + zlib.compress(noise(1000)))] * 9600),
        PNG,
        True,
    ),
    "PNG, 700,000 empty texts": (lambda: png((8, 8), zeros(1), *[(b"tEXt", b"")] * 700_000), PNG, False),
    "PNG, 19,000 texts": (lambda: png((8, 8), zeros(1), *[(b"tEXt", b"x\0" + bytes(400))] * 19_000), PNG, True),
    "PNG, an EXIF value of a million fractions": (
        lambda: png((8, 8), zeros(1), (b"eXIf", rationals(1_270_000))),
        PNG,
        True,
    ),
    "PNG, EXIF in a thousand chunks": (
        lambda: png((8, 8), zeros(1), *[(b"eXIf", rationals(1200))] * 1000),
        PNG,
        True,
    ),
    "JPEG, EXIF in many segments": (lambda: exif_in_segments(150), JPEG, True),
    "WebP, an EXIF value of a million fractions": (lambda: webp_chunks(b"EXIF", rationals(1_200_000), 1), WEBP, True),
    "WebP, EXIF in many chunks": (lambda: webp_chunks(b"EXIF", rationals(7000), 160), WEBP, True),
    "WebP, a profile in many chunks": (lambda: webp_chunks(b"ICCP", noise(60_000), 160), WEBP, True),
    "WebP, half a million chunks": (lambda: webp_chunks(b"none", b"", 1_000_000), WEBP, False),
    "PNG, EXIF that reads itself": (lambda: png((8, 8), zeros(1), (b"eXIf", long_exif(10**6, 9000)[6:])), PNG, True),
    "JPEG, 65,535 x 65,535 in its header": (lambda: jpeg(65_535, 65_500), JPEG, False),
    "JPEG, 64 million pixels in its header alone": (lambda: jpeg(8000, 8000), JPEG, False),
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
