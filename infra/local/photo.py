"""The picture that the demo sends: the newcomer's own, or one made here that looks like a photograph to a computer."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from infra.local.progress import LocalError

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
MAX_BYTES = 10_485_760
_SIZE = (1600, 1200)

type Channel = NDArray[np.float64]
"""Height by width, values from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A file to upload: its bytes, and the type that its sender claims."""

    name: str
    content_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


def read(path: Path) -> Photo:
    """A picture of the newcomer's own. LocalError when it is none, or not one that Chally takes."""
    try:
        content = path.expanduser().read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format or "?"
    except OSError as error:
        raise LocalError(
            f"{path} is not a picture that can be read: {error}"
            if not isinstance(error, UnidentifiedImageError)
            else f"{path} is not a JPEG, PNG or WebP picture.",
            "Give another: `make demo PHOTO=path`; without PHOTO the demo makes its own.",
        ) from error
    if kind not in TYPES or len(content) > MAX_BYTES:
        raise LocalError(
            f"{path} is a {kind} of {len(content) / 1e6:.1f} MB.",
            f"Chally takes {', '.join(TYPES)} up to {MAX_BYTES / 1e6:.0f} MB.",
        )
    return Photo(name=path.name, content_type=TYPES[kind], content=content)


def make(seed: int) -> Photo:
    """A landscape that nobody photographed, another for every seed: hills in a haze under clouds.

    Its detail falls off with scale as a photograph's does (about 1/f), which is what perceptual hashes look at.
    """
    random = np.random.default_rng(seed)
    height = _SIZE[1]
    rows = np.linspace(0, 1, height)[:, None]
    clouds = _clouds(random)
    light = _clouds(random, coarsest=2)
    sky = random.uniform(0.5, 0.9, 3)
    pixels = np.stack([tint * (1 - 0.4 * rows) + 0.45 * clouds * (1.1 - tint) for tint in sky], axis=2)
    for distance in np.linspace(0.35, 0.9, 4) + random.uniform(-0.12, 0.12, 4):
        # A ridge is a line of noise; what lies below it is hidden by the hill, the nearer the darker.
        ridge = distance + 0.35 * (_clouds(random)[random.integers(height)] - 0.5)
        hill = (random.uniform(0.2, 0.6, 3) + random.uniform(0.1, 0.5)) * (1.2 - distance) * 0.8
        texture = 0.6 + 0.8 * _clouds(random, coarsest=8)
        pixels = np.where((rows > ridge)[..., None], hill * texture[..., None], pixels)
    pixels = pixels * (0.35 + 1.1 * light[..., None]) + random.normal(0, 0.01, pixels.shape)
    image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return Photo(name="morning-run.jpg", content_type="image/jpeg", content=written.getvalue())


def _clouds(random: np.random.Generator, coarsest: int = 3) -> Channel:
    """Fractal noise of the picture's size: octaves of random grids, each twice as fine and half as strong."""
    width, height = _SIZE
    noise = np.zeros((height, width))
    for octave in range(8):
        cells = coarsest * 2**octave
        grid = Image.fromarray(random.random((max(2, cells * height // width), cells)).astype(np.float32))
        noise += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    return (noise - noise.min()) / np.ptp(noise)
