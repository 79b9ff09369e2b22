"""HEIC files as phones write them: made by x265 through pillow-heif, which only tests install."""

import io

import pillow_heif
from PIL import Image


def heic(image: Image.Image, *more: Image.Image, **options: object) -> bytes:
    """The bytes of an HEIC. `more` are further pictures; `options` go to pillow-heif (quality, exif, icc_profile)."""
    file = io.BytesIO()
    written = pillow_heif.from_pillow(image)
    for name in ("exif", "icc_profile", "xmp"):
        if name in options:
            written.info[name] = options.pop(name)
    for each in more:
        written.add_from_pillow(each)
    written.save(file, **{"quality": 80, "enc_params": {"preset": "ultrafast"}} | options)
    return file.getvalue()
