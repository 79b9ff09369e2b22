"""Broken and hostile variants of real image files. The same seed gives the same file."""

import random
import zlib
from collections.abc import Callable

type Parts = list[tuple[bytes, bytes]]
"""Named parts of a file: JPEG segments, PNG and WebP chunks. Anything without a name is under b""."""

_LENGTHS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\1",
    b"\0\0\0\x80",
    b"\xff\xd9",
)
_TEXTS = (
    b"0000:00:00 00:00:00",
    b"2102:01:01 00:00:00",
    b"+99:99",
    b"2026:11:20 06:45:10",
    b"\0" * 19,
    b"\xff\xe1\xff\xff",
)


def mutant(seed: int, data: bytes, other: bytes) -> bytes:
    """`data` with parts swapped, repeated, dropped, edited or taken from `other`, or with damaged bytes."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        split, join = _format(data)
        parts = split(data)
        foreign = _format(other)[0](other)
        for _ in range(chance.choice((1, 1, 2, 4))):
            _rearrange(chance, parts, foreign)
        data = join(parts)
        if chance.random() < 0.7:
            return data
    return _damaged(chance, data)


def _rearrange(chance: random.Random, parts: Parts, foreign: Parts) -> None:
    if not parts:
        return
    here, there = chance.randrange(len(parts)), chance.randrange(len(parts))
    name, body = parts[here]
    match chance.randrange(8):
        case 0:
            parts[here], parts[there] = parts[there], parts[here]
        case 1:
            parts.insert(there, parts[here])
        case 2:
            del parts[here]
        case 3:
            parts.insert(here, chance.choice(foreign))
        case _:
            parts[here] = name, _damaged(chance, body)


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Flip, overwrite, remove or insert bytes, mostly near the beginning, where the headers are."""
    mutable = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        reach = len(mutable) if chance.random() < 0.5 else min(len(mutable), 600)
        place = chance.randrange(reach + 1)
        match chance.randrange(7):
            case 0 if mutable:
                mutable[place % len(mutable)] ^= 1 << chance.randrange(8)
            case 1:
                mutable[place : place + 1] = chance.randbytes(1)
            case 2:
                mutable[place : place + 4] = chance.choice(_LENGTHS)
            case 3:
                mutable[place : place + chance.randrange(1, 9)] = b""
            case 4:
                mutable[place:place] = chance.randbytes(chance.randrange(1, 40))
            case 5:
                text = chance.choice(_TEXTS)
                mutable[place : place + len(text)] = text
            case _ if chance.random() < 0.2:
                del mutable[place:]
    return bytes(mutable)


def _format(data: bytes) -> tuple[Callable[[bytes], Parts], Callable[[Parts], bytes]]:
    if data.startswith(b"\x89PNG"):
        return _chunks_of_png, _png
    return (_chunks_of_webp, _webp) if data.startswith(b"RIFF") else (_segments, _jpeg)


def _segments(data: bytes) -> Parts:
    parts, place = [], 2
    while data[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4])
        parts.append((data[place : place + 2], data[place + 4 : end]))
        place = end
    return [*parts, (b"", data[place:])]


def _jpeg(parts: Parts) -> bytes:
    segments = (name and name[:2] + (len(body) + 2 & 0xFFFF).to_bytes(2) for name, body in parts)
    return b"\xff\xd8" + b"".join(head + body for head, (_, body) in zip(segments, parts, strict=True))


def _chunks_of_png(data: bytes) -> Parts:
    parts, place = [], 8
    while place < len(data):
        length = int.from_bytes(data[place : place + 4])
        parts.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += length + 12
    return parts


def _png(parts: Parts) -> bytes:
    """With correct checksums, so that readers do not stop there."""
    chunks = (len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4) for name, body in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunks_of_webp(data: bytes) -> Parts:
    parts, place = [], 12
    while place < len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        parts.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return parts


def _webp(parts: Parts) -> bytes:
    chunks = (name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2) for name, body in parts)
    whole = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(whole).to_bytes(4, "little") + whole
