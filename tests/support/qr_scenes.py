"""Photos with a QR code in them, as people take them of a screen: small, tilted, blurred or dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import segno
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tests.support.pictures import encoded, picture

SIZE = (2016, 1512)


@dataclass(frozen=True)
class Shot:
    """How a code is seen. `width`: its share of the photo's width, with its white margin. `turned`: degrees. `tilt`:
    how much shorter its far side is than the near one. `blur`: radius, pixels. `light`: 1 is daylight. `at`: its
    centre, as shares of width and height.
    """

    width: float = 0.3
    turned: float = 0
    tilt: float = 0
    blur: float = 0
    light: float = 1
    contrast: float = 1
    mirrored: bool = False
    inverted: bool = False
    at: tuple[float, float] = (0.55, 0.45)


def code(text: str, *, error: str = "L", border: int = 4) -> Image.Image:
    """A QR code, 16 pixels a module, dark on light, with its margin."""
    matrix = np.array([list(row) for row in segno.make(text, error=error, micro=False).matrix_iter(border=border)])
    return Image.fromarray(np.kron(255 - 255 * (matrix > 0), np.ones((16, 16))).astype(np.uint8))


def taken(*codes: tuple[str, Shot], size: tuple[int, int] = SIZE, seed: int = 7, error: str = "L") -> Image.Image:
    """A landscape with the codes in it. Blur and light of the last shot apply to the whole photo."""
    scene = landscape(seed, size).copy()
    shot = Shot()
    for text, shot in codes:
        _hold(scene, code(text, error=error), shot)
    if shot.blur:
        scene = scene.filter(ImageFilter.GaussianBlur(shot.blur))
    values = np.asarray(scene).astype(np.float32)
    values = ((values - 128) * shot.contrast + 128) * shot.light
    values += np.random.default_rng(seed).normal(0, 3, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def photo(*codes: tuple[str, Shot], size: tuple[int, int] = SIZE, quality: int = 85, **how: object) -> bytes:
    """The photo as a JPEG file."""
    return encoded(taken(*codes, size=size, **how), quality=quality)  # type: ignore[arg-type]


@cache
def landscape(seed: int, size: tuple[int, int]) -> Image.Image:
    return picture(seed, size)


def _hold(scene: Image.Image, sign: Image.Image, shot: Shot) -> None:
    if shot.inverted:
        sign = Image.eval(sign, lambda value: 255 - value)
    if shot.mirrored:
        sign = sign.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    half = shot.width * scene.width / 2
    # The corners as the camera sees them: the upper edge is farther away.
    square = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    square[:2] *= (1 - shot.tilt, 1 - shot.tilt / 2)
    angle = np.radians(shot.turned)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    seen = square @ turn.T + np.array(shot.at) * scene.size
    side = sign.width
    corners = np.array([(0, 0), (side, 0), (side, side), (0, side)], float)
    # Average before shrinking, as a lens does.
    seen_sign = sign.convert("RGB").filter(ImageFilter.BoxBlur(max(0, side / (2 * half) / 2 - 0.5)))
    how = _perspective(seen, corners)
    held = seen_sign.transform(scene.size, Image.Transform.PERSPECTIVE, how, Image.Resampling.BILINEAR)
    mask = Image.new("L", sign.size, 255).transform(
        scene.size, Image.Transform.PERSPECTIVE, how, Image.Resampling.BILINEAR
    )
    scene.paste(held, mask=mask)


def _perspective(seen: NDArray[np.float64], corners: NDArray[np.float64]) -> Sequence[float]:
    """The eight coefficients with which Pillow maps the four visible points to the corners of the code."""
    rows, wanted = [], []
    for (x, y), (u, v) in zip(seen, corners, strict=True):
        rows += [(x, y, 1, 0, 0, 0, -u * x, -u * y), (0, 0, 0, x, y, 1, -v * x, -v * y)]
        wanted += [u, v]
    solved: list[float] = np.linalg.solve(np.array(rows), np.array(wanted)).tolist()
    return solved
