"""Fingerprints of photos that survive re-encoding, resizing and mirroring: PDQ, by Meta.

Written from the paper (https://github.com/facebook/ThreatExchange/blob/main/hashing/hashing.pdf), with the reference
implementation's order of operations. Every sum is computed in that order, in single precision, one addition at a time
and never by BLAS. So the same pixels give the same 256 bits on every machine, equal to the reference's.
"""

from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise, repeat

import numpy as np
from numpy.typing import NDArray

# The picture is reduced to 64 x 64; of its cosine transform, the 16 x 16 lowest frequencies after the zeroth are kept.
_REDUCED = 64
_FREQUENCIES = 16
_BITS = _FREQUENCIES * _FREQUENCIES
_SMALLEST_SIDE = 5

type Luma = NDArray[np.uint8]
type _Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """256 bits, and a quality from 0 (a flat picture) to 100. `str` gives Meta's hexadecimal form."""

    value: int
    quality: int

    def distance(self, other: "Fingerprint") -> int:
        """The number of bits that differ."""
        return (self.value ^ other.value).bit_count()

    @property
    def bits(self) -> str:
        """The text of a Postgres bit(256), first bit first."""
        return f"{self.value:0{_BITS}b}"

    def __str__(self) -> str:
        return f"{self.value:0{_BITS // 4}x}"


def fingerprint(luma: Luma) -> Fingerprint:
    """The fingerprint of a picture's luma, shaped (height, width)."""
    return dihedral(luma)[0]


def dihedral(luma: Luma) -> tuple[Fingerprint, ...]:
    """The fingerprints of the eight orientations of a picture: unchanged, rotated by 90, 180 and 270 degrees, upside
    down, mirrored, and flipped about either diagonal. Each of the seven only changes signs in one transform, so all
    eight cost little more than one.
    """
    if min(luma.shape) < _SMALLEST_SIDE:
        return (Fingerprint(0, 0),) * 8
    reduced = _reduce(luma)
    quality = _quality(reduced)
    return tuple(Fingerprint(value, quality) for value in _values(_transform(reduced)))


def _reduce(luma: Luma) -> _Floats:
    """64 x 64 samples of the picture after a tent filter (Jarosz): two passes of a moving average each way."""
    height, width = luma.shape
    down, across = _window(height), _window(width)
    once = _moving_average(_average_pixels(luma, across), down)
    # Of the second pass only the sampled rows and columns are kept.
    twice = _moving_average(np.ascontiguousarray(once.T), across)[_centres(width)]
    return _moving_average(np.ascontiguousarray(twice.T), down)[_centres(height)]


def _window(side: int) -> int:
    """The width of the moving average: half of one sample's share of the side, rounded up."""
    return -(-side // (2 * _REDUCED))


def _centres(side: int) -> NDArray[np.intp]:
    return ((np.arange(_REDUCED) + 0.5) * side / _REDUCED).astype(np.intp)


@cache
def _counts(side: int, window: int) -> _Floats:
    """How many values the window around each place has: fewer at both ends."""
    ahead = window // 2 + 1
    places = np.arange(side)
    counts = np.minimum(places + ahead, side) - np.maximum(places + ahead - window, 0)
    return counts.astype(np.float32)


def _average_pixels(luma: Luma, window: int) -> _Floats:
    """The first pass, along rows. Integer sums are exact in any order, so a few shifted pictures are added at once."""
    height, width = luma.shape
    behind = window - window // 2 - 1
    padded = np.zeros((height, width + window - 1), np.uint16 if window <= 256 else np.uint32)
    padded[:, behind : behind + width] = luma
    total = padded[:, :width].copy()
    for shift in range(1, window):
        total += padded[:, shift : shift + width]
    return np.divide(total, _counts(width, window), dtype=np.float32)


def _moving_average(values: _Floats, window: int) -> _Floats:
    """A later pass, along columns, top to bottom: a running sum of what enters the window minus what leaves it."""
    side = len(values)
    ahead = window // 2 + 1
    nothing = np.zeros_like(values[0])
    rows = list(values)
    totals = np.zeros_like(values)
    for row in rows[:ahead]:
        totals[0] += row
    entering = chain(rows[ahead:], repeat(nothing))
    leaving = chain(repeat(nothing, window - ahead), rows)
    for (last, total), enters, leaves in zip(pairwise(totals), entering, leaving, strict=False):
        np.add(last, enters, total)
        np.subtract(total, leaves, total)
    totals /= _counts(side, window)[:, np.newaxis]
    return totals


def _quality(reduced: _Floats) -> int:
    """The quality: the steps between neighbours, in whole percents of the range, summed and scaled."""
    steps = 0
    for axis in (0, 1):
        percent = np.diff(reduced, axis=axis) * np.float32(100) / np.float32(255)
        steps += int(np.abs(percent.astype(np.int32)).sum())
    return min(steps // 90, 100)


@cache
def _cosines() -> _Floats:
    """The kept rows of the cosine transform's matrix, (16, 64): frequencies 1 to 16."""
    frequencies = np.arange(1, _FREQUENCIES + 1)
    angles = np.pi / 2 / _REDUCED * frequencies[:, np.newaxis] * (2 * np.arange(_REDUCED) + 1)
    return (np.float64(np.float32(np.sqrt(2 / _REDUCED))) * np.cos(angles)).astype(np.float32)


def _transform(reduced: _Floats) -> _Floats:
    """The cosine transform both ways, (16, 16)."""
    cosines = _cosines()
    return _product(_product(cosines, reduced), cosines.T)


def _product(left: _Floats, right: _Floats) -> _Floats:
    """The matrix product, summed in order of the inner index, which is the outermost axis of the terms."""
    terms = np.multiply(left.T[:, :, np.newaxis], right[:, np.newaxis, :], order="C")
    product: _Floats = np.add.reduce(terms, axis=0)
    return product


def _values(frequencies: _Floats) -> list[int]:
    """The eight dihedral values: one bit for each frequency, set if it exceeds the (lower) median."""
    odd = np.where(np.arange(_FREQUENCIES) % 2, np.float32(1), np.float32(-1))
    by_row, by_column = frequencies * odd[:, np.newaxis], frequencies * odd
    by_both = by_row * odd
    variants = (frequencies, by_column.T, by_both, by_row.T, by_row, by_column, frequencies.T, by_both.T)
    flat = np.stack([variant.reshape(_BITS) for variant in variants])
    middle = _BITS // 2 - 1
    medians = np.partition(flat, middle, axis=1)[:, middle, np.newaxis]
    # The first frequency is the last bit, as in Meta's hexadecimal form.
    return [int.from_bytes(row.tobytes(), "big") for row in np.packbits(flat[:, ::-1] > medians, axis=1)]
