"""False rejections of screens, and copies that are found, by our rules and by the fingerprints' distance alone.

200 screens of phones, five layouts with 40 days each, are sent one after the other. No two show the same, so each that
is not accepted is a mistake. Then copies of screens and of real photos are compared with their originals.

.venv/bin/python -m tests.bench.bench_screens
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageFilter

from proofs.comparison import MOST_MATCHES
from proofs.fingerprints import Fingerprint
from proofs.graphics import Graphic
from proofs.inspection import inspect
from proofs.rules.verdict import (
    CERTAIN_DISTANCE,
    DISCARDED_QUALITY,
    DUPLICATE_DISTANCE,
    Doubt,
    check_duplicate,
    is_comparable,
)
from tests.support import corpora
from tests.support.pictures import encoded
from tests.support.screens import LAYOUTS, screen

DAYS = 40
type Copy = Callable[[Image.Image], bytes]


@dataclass(frozen=True)
class Sent:
    variants: tuple[Fingerprint, ...]
    graphic: Graphic | None

    @classmethod
    def of(cls, data: bytes, content_type: str = "image/jpeg") -> "Sent":
        found = inspect(data, content_type, strip_exif=True, read_codes=False)
        graphic = Graphic.of(found.luma)
        return cls(found.variants, graphic and Graphic.unpack(graphic.pack()))

    def distance(self, earlier: "Sent") -> int:
        return min(variant.distance(earlier.variants[0]) for variant in self.variants)


def ours(new: Sent, earlier: Sequence[Sent]) -> str:
    """As `proofs.comparison`, in memory."""
    near = sorted((distance, index) for index, each in enumerate(earlier)
                  if (distance := new.distance(each)) <= DUPLICATE_DISTANCE)  # fmt: skip
    doubts = 0
    for distance, index in near[:MOST_MATCHES]:
        other = earlier[index]
        look = new.graphic.compare(other.graphic) if new.graphic and other.graphic else None
        comparable = all(is_comparable(each.variants[0].quality) for each in (new, other))
        result = check_duplicate("picture", distance, comparable=comparable, look=look)
        if result is not None and not isinstance(result, Doubt):
            return "rejected"
        doubts += result is not None
    return "held" if doubts else "accepted"


def by_distance(new: Sent, earlier: Sequence[Sent]) -> str:
    """As PDQ is meant: low quality is discarded, and the distance decides."""
    near = [new.distance(each) for each in earlier if each.variants[0].quality > DISCARDED_QUALITY]
    if not near or new.variants[0].quality <= DISCARDED_QUALITY or min(near) > DUPLICATE_DISTANCE:
        return "accepted"
    return "rejected" if min(near) <= CERTAIN_DISTANCE else "held"


RULES: dict[str, Callable[[Sent, Sequence[Sent]], str]] = {"our rules": ours, "distance alone": by_distance}


def jpeg(change: Callable[[Image.Image], Image.Image], quality: int = 80) -> Copy:
    return lambda image: encoded(change(image), quality=quality)


def bordered(image: Image.Image) -> Image.Image:
    framed = Image.new("RGB", (image.width * 102 // 100, image.height * 102 // 100))
    framed.paste(image, (image.width // 100, image.height // 100))
    return framed


def scaled(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((int(image.width * share), int(image.height * share)))


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        left, top = int(image.width * share), int(image.height * share)
        return image.crop((left, top, image.width - left, image.height - top))

    return crop


COPIES: dict[str, Copy] = {
    "quality 60": jpeg(lambda image: image, 60),
    "quality 10": jpeg(lambda image: image, 10),
    "half the size": jpeg(scaled(0.5)),
    "a quarter of the size": jpeg(scaled(0.25)),
    "darker": jpeg(lambda image: ImageEnhance.Brightness(image).enhance(0.7)),
    "contrast 60 %": jpeg(lambda image: ImageEnhance.Contrast(image).enhance(0.6)),
    "contrast 20 %": jpeg(lambda image: ImageEnhance.Contrast(image).enhance(0.2)),
    "contrast 10 %": jpeg(lambda image: ImageEnhance.Contrast(image).enhance(0.1)),
    "blurred": jpeg(lambda image: image.filter(ImageFilter.GaussianBlur(max(image.size) / 800))),
    "cropped by 1 %": jpeg(cropped(0.01)),
    "bordered by 1 %": jpeg(bordered),
    "turned by a degree": jpeg(lambda image: image.rotate(1)),
    "mirrored": jpeg(lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "turned by 90 degrees": jpeg(lambda image: image.transpose(Image.Transpose.ROTATE_90)),
}


def false_rejections() -> None:
    sent: list[Sent] = []
    found: dict[str, Counter[str]] = {name: Counter() for name in RULES}
    seconds = 0.0
    for day in range(DAYS):
        for layout in LAYOUTS:
            png = day % 2 == 0  # phones send screens as PNG, messengers as JPEG
            data = encoded(screen(layout, day), file_format="PNG" if png else "JPEG")
            new = Sent.of(data, "image/png" if png else "image/jpeg")
            for name, rule in RULES.items():
                began = time.process_time()
                found[name][rule(new, sent)] += 1
                seconds += (time.process_time() - began) * (name == "our rules")
            sent.append(new)
    print(f"{len(sent)} screens that are all different, five layouts")
    for name, counts in found.items():
        print(f"  {name:<16} rejected {counts['rejected']}, held {counts['held']}, accepted {counts['accepted']}")
    print(f"  processor time of our rules: {1000 * seconds / len(sent):.0f} ms a screen, search in memory included")


def copies(title: str, originals: Sequence[Image.Image]) -> None:
    print(f"copies of {len(originals)} {title}: rejected + held, by our rules | by distance alone")
    stored = [Sent.of(encoded(image)) for image in originals]
    missed: Counter[str] = Counter()
    for what, copy in COPIES.items():
        found: dict[str, Counter[str]] = {name: Counter() for name in RULES}
        for image, original in zip(originals, stored, strict=True):
            new = Sent.of(copy(image))
            for name, rule in RULES.items():
                found[name][rule(new, [original])] += 1
        missed.update({name: counts["accepted"] for name, counts in found.items()})
        columns = [f"{counts['rejected']:3} + {counts['held']:<3}" for counts in found.values()]
        print(f"  {what:<24} {' | '.join(columns)}")
    print(f"  accepted: {missed['our rules']} | {missed['distance alone']}")
    assert missed["our rules"] <= missed["distance alone"], "our rules find fewer copies"


def main() -> None:
    false_rejections()
    copies("screens", [screen(layout, day) for layout in LAYOUTS for day in range(0, 40, 10)])
    paths = [*corpora.files("near_duplicates/bridge-aaa-orig.jpg"), *corpora.files("photos/*.jpg")]
    copies("real photos", [Image.open(path).convert("RGB") for path in paths])
    bridge, *near = (Sent.of(path.read_bytes()) for path in corpora.files("near_duplicates/bridge-*.jpg"))
    unrelated = [Sent.of(path.read_bytes()) for path in corpora.files("near_duplicates/unrelated-*.jpg")]
    for name, rule in RULES.items():
        print(f"near-duplicate corpus, {name}: {dict(Counter(rule(each, [bridge]) for each in near))} of the copies,"
              f" {dict(Counter(rule(each, [bridge, *near]) for each in unrelated))} of the unrelated")  # fmt: skip


if __name__ == "__main__":
    main()
