"""ICC profiles as printers and cameras have them: with tables of many colours, which make them large."""

import io
import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms


def table_profile(space: str, points: int, *, padding: int = 0) -> bytes:
    """A profile (ICC.1:2001-04, 6.5.9) of CMYK or RGB that maps `points` values of each colour to Lab.

    Its colours are a little off those of sRGB or of pure inks, so that ignoring it is noticed. `padding` is the size of
    a private tag.
    """
    inputs = len(space)
    grid = np.array([*itertools.product(np.linspace(0, 1, points), repeat=inputs)])
    light = (1 - 0.9 * grid[:, :3]) * (1 - 0.95 * grid[:, 3:]) if space == "CMYK" else grid
    lab = _lab(light**1.1 * (0.98, 0.95, 0.9))
    encoded = np.stack([lab[:, 0] / 100 * 65280, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], axis=1)
    linear = np.array([0, 65535], ">u2").tobytes()
    table = (
        b"mft2" + bytes(4) + bytes((inputs, 3, points, 0))
        + np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 65536], ">i4").tobytes()
        + (2).to_bytes(2) * 2 + linear * inputs + encoded.clip(0, 65535).astype(">u2").tobytes() + linear * 3
    )  # fmt: skip
    return assembled(
        (b"prtr" if space == "CMYK" else b"mntr") + space.ljust(4).encode() + b"Lab ",
        {
            b"desc": b"desc" + bytes(4) + (2).to_bytes(4) + b"x\0" + bytes(78),
            b"wtpt": white(),
            b"A2B0": table,
            b"priv": b"data" + bytes(8 + padding),
        },
    )


def white() -> bytes:
    """D50, as a tag."""
    return b"XYZ " + bytes(4) + np.array([63190, 65536, 54061], ">i4").tobytes()


def assembled(kind: bytes, contents: dict[bytes, bytes]) -> bytes:
    """A profile of a kind (class, colours, connection space) with these tags."""
    padded = {name: content + bytes(-len(content) % 4) for name, content in contents.items()}
    place, index = 128 + 4 + 12 * len(padded), len(padded).to_bytes(4)
    for name, content in padded.items():
        index += name + place.to_bytes(4) + len(content).to_bytes(4)
        place += len(content)
    header = place.to_bytes(4) + bytes(4) + b"\2\x40\0\0" + kind + bytes(12) + b"acsp" + bytes(28) + white()[8:]
    return header.ljust(128, b"\0") + index + b"".join(padded.values())


def by_littlecms(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB, by LittleCMS."""
    converted = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return converted


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures in sRGB: ΔE of 1976, of which people notice about 2."""
    first, second = (_lab(np.asarray(image.convert("RGB")) / 255) for image in (one, other))
    return float(np.linalg.norm(first - second, axis=-1).mean())


def _lab(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    matrix = ((0.4361, 0.3851, 0.1431), (0.2225, 0.7169, 0.0606), (0.0139, 0.0971, 0.7141))
    xyz = linear @ np.array(matrix).T / (0.9642, 1.0, 0.8251)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
