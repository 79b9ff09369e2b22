"""The copy of a photo that other people see: upright, screen-sized, sRGB, and without personal metadata."""

import io

from PIL import Image, ImageCms

from proofs import images, metadata

MAX_SIDE = 2048
QUALITY = 85
# A JPEG is decoded at 1/2, 1/4 or 1/8 if that keeps its longer side at least this long. 12 megapixels become 2016
# pixels wide, in half the time of a full decode and without resizing.
_DRAFT_SIDE = 1600
# Colour profiles of phones and cameras have 500 to 4,000 bytes; a crafted large one takes long to read.
_LARGEST_PROFILE = 64 * 1024
_SRGB = ImageCms.createProfile("sRGB")


def derivative(data: bytes, declared_type: str, *, strip_exif: bool) -> bytes:
    """The cleaned JPEG of a picture: the same bytes in, the same bytes out. Raises only `UnreadableImage`.

    With `strip_exif` it has no metadata at all; otherwise it keeps how the picture was taken (see `metadata`).
    """
    with images.open_image(data, declared_type) as image:
        image.draft(None, _within(image.size, _DRAFT_SIDE))
        turn = images.upright_transpose(image)
        exif = b"" if strip_exif else metadata.shareable_exif(image)
        picture = _srgb(_opaque(_fitted(_plain(image))), image.info.get("icc_profile"))
        if turn is not None:
            picture = picture.transpose(turn)
        picture.info = {}  # otherwise Pillow writes the comment of the original
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY, exif=exif)
    return file.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized; transparency becomes an alpha channel."""
    if image.mode.startswith("I;16"):
        return images.eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _fitted(image: Image.Image) -> Image.Image:
    if max(image.size) <= MAX_SIDE:
        return image
    # Pillow first reduces by a whole number, and uses Lanczos only from twice the final size on.
    return image.resize(_within(image.size, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size (width, height) when its longer side is `side`."""
    width, height = (max(1, length * side // max(size)) for length in size)
    return width, height


def _opaque(image: Image.Image) -> Image.Image:
    """The picture on a white background, as in `images.read_photo`."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, which screens show correctly without a profile. A broken profile is ignored."""
    if profile and len(profile) <= _LARGEST_PROFILE:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB")
        assert converted is not None  # it is None only for a conversion in place
        return converted
    return image.convert("RGB")
