import io
from pathlib import Path

import numpy as np
import pdqhash
import pytest
from PIL import Image

from proofs import fingerprints
from proofs.fingerprints import Fingerprint
from proofs.rules.verdict import DUPLICATE_DISTANCE, is_comparable
from tests.support import corpora
from tests.support.pictures import picture

# What Meta's own tools print for its pictures of a bridge (pdq/data/reg-test-input/dih).
META = {
    "bridge-aaa-orig.jpg": "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22",
    "bridge-dih-2-rotate-90.jpg": "30a10efd71cc3d429013d48d0ffffc52e34e0e17ada952a9d29685211ea9e5af",
    "bridge-dih-5-flipx.jpg": "f8f80f31e0f417b20e37f5cd028f980fb36ed02a9662c1e233e64c634e9c64dd",
}
ORIENTATIONS = {
    "as it is": None,
    "turned 90": Image.Transpose.ROTATE_90,
    "turned 180": Image.Transpose.ROTATE_180,
    "turned 270": Image.Transpose.ROTATE_270,
    "upside down": Image.Transpose.FLIP_TOP_BOTTOM,
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "transposed": Image.Transpose.TRANSPOSE,
    "transversed": Image.Transpose.TRANSVERSE,
}


def luma(image: Image.Image) -> fingerprints.Luma:
    return np.asarray(image.convert("L"))


def reference(grey: fingerprints.Luma) -> tuple[list[str], int]:
    """The eight values and the quality by pdqhash, a binding of Meta's C++."""
    rgb = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    vectors, quality = pdqhash.compute_dihedral(rgb)
    assert (pdqhash.compute(rgb)[0] == vectors[0]).all()
    return ["".join(map(str, vector)) for vector in vectors], quality


def assert_equals_reference(grey: fingerprints.Luma) -> None:
    values, quality = reference(grey)
    assert [fingerprint.bits for fingerprint in fingerprints.dihedral(grey)] == values
    assert {fingerprint.quality for fingerprint in fingerprints.dihedral(grey)} == {quality}


class TestAgainstMeta:
    @pytest.mark.parametrize("size", [(64, 64), (65, 65), (512, 512), (504, 378), (378, 504), (1001, 701), (1600, 50)])
    def test_photos_give_the_bits_of_the_reference(self, size: tuple[int, int]) -> None:
        for seed in range(5):
            assert_equals_reference(luma(picture(seed, size)))

    def test_pictures_of_any_size_give_the_bits_of_the_reference(self) -> None:
        chance = np.random.default_rng(7)
        whole = luma(picture(7))
        for _ in range(100):
            height, width = chance.integers(3, 600, 2)
            assert_equals_reference(np.ascontiguousarray(whole[:height, :width]))

    def test_ties_give_the_bits_of_the_reference(self) -> None:
        assert_equals_reference(np.zeros((200, 300), np.uint8))
        assert_equals_reference(np.full((128, 128), 255, np.uint8))
        assert_equals_reference(np.tile(np.array([0, 255], np.uint8), (100, 50)))
        assert_equals_reference(np.repeat(np.arange(256, dtype=np.uint8)[np.newaxis], 256, axis=0))

    def test_noise_gives_the_bits_of_the_reference(self) -> None:
        for seed in range(20):
            assert_equals_reference(np.random.default_rng(seed).integers(0, 256, (300, 400), np.uint8))

    @corpora.needed
    @pytest.mark.parametrize("path", corpora.files("*/*.jpg"), ids=lambda path: path.stem)
    def test_real_photos_give_the_bits_of_the_reference(self, path: Path) -> None:
        assert_equals_reference(luma(Image.open(path)))

    @corpora.needed
    @pytest.mark.parametrize(("name", "published"), META.items())
    def test_the_published_values_are_reproduced(self, name: str, published: str) -> None:
        fingerprint = fingerprints.fingerprint(luma(Image.open(corpora.ROOT / "near_duplicates" / name)))
        assert (str(fingerprint), fingerprint.quality) == (published, 100)


class TestDihedral:
    @pytest.mark.parametrize("index", range(8), ids=list(ORIENTATIONS))
    def test_each_variant_matches_the_copy_in_its_orientation(self, index: int) -> None:
        original = picture(3)
        transpose = list(ORIENTATIONS.values())[index]
        copy = fingerprints.fingerprint(luma(original if transpose is None else original.transpose(transpose)))
        distances = [fingerprint.distance(copy) for fingerprint in fingerprints.dihedral(luma(original))]
        assert distances.index(min(distances)) == index
        assert min(distances) <= DUPLICATE_DISTANCE
        assert sorted(distances)[1] > 3 * DUPLICATE_DISTANCE

    def test_the_first_variant_is_the_unchanged_picture(self) -> None:
        grey = luma(picture(4))
        assert fingerprints.dihedral(grey)[0] == fingerprints.fingerprint(grey)


class TestDistance:
    @pytest.mark.parametrize("quality", [95, 70, 40, 20])
    def test_a_recompressed_copy_is_near(self, quality: int) -> None:
        original = picture(5)
        file = io.BytesIO()
        original.save(file, "JPEG", quality=quality)
        assert fingerprints.fingerprint(luma(Image.open(file))).distance(fingerprints.fingerprint(luma(original))) <= 10

    @pytest.mark.parametrize("width", [1500, 640, 320, 160])
    def test_a_resized_copy_is_near(self, width: int) -> None:
        original = picture(6)
        copy = original.resize((width, width * 3 // 4))
        distance = fingerprints.fingerprint(luma(copy)).distance(fingerprints.fingerprint(luma(original)))
        assert distance <= DUPLICATE_DISTANCE

    def test_other_pictures_are_far(self) -> None:
        variants = [fingerprints.dihedral(luma(picture(seed, (320, 240)))) for seed in range(30)]
        for index, mine in enumerate(variants):
            for theirs in variants[index + 1 :]:
                assert min(variant.distance(theirs[0]) for variant in mine) > 2 * DUPLICATE_DISTANCE

    def test_the_distance_is_the_number_of_different_bits(self) -> None:
        assert Fingerprint(0b1011, 100).distance(Fingerprint(0b0110, 100)) == 3
        assert Fingerprint(0, 100).distance(Fingerprint(2**256 - 1, 100)) == 256


class TestForms:
    def test_the_bits_equal_the_hexadecimal_form(self) -> None:
        fingerprint = fingerprints.fingerprint(luma(picture(8)))
        assert len(fingerprint.bits) == 256
        assert len(str(fingerprint)) == 64
        assert int(fingerprint.bits, 2) == int(str(fingerprint), 16) == fingerprint.value

    def test_leading_zeros_are_kept(self) -> None:
        assert Fingerprint(1, 0).bits == "0" * 255 + "1"
        assert str(Fingerprint(1, 0)) == "0" * 63 + "1"


class TestQuality:
    def test_a_flat_picture_has_quality_zero(self) -> None:
        assert fingerprints.fingerprint(np.full((300, 300), 128, np.uint8)).quality == 0

    def test_a_photo_has_a_high_quality(self) -> None:
        assert is_comparable(fingerprints.fingerprint(luma(picture(9))).quality)

    @pytest.mark.parametrize("size", [(1, 1), (4, 400), (400, 4)])
    def test_a_picture_too_small_to_hash_has_quality_zero(self, size: tuple[int, int]) -> None:
        assert set(fingerprints.dihedral(np.zeros(size, np.uint8))) == {Fingerprint(0, 0)}
