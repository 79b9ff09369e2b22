"""The second look at flat graphics: screens of two days differ, copies of one do not."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from proofs.graphics import Graphic
from proofs.inspection import inspect
from tests.support import corpora
from tests.support.pictures import encoded, picture
from tests.support.screens import CLOSE_RUNS, LAYOUTS, screen


def luma(image: Image.Image, **options: Any) -> np.typing.NDArray[np.uint8]:
    return inspect(encoded(image, **options), "image/jpeg", strip_exif=True, read_codes=False).luma


def graphic(image: Image.Image, **options: Any) -> Graphic:
    found = Graphic.of(luma(image, **options))
    assert found is not None
    return found


def kept(image: Image.Image) -> Graphic:
    """As the database gives it back."""
    return Graphic.unpack(graphic(image).pack())


def another_clock(image: Image.Image) -> Image.Image:
    copy = image.copy()
    pen = ImageDraw.Draw(copy)
    pen.rectangle((0, 0, 1080, 95), copy.getpixel((5, 5)))
    pen.rectangle((60, 45, 200, 85), "grey")
    return copy


def on_colours(image: Image.Image) -> Image.Image:
    """The screen on a background that changes from one colour to another."""
    across = np.linspace(0, 1, image.width)[np.newaxis, :, np.newaxis]
    down = np.linspace(0, 1, image.height)[:, np.newaxis, np.newaxis]
    colours = np.array([255, 220, 190]) - 70 * (across + down) * np.array([0.5, 1, 0.2])
    return ImageChops.multiply(image, Image.fromarray(colours.astype(np.uint8)))


class TestOf:
    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("quality", [95, 60, 30])
    def test_a_screen_is_a_flat_graphic(self, layout: str, quality: int) -> None:
        assert len(graphic(screen(layout, 1), quality=quality).pack()) < 20_000

    @pytest.mark.parametrize("quality", [95, 60, 30])
    def test_a_screen_with_a_background_of_many_colours_is_a_flat_graphic(self, quality: int) -> None:
        graphic(on_colours(screen("steps", 1)), quality=quality)

    def test_a_photo_is_none(self) -> None:
        assert [Graphic.of(luma(picture(seed))) for seed in range(5)] == [None] * 5

    @corpora.needed
    @pytest.mark.parametrize("contrast", [1, 0.2, 0.1])
    @pytest.mark.parametrize("path", corpora.files("photos/*") + corpora.files("near_duplicates/bridge-*"),
                             ids=lambda path: path.stem)  # fmt: skip
    def test_a_real_photo_is_none_even_without_its_contrast(self, path: Path, contrast: float) -> None:
        """Otherwise a second look could hold a copy apart from its original."""
        with Image.open(path) as photo:
            assert Graphic.of(luma(ImageEnhance.Contrast(photo.convert("RGB")).enhance(contrast))) is None

    def test_a_flat_picture_is_none(self) -> None:
        assert Graphic.of(np.zeros((300, 400), np.uint8)) is None
        assert Graphic.of(np.full((300, 400), 255, np.uint8)) is None


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "unchanged": lambda image: image,
    "half the size": lambda image: image.resize((540, 1200)),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "transversed": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    "at another time of the clock": another_clock,
}


class TestCompare:
    @pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_copy_is_the_same(self, layout: str, copy: Callable[[Image.Image], Image.Image]) -> None:
        original = screen(layout, 5)
        assert graphic(copy(original), quality=50).compare(kept(original)) == "same"

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_a_copy_that_was_blurred_cropped_or_turned_is_never_called_different(self, layout: str) -> None:
        original = screen(layout, 6)
        for copy in (
            original.filter(ImageFilter.GaussianBlur(4)),
            original.filter(ImageFilter.GaussianBlur(8)),
            original.crop((11, 24, 1069, 2376)),
            original.crop((0, 60, 1080, 2340)),
            original.rotate(1, expand=False, fillcolor=original.getpixel((5, 5))),
        ):
            assert graphic(copy).compare(kept(original)) != "different"

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_screens_of_two_days_are_different(self, layout: str) -> None:
        days = [kept(screen(layout, seed)) for seed in CLOSE_RUNS]
        assert days[0].compare(days[1]) != "same"
        if layout == "run":
            assert days[0].compare(days[1]) == "different"

    def test_a_small_difference_is_for_a_person(self) -> None:
        """Two digits of a list of seven habits, and all else the same."""
        original = screen("list", 7)
        changed = original.copy()
        pen = ImageDraw.Draw(changed)
        pen.rectangle((840, 500, 1000, 590), "#f1f3f4")
        pen.rectangle((870, 515, 900, 570), "#606060")
        assert graphic(changed).compare(kept(original)) == "unclear"

    def test_graphics_with_nothing_on_them_are_for_a_person(self) -> None:
        """Only the clock is left, which does not count."""
        empty = np.full((384, 384), 255, np.uint8)
        empty[2:10, 10:120] = 0
        assert Graphic(empty).compare(Graphic(empty)) == "unclear"


class TestBackgrounds:
    """A background of many colours changes nothing."""

    def test_screens_of_two_days_are_never_called_the_same(self) -> None:
        days = [kept(on_colours(screen("steps", seed))) for seed in range(6)]
        assert "same" not in {one.compare(other) for one, other in itertools.combinations(days, 2)}

    @pytest.mark.parametrize("seed", range(3))
    def test_a_copy_is_the_same(self, seed: int) -> None:
        original = on_colours(screen("steps", seed))
        for copy in (original, original.resize((540, 1200)), ImageEnhance.Brightness(original).enhance(0.8)):
            assert graphic(copy, quality=60).compare(kept(original)) == "same"
