"""What can be found in a photo without a database, a clock or a network: runs in the process of `sandbox`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from proofs import derivatives, fingerprints, images, metadata, qr_codes
from proofs.capture_time import CaptureTime
from proofs.fingerprints import Fingerprint

# A picture is compared with a copy of this size to see whether it shows anything.
_SIDE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """A photo as people and checks see it.

    `picture` is the cleaned copy; `variants` the fingerprint followed by those of its rotations and reflections;
    `contrast` from 0, one colour, to 255; `codes` the texts of its QR codes, if they were asked for.
    """

    width: int
    height: int
    contrast: int
    variants: tuple[Fingerprint, ...]
    luma: NDArray[np.uint8] = field(repr=False)
    picture: bytes = field(repr=False)
    captured: CaptureTime | None
    codes: list[str]

    def to_message(self) -> tuple[dict[str, object], bytes, bytes]:
        """A JSON object, and two strings of bytes."""
        captured = None
        if self.captured is not None:
            offset = self.captured.offset
            captured = [self.captured.wall.isoformat(), None if offset is None else offset.total_seconds()]
        return (
            {
                "size": [self.width, self.height],
                "contrast": self.contrast,
                "variants": [[str(variant), variant.quality] for variant in self.variants],
                "luma": self.luma.shape,
                "captured": captured,
                "codes": self.codes,
            },
            self.luma.tobytes(),
            self.picture,
        )

    @classmethod
    def from_message(cls, message: dict[str, Any], luma: bytes, picture: bytes) -> Self:
        captured = None
        if message["captured"]:
            wall, offset = message["captured"]
            captured = CaptureTime(datetime.fromisoformat(wall), None if offset is None else timedelta(seconds=offset))
        width, height = message["size"]
        return cls(
            width=width,
            height=height,
            contrast=message["contrast"],
            variants=tuple(Fingerprint(int(value, 16), quality) for value, quality in message["variants"]),
            luma=np.frombuffer(luma, np.uint8).reshape(message["luma"]),
            picture=picture,
            captured=captured,
            codes=message["codes"],
        )


def inspect(data: bytes, declared_type: str, *, strip_exif: bool, read_codes: bool) -> Findings:
    """Read a photo that was announced as `declared_type`. Raises `UnreadableImage`."""
    with images.open_picture(data, declared_type) as picture:
        seen = derivatives.rendered(picture)
        photo = images.decoded(picture, legible=read_codes)
        copy = derivatives.derivative(picture, seen, strip_exif=strip_exif)
        captured = metadata.capture_time(picture.exif)
    return Findings(
        width=photo.width,
        height=photo.height,
        contrast=_contrast(seen),
        variants=fingerprints.dihedral(photo.luma),
        luma=photo.luma,
        picture=copy,
        captured=captured,
        codes=[] if photo.legible is None else qr_codes.read_codes(photo.legible),
    )


def _contrast(seen: Image.Image) -> int:
    """The largest difference between two places of the picture, in any of red, green and blue; noise averages out."""
    small = seen.resize((min(seen.width, _SIDE), min(seen.height, _SIDE)), Image.Resampling.BOX)
    return int(np.ptp(np.asarray(small), axis=(0, 1)).max())
