"""Whether a JPEG without its end marker has every row.

The decoder itself does not tell: it fills what is missing with grey. So we let the picture continue with other bytes. A
complete picture ignores them; an incomplete one takes them for its missing pixels, and changes.
"""

import hashlib
import io

from PIL import Image

from proofs.formats.jpeg import END

# Bytes of which a decoder makes pixels: no FF, which begins a marker. One continuation could, by chance, decode to
# the same grey as nothing.
_CONTINUATIONS = tuple(hashlib.shake_128(seed).digest(256).replace(b"\xff", b"") for seed in (b"one", b"other"))


def has_every_row(pixels: bytes) -> bool:
    """Whether the last scan of a JPEG is complete. `pixels` ends with an end marker."""
    without_end = pixels.removesuffix(END)
    seen = _decoded(pixels)
    return all(_decoded(without_end + more + END) == seen for more in _CONTINUATIONS)


def _decoded(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        # An eighth of the size shows whether a block is there. The last scan of a progressive JPEG only adds details.
        if "progressive" not in image.info:
            image.draft(None, (1, 1))
        return image.tobytes()
