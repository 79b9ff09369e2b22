"""The copy of a photo that other people see: upright, screen-sized, sRGB, and without personal metadata."""

import io

from PIL import Image

from proofs import colours, metadata, shared_exif
from proofs.images import Picture

QUALITY = 85


def rendered(picture: Picture) -> Image.Image:
    """The picture as people see it: upright, in sRGB, at most `images.MAX_SIDE` pixels a side."""
    profile = picture.profile or (colours.ADOBE_RGB if metadata.is_adobe_rgb(picture.exif) else b"")
    seen = colours.to_srgb(picture.pixels, profile)
    return seen if picture.turn is None else seen.transpose(picture.turn)


def derivative(picture: Picture, seen: Image.Image, *, strip_exif: bool) -> bytes:
    """The cleaned JPEG of a picture that is `rendered`: the same bytes in, the same bytes out.

    With `strip_exif` it has no metadata at all; otherwise it keeps how the picture was taken (see `shared_exif`).
    """
    exif = b"" if strip_exif else shared_exif.shareable(picture.exif)
    seen.info = {}  # otherwise Pillow writes the comment of the original
    file = io.BytesIO()
    seen.save(file, "JPEG", quality=QUALITY, exif=exif)
    return file.getvalue()
