"""Flat graphics such as screenshots: a second look at their pixels.

PDQ sees the coarse structure of a picture, and in the screens of one app that is the layout: two days of a step counter
are as near as two copies of a photo. What differs is small and sharp. So two graphics are laid on top of each other and
compared window by window (the structural part of SSIM: Wang et al., Image Quality Assessment, 2004, section III).
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

type Luma = NDArray[np.uint8]
type _Floats = NDArray[np.float32]
type Look = Literal["same", "different", "unclear"]

# Of the pixels of our generated screens 95 % and more have one of three greys (within two levels of each); of the real
# photos in our tests 51 % at most. Without its contrast (20 % and less) a photo has few greys too, but close ones.
_GREYS = 3
_REACH = 2
_FLAT_SHARE = 0.75
_SMALLEST_RANGE = 64
# On a background that changes from one colour to another greys are many, but neighbours are alike: of the pixels of
# such screens 70 % and more differ by a level at most from those beside them, of real photos 57 %, blurred ones 60 %.
_SMOOTH_SHARE = 0.65

_SIDE = 384
# A kept graphic has 32 greys: that drops the noise of JPEG, and packs a screen into about 10 KB.
_DROPPED_BITS = 3
_LARGEST_PACKED = 48 * 1024

_WINDOW = 9  # pixels of 384: about two digits of a line of text
_LEAST_STRUCTURE = 4.0  # the standard deviation, in levels, that is not noise
# The clock and the battery, which differ in two screenshots of one screen.
_BARS = _SIDE // 20

# What the windows with structure say (from 0 or less: nothing in common, to 1: the same), as measured in
# tests/bench/bench_screens.py. Copies: 0.1 % at most below 0.5, unless they are blurred or turned by a degree, and
# those match badly everywhere. Other days: 8 % and more below 0.5, and the rest of the screen matches.
_UNLIKE = 0.5
_SAME_SHARE, _DIFFERENT_SHARE = 0.001, 0.08
_WELL_LAID = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Graphic:
    """The luma of a flat graphic, 384 pixels square."""

    luma: Luma

    @classmethod
    def of(cls, luma: Luma) -> "Graphic | None":
        """The graphic in a picture's luma; None if it is no flat graphic, or has too much detail to be one."""
        if not _is_flat(luma):
            return None
        graphic = cls(_resized(luma, _SIDE))
        return graphic if len(graphic.pack()) <= _LARGEST_PACKED else None

    def pack(self) -> bytes:
        return zlib.compress((self.luma >> _DROPPED_BITS).tobytes(), 9)

    @classmethod
    def unpack(cls, packed: bytes) -> "Graphic":
        greys = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(_SIDE, _SIDE)
        return cls(((greys << _DROPPED_BITS) + (1 << (_DROPPED_BITS - 1))).astype(np.uint8))

    def compare(self, other: "Graphic") -> Look:
        """Whether both show the same, in any of the eight orientations, and moved or scaled by a few percent."""
        mine = self._turned_like(other).astype(np.float32)
        theirs = other.luma.astype(np.float32)
        look, laid = _look(mine, np.ones(mine.shape, bool), theirs)
        if laid >= _WELL_LAID:
            return look
        moved, inside = _aligned(mine, theirs)
        return _look(moved, inside, theirs)[0]

    def _turned_like(self, other: "Graphic") -> Luma:
        """Its luma in the orientation that is nearest to the other's."""
        theirs = _normalised(_resized(other.luma, 48))
        turned = [turn(self.luma) for turn in _TURNS]
        likeness = [float((_normalised(_resized(each, 48)) * theirs).sum()) for each in turned]
        return np.ascontiguousarray(turned[int(np.argmax(likeness))])


_TURNS: tuple[Callable[[Luma], Luma], ...] = (
    lambda luma: luma, np.fliplr, np.flipud, np.transpose,
    lambda luma: np.rot90(luma, 1), lambda luma: np.rot90(luma, 2), lambda luma: np.rot90(luma, 3),
    lambda luma: np.rot90(luma, 2).T,
)  # fmt: skip


def _is_flat(luma: Luma) -> bool:
    counts = np.bincount(luma.ravel(), minlength=256) / luma.size
    darkest, lightest = np.searchsorted(np.cumsum(counts), (0.005, 0.995))
    if lightest - darkest < _SMALLEST_RANGE:
        return False
    if _smooth_share(luma) >= _SMOOTH_SHARE:
        return True
    share = 0.0
    for _ in range(_GREYS):
        near = np.convolve(counts, np.ones(2 * _REACH + 1), "same")
        peak = int(near.argmax())
        share += float(near[peak])
        counts[max(0, peak - 2 * _REACH) : peak + 2 * _REACH + 1] = 0
    return share >= _FLAT_SHARE


def _smooth_share(luma: Luma) -> float:
    """The share of pixels that differ by one level at most from those to the right and below."""
    levels = luma.astype(np.int16)
    across = np.abs(np.diff(levels, axis=1))[:-1]
    down = np.abs(np.diff(levels, axis=0))[:, :-1]
    return float((np.maximum(across, down) <= 1).mean()) if across.size else 0.0


def _resized(luma: Luma, side: int) -> Luma:
    return np.asarray(Image.fromarray(luma).resize((side, side), Image.Resampling.BILINEAR))


def _normalised(luma: Luma) -> _Floats:
    centred = luma - luma.mean(dtype=np.float32)
    normal: _Floats = centred / max(float(np.linalg.norm(centred)), 1.0)
    return normal


def _look(mine: _Floats, inside: NDArray[np.bool_], theirs: _Floats) -> tuple[Look, float]:
    """Compare two graphics that lie on top of each other; return also how well they do (the median of the windows)."""
    mean, their_mean = _averaged(mine), _averaged(theirs)
    variance = np.maximum(_averaged(mine * mine) - mean * mean, 0)
    their_variance = np.maximum(_averaged(theirs * theirs) - their_mean * their_mean, 0)
    covariance = _averaged(mine * theirs) - mean * their_mean
    compared = _averaged(inside) > 0.999
    compared[:_BARS] = compared[-_BARS:] = False
    gain = float(np.sqrt(variance[compared].sum() / max(their_variance[compared].sum(), 1e-6)))  # of contrast
    their_variance *= gain * gain
    covariance *= gain
    noise = _LEAST_STRUCTURE**2
    structured = compared & (np.maximum(variance, their_variance) > 4 * noise)
    if not structured.any():
        return "unclear", 0.0
    likeness = ((2 * covariance + noise) / (variance + their_variance + noise))[structured]
    laid = float(np.median(likeness))
    unlike = float((likeness < _UNLIKE).mean())
    if laid < _WELL_LAID or _SAME_SHARE < unlike < _DIFFERENT_SHARE:
        return "unclear", laid
    return "same" if unlike <= _SAME_SHARE else "different", laid


def _averaged(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """The averages of all windows."""
    sums = np.cumsum(np.cumsum(np.pad(values.astype(np.float64), ((1, 0), (1, 0))), axis=0), axis=1)
    size = _WINDOW
    averages: NDArray[np.float64] = (
        sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    ) / size**2
    return averages


def _aligned(mine: _Floats, theirs: _Floats) -> tuple[_Floats, NDArray[np.bool_]]:
    """Move and scale a picture along both axes until it fits the other best, whatever their contrast and brightness
    (Lucas and Kanade, 1981, from coarse to fine). Returns it with which of its pixels are inside.
    """
    place = np.zeros(4)
    for side, steps in ((48, 12), (96, 8), (192, 4)):
        small, target = (_shrunk(each, side) for each in (mine, theirs))
        for step in _steps(small, target, place, steps):
            place = place + np.clip(step, -0.03, 0.03)
    return _sampled(mine, np.clip(place, -0.12, 0.12))


def _steps(mine: _Floats, theirs: _Floats, place: NDArray[np.float64], steps: int) -> Iterator[NDArray[np.float64]]:
    side = len(mine)
    centred = (np.arange(side) + 0.5) / side - 0.5
    for _ in range(steps):
        moved, inside = _sampled(mine, place)
        down, across = (np.asarray(gradient, np.float64)[inside] * side for gradient in np.gradient(moved))
        x, y = (np.broadcast_to(each, moved.shape)[inside] for each in (centred, centred[:, np.newaxis]))
        # how the picture changes with its scale and place, and the other with its contrast and brightness
        matrix = np.stack([across * x, across, down * y, down, -theirs[inside], -np.ones_like(x)], axis=1)
        square = matrix.T @ matrix
        square[np.diag_indices(6)] += 1e-9 * square.trace() + 1e-9
        step = np.linalg.solve(square, -matrix.T @ moved[inside].astype(np.float64))[:4]
        yield step
        place = place + np.clip(step, -0.03, 0.03)
        if np.abs(step).max() * side < 0.02:
            return


def _shrunk(values: _Floats, side: int) -> _Floats:
    factor = len(values) // side
    shrunk: _Floats = values.reshape(side, factor, side, factor).mean(axis=(1, 3))
    return shrunk


def _sampled(values: _Floats, place: NDArray[np.float64]) -> tuple[_Floats, NDArray[np.bool_]]:
    """The picture scaled by 1 + place[0] and moved by place[1] across (of its side), by place[2] and [3] down."""
    side = len(values)
    centred = (np.arange(side) + 0.5) / side - 0.5
    xs, ys = (((1 + place[axis]) * centred + place[axis + 1] + 0.5) * side - 0.5 for axis in (0, 2))
    inside = ((ys >= 0) & (ys <= side - 1))[:, np.newaxis] & ((xs >= 0) & (xs <= side - 1))
    xs, ys = (np.clip(each, 0, side - 1.001) for each in (xs, ys))
    left, top = xs.astype(int), ys.astype(int)
    right, below = (xs - left).astype(np.float32), (ys - top).astype(np.float32)[:, np.newaxis]
    rows = values[top] * (1 - below) + values[top + 1] * below
    sampled: _Floats = rows[:, left] * (1 - right) + rows[:, left + 1] * right
    return sampled, inside
