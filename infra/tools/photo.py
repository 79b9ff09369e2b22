"""The picture that the demo sends: a given file, or a generated one that perceptual hashes treat as a photo."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from infra.tools.process import ToolError

TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "HEIC": "image/heic"}
# How iPhones' pictures begin, after four bytes; Pillow does not read them.
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1")
MAX_BYTES = 10_485_760
_SIZE = (1600, 1200)

type Channel = NDArray[np.float64]
"""Height by width, values from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A file to upload: its content, and the content type that the client states."""

    name: str
    content_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def read(path: Path) -> Photo:
    """Read a picture. Raises ToolError if it is not one, or not one that Chally accepts."""
    try:
        content = path.expanduser().read_bytes()
        if content[4:12] in _HEIC:
            kind = "HEIC"
        else:
            with Image.open(io.BytesIO(content)) as image:
                kind = image.format or "?"
    except OSError as error:
        unknown = isinstance(error, UnidentifiedImageError)
        problem = f"{path} is not a JPEG, PNG, WebP or HEIC picture." if unknown else f"{path} cannot be read: {error}"
        raise ToolError(problem, "Give another, `make demo PHOTO=path`, or none: the demo generates one.") from error
    if kind not in TYPES or len(content) > MAX_BYTES:
        problem = f"{path} is a {kind} file of {len(content) / 1e6:.1f} MB."
        raise ToolError(problem, f"Chally accepts {', '.join(TYPES)} up to {MAX_BYTES / 1e6:.0f} MB.")
    return Photo(name=path.name, content_type=TYPES[kind], content=content)


def make(seed: int) -> Photo:
    """Generate a landscape, different for every seed: hills in a haze under clouds.

    Its detail decreases with scale as a photo's does (about 1/f), which is what perceptual hashes measure.
    """
    random = np.random.default_rng(seed)
    height = _SIZE[1]
    rows = np.linspace(0, 1, height)[:, None]
    clouds = _clouds(random)
    light = _clouds(random, coarsest=2)
    sky = random.uniform(0.5, 0.9, 3)
    pixels = np.stack([tint * (1 - 0.4 * rows) + 0.45 * clouds * (1.1 - tint) for tint in sky], axis=2)
    for distance in np.linspace(0.35, 0.9, 4) + random.uniform(-0.12, 0.12, 4):
        # a ridge is a line of noise; the hill below it covers what lies behind, and nearer hills are darker
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
    """Return fractal noise of the picture's size: octaves of random grids, each twice as fine and half as strong."""
    width, height = _SIZE
    noise = np.zeros((height, width))
    for octave in range(8):
        cells = coarsest * 2**octave
        grid = Image.fromarray(random.random((max(2, cells * height // width), cells)).astype(np.float32))
        noise += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    return (noise - noise.min()) / np.ptp(noise)
