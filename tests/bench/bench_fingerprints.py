"""Photo bytes to fingerprints, compared with decoding alone, pdqhash (Meta's C++) and ImageHash's phash.

.venv/bin/python -m tests.bench.bench_fingerprints
"""

import io

import imagehash
import numpy as np
import pdqhash
from PIL import Image

from proofs import derivatives, fingerprints, images, inspection
from tests.bench.side_by_side import ratio
from tests.support import corpora
from tests.support.pictures import encoded, picture

TWELVE_MEGAPIXELS = (4032, 3024)


def photo() -> tuple[str, bytes]:
    """A photo of 12 megapixels: a real one enlarged by half if the corpus is available, else a generated one."""
    for path in corpora.files("photos/jolla.jpg"):
        with Image.open(path) as image:
            return "a real photo", encoded(image.resize(TWELVE_MEGAPIXELS, Image.Resampling.LANCZOS), quality=95)
    return "a made picture", encoded(picture(1, TWELVE_MEGAPIXELS), quality=95)


def main() -> None:
    name, data = photo()
    luma = images.read_photo(data, "image/jpeg").luma
    pixels = np.repeat(luma[:, :, np.newaxis], 3, axis=2)

    def ours() -> object:
        return fingerprints.dihedral(images.read_photo(data, "image/jpeg").luma)

    def draft() -> object:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("L", (360, 360))
            return image.load()

    def full() -> object:
        with Image.open(io.BytesIO(data)) as image:
            return pdqhash.compute(np.asarray(image.convert("RGB")))

    def phash() -> object:
        with Image.open(io.BytesIO(data)) as image:
            return imagehash.phash(image, hash_size=16)

    def fingerprint_and_derivative() -> object:
        return inspection.inspect(data, "image/jpeg", strip_exif=True, read_codes=False)

    def whole() -> object:
        with Image.open(io.BytesIO(data)) as image:
            return image.load()

    def whole_shrunk_and_saved() -> object:
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((images.MAX_SIDE, images.MAX_SIDE), Image.Resampling.LANCZOS)
            return encoded(image, quality=derivatives.QUALITY)

    def mirrored_and_turned() -> object:
        return fingerprints.dihedral(luma)

    def theirs_of_the_same_pixels() -> object:
        return pdqhash.compute_dihedral(pixels)

    print(f"12 megapixels, {len(data) / 1e6:.1f} MB, {name}; time of the first over time of the second")
    rows = [
        ("photo bytes to eight PDQ", "draft decode alone (goal: at most 1.15)", ratio(ours, draft)),
        ("pdqhash of the whole photo", "photo bytes to eight PDQ (goal: at least 30)", ratio(full, ours, rounds=7)),
        ("ImageHash phash, 256 bits", "photo bytes to eight PDQ (goal: at least 5)", ratio(phash, ours, rounds=7)),
        (
            f"eight PDQ of {luma.shape} pixels",
            "pdqhash of the same",
            ratio(mirrored_and_turned, theirs_of_the_same_pixels),
        ),
        ("eight PDQ and the derivative", "whole decode alone", ratio(fingerprint_and_derivative, whole, rounds=7)),
        (
            "eight PDQ and the derivative",
            "Pillow's thumbnail, saved",
            ratio(fingerprint_and_derivative, whole_shrunk_and_saved, rounds=7),
        ),
    ]
    for what, against, measured in rows:
        print(f"{what:<32} {against:<46} {measured}")


if __name__ == "__main__":
    main()
