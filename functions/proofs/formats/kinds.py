"""Which kind of file it is, by its first bytes. A file's name and its announced type are often wrong."""

from proofs.formats import heic, jpeg, png, webp

# Files that people send instead of a photo, with the name that we call them.
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF or raw picture",
    b"MM\0*": "a TIFF or raw picture",
    b"%PDF": "a PDF",
    b"\0\0\1\0": "an icon",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\x1aE\xdf\xa3": "a video",
    b"PK\3\4": "an archive",
}
_AVIF = (b"avif", b"avis")


def content_type(data: bytes) -> str | None:
    """The content type of a picture that we can read; None for any other file."""
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.CONTENT_TYPE
    if data.startswith(png.SIGNATURE):
        return png.CONTENT_TYPE
    if webp.is_webp(data):
        return webp.CONTENT_TYPE
    return heic.CONTENT_TYPES[0] if heic.is_heic(data) else None


def other_kind(data: bytes) -> str | None:
    """The name of a kind of file that is no photo we can read; None if it is unknown."""
    if data[4:8] == b"ftyp":
        return "an AVIF picture" if data[8:12] in _AVIF or b"avif" in data[16:64] else "a video"
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), None)
