"""Whether a JPEG has every row.

The decoder itself does not tell: it fills what is missing with grey. So we let the picture continue with other bytes. A
complete picture ignores them; an incomplete one takes them for its missing pixels, and changes.
"""

import hashlib
import io

import numpy as np
from PIL import Image

from proofs.formats.jpeg import END


def _continuation(seed: bytes) -> bytes:
    """Bytes of which a decoder makes pixels, alone and after each of the eight restart markers it may wait for."""
    pixels = hashlib.shake_128(seed).digest(64).replace(b"\xff", b"")
    return pixels + b"".join(bytes((0xFF, marker)) + pixels for marker in range(0xD0, 0xD8))


# One continuation could, by chance, decode to the same grey as nothing.
_CONTINUATIONS = (_continuation(b"one"), _continuation(b"other"))


def has_every_row(pixels: bytes, *, details: bool = True) -> bool:
    """Whether the last scan of a JPEG is complete. `pixels` ends with an end marker.

    The last scan of a progressive JPEG only adds details. Without `details`, a picture that lacks only those is
    complete.
    """
    without_end = pixels.removesuffix(END)
    seen = _decoded(pixels, details=details)
    return all(_decoded(without_end + more + END, details=details) == seen for more in _CONTINUATIONS)


def may_lack_rows(image: Image.Image) -> bool:
    """Whether a decoded JPEG ends as one does whose last row of blocks is missing: in one colour."""
    width, height = image.size
    end = np.asarray(image.crop((width // 2, height - 1, width, height)))
    return bool((end == end[0, -1]).all())


def _decoded(data: bytes, *, details: bool) -> bytes:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        # An eighth of the size shows whether a block is there.
        if not details or "progressive" not in image.info:
            image.draft(None, (1, 1))
        return image.tobytes()
