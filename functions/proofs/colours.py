"""Converts pictures to sRGB, which screens show correctly without a profile."""

import io

from PIL import Image, ImageCms

from proofs import images

_SRGB = ImageCms.createProfile("sRGB")
# The colour space of a profile for each mode (ICC.1, table 19).
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture in sRGB, on a white background. `profile` describes its colours; a broken one is ignored."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = _converted(image.convert(image.mode.removesuffix("A")), profile) or image.convert("RGB")
    if alpha is not None:
        colours.putalpha(alpha)
    return images.on_white(colours)


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The conversion by LittleCMS; None without a profile that fits the picture."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[image.mode]:
            return None
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def rgb_profile(primaries: tuple[tuple[float, float, float], ...], gamma: float) -> bytes:
    """A profile of RGB with these primaries (XYZ relative to D50) and one gamma (ICC.1:2001-04, sections 6.3, 6.4)."""
    curve = b"curv" + bytes(4) + (1).to_bytes(4) + round(gamma * 256).to_bytes(2) + bytes(2)
    text = b"Colours of the picture\0"
    contents = {
        b"desc": b"desc" + bytes(4) + len(text).to_bytes(4) + text + bytes(78 + -len(text) % 4),
        b"wtpt": _xyz((0.9642, 1.0, 0.8249)),
        **{name: _xyz(primary) for name, primary in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)},
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    place = 128 + 4 + 12 * len(contents)
    table = len(contents).to_bytes(4)
    for name, content in contents.items():
        table += name + place.to_bytes(4) + len(content).to_bytes(4)
        place += len(content)
    white = _xyz((0.9642, 1.0, 0.8249))[8:]
    header = (
        place.to_bytes(4) + bytes(4) + b"\2\x40\0\0" + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + white
    ).ljust(128, b"\0")
    return header + table + b"".join(contents.values())


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(round(value * 65536).to_bytes(4, signed=True) for value in values)


# Cameras that are set to Adobe RGB store no profile, only its name (Adobe RGB (1998) Color Image Encoding, 4.3.4.2).
ADOBE_RGB = rgb_profile(
    ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)), 563 / 256
)
