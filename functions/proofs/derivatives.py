"""The picture that others see: upright, as large as a screen, in sRGB, and without what a file tells of its owner."""

import io

from PIL import Image, ImageCms

from proofs import images, metadata

MAX_SIDE = 2048
QUALITY = 85
# A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves its longer side this long: for 12 megapixels 2016 pixels, at
# half the time of a whole decode and no resizing after it.
_DRAFT_SIDE = 1600
# Profiles of phones and cameras have 500 to 4,000 octets; reading one takes time as its author pleases.
_LARGEST_PROFILE = 64 * 1024
_SRGB = ImageCms.createProfile("sRGB")


def derivative(data: bytes, declared_type: str, *, strip_exif: bool) -> bytes:
    """The JPEG that stands for a picture, the same for the same bytes. Raises `Unreadable`, and nothing else.

    With `strip_exif` it has no metadata whatsoever; without, it keeps how the picture was taken: see `metadata`.
    """
    with images.opened(data, declared_type) as image:
        image.draft(None, _within(image.size, _DRAFT_SIDE))
        turn = images.upright(image)
        exif = b"" if strip_exif else metadata.shareable(image)
        picture = _srgb(_opaque(_fitted(_plain(image))), image.info.get("icc_profile"))
        if turn is not None:
            picture = picture.transpose(turn)
        picture.info = {}  # or Pillow writes the comment of the original
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY, exif=exif)
    return file.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized: with its transparency, if it has any, in a channel of its own."""
    if image.mode.startswith("I;16"):
        return images.eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _fitted(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    # by a whole number first, and by Lanczos only from twice the size on
    return image.resize(_within(image.size, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size (width, height) when its longer side is `side`."""
    width, height = (max(1, length * side // max(size)) for length in size)
    return width, height


def _opaque(image: Image.Image) -> Image.Image:
    """What is transparent lies on white, as it does for `images.read`."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in the colours that every screen shows right without a profile; a broken profile is left out."""
    if profile and len(profile) <= _LARGEST_PROFILE:
        try:
            theirs = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, theirs, _SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")
        assert converted is not None  # it is only when told to convert in place
        return converted
    return image.convert("RGB")
