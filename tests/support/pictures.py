"""Photos that tests generate: the same seed gives the same picture."""

import io
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def picture(seed: int, size: tuple[int, int] = (1024, 768)) -> Image.Image:
    """A landscape, different for every seed: clouds, a sun, wooded hills behind each other, and film grain."""
    width, height = size
    chance = np.random.default_rng(seed)
    sky, haze = chance.integers(40, 256, 3), chance.integers(40, 256, 3)
    clouds = _clouds(chance, size)[..., np.newaxis]
    scene = Image.fromarray((sky * clouds + haze * (1 - clouds)).astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    x, y, radius = chance.uniform((0, 0, 0.04), (1, 0.6, 0.12)) * (width, height, height)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(chance.integers(180, 256, 3).tolist()))
    for depth in np.linspace(0.35, 0.95, 5):
        ridge = (depth + 0.9 * (_clouds(chance, (width, 3))[1] - 0.5)) * height
        colour = (chance.integers(0, 200, 3) * (1.1 - depth)).astype(int)
        draw.polygon([(0, height), *enumerate(ridge.tolist()), (width, height)], tuple(colour.tolist()))
    lit = np.asarray(scene) * (0.5 + _clouds(chance, size, octaves=(4, 5, 6))[..., np.newaxis])
    grain = chance.normal(0, 4, (height, width, 3))
    return Image.fromarray((lit + grain).clip(0, 255).astype(np.uint8))


def photo(seed: int, size: tuple[int, int] = (1024, 768), *, file_format: str = "JPEG", **options: object) -> bytes:
    """The bytes of `picture(seed)`. `options` go to Pillow (quality, exif, progressive, lossless)."""
    return encoded(picture(seed, size), file_format=file_format, **options)


def encoded(image: Image.Image, *, file_format: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _clouds(
    chance: np.random.Generator, size: tuple[int, int], *, octaves: Iterable[int] = range(1, 7)
) -> NDArray[np.float32]:
    """Noise whose strength falls with frequency, as in nature: from 0 to 1, shaped (height, width)."""
    total = np.zeros(size[::-1], np.float32)
    for octave in octaves:
        coarse = Image.fromarray(chance.random((2**octave + 1, 2**octave + 1), np.float32))
        total += np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)) / 2**octave
    low, high = total.min(), total.max()
    scaled: NDArray[np.float32] = (total - low) / (high - low)
    return scaled
