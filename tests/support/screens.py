"""Screens of phones that people send as proofs: five layouts, each with another day's figures for every seed."""

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (1080, 2400)
# Two days of `run` whose fingerprints are 10 bits apart.
CLOSE_RUNS = (4, 14)
type _Draw = Callable[[ImageDraw.ImageDraw, np.random.Generator, date], None]


def screen(layout: str, seed: int) -> Image.Image:
    """The screen of one day; `layout` is one of `LAYOUTS`."""
    chance = np.random.default_rng([sorted(LAYOUTS).index(layout), seed])
    background, draw = LAYOUTS[layout]
    image = Image.new("RGB", SIZE, background)
    pen = ImageDraw.Draw(image)
    draw(pen, chance, date(2026, 9, 1) + timedelta(days=seed))
    ink = "white" if sum(pen.im.getpixel((5, 5))) < 300 else "black"
    _text(pen, (60, 40), f"{chance.integers(24):02}:{chance.integers(60):02}", 44, ink)
    _text(pen, (900, 40), f"{chance.integers(5, 100)} %", 40, ink)
    return image


def _text(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, ink: str,
          anchor: str = "la") -> None:  # fmt: skip
    pen.text(place, text, fill=ink, font=ImageFont.load_default(size), anchor=anchor)


def _steps(pen: ImageDraw.ImageDraw, chance: np.random.Generator, day: date) -> None:
    """A ring around the day's steps, white."""
    steps = int(chance.integers(1500, 15_000))
    _text(pen, (540, 240), f"{day:%A %d %B}", 56, "black", "mm")
    pen.arc((190, 500, 890, 1200), 0, 360, "#e0e0e0", 50)
    pen.arc((190, 500, 890, 1200), -90, -90 + min(360, steps * 360 // 10_000), "#1a73e8", 50)
    _text(pen, (540, 830), f"{steps:,}", 150, "black", "mm")
    _text(pen, (540, 950), "steps of 10,000", 48, "#606060", "mm")
    for place, (name, value) in enumerate((
        ("Distance", f"{steps * 0.00072:.1f} km"), ("Energy", f"{steps // 24} kcal"), ("Active", f"{steps // 110} min"),
    )):  # fmt: skip
        _text(pen, (120, 1400 + 180 * place), name, 52, "#606060")
        _text(pen, (960, 1400 + 180 * place), value, 60, "black", "ra")


def _run(pen: ImageDraw.ImageDraw, chance: np.random.Generator, day: date) -> None:
    """A run's summary, dark: six figures in two columns."""
    km, pace = chance.uniform(3, 21), chance.uniform(260, 420)
    _text(pen, (80, 220), "Run", 90, "white")
    _text(pen, (80, 340), f"{day:%d %b %Y}, {chance.integers(5, 22):02}:{chance.integers(60):02}", 46, "#a0a0a0")
    seconds = int(km * pace)
    figures = (
        ("Distance", f"{km:.2f} km"), ("Time", f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"),
        ("Pace", f"{int(pace) // 60}:{int(pace) % 60:02} /km"), ("Heart rate", f"{chance.integers(120, 185)} bpm"),
        ("Climb", f"{chance.integers(10, 400)} m"), ("Energy", f"{int(km * 68)} kcal"),
    )  # fmt: skip
    for place, (name, value) in enumerate(figures):
        x, y = 80 + 520 * (place % 2), 560 + 420 * (place // 2)
        pen.rounded_rectangle((x - 30, y - 40, x + 450, y + 300), 30, "#1e1e1e")
        _text(pen, (x, y), name, 44, "#a0a0a0")
        _text(pen, (x, y + 90), value, 84, "#f5a623")


def _week(pen: ImageDraw.ImageDraw, chance: np.random.Generator, day: date) -> None:
    """Seven bars of a week, with the total."""
    values = chance.integers(0, 90, 7)
    _text(pen, (80, 220), f"Week of {day:%d %B}", 64, "black")
    _text(pen, (80, 330), f"{values.sum()} min", 130, "#0b8043")
    for place, value in enumerate(values):
        x = 110 + 130 * place
        pen.rectangle((x, 1300 - 8 * int(value), x + 80, 1300), "#0b8043")
        _text(pen, (x + 40, 1350), "MTWTFSS"[place], 48, "#606060", "mm")
        _text(pen, (x + 40, 1270 - 8 * int(value)), str(value), 36, "black", "mm")
    pen.line((80, 1300, 1000, 1300), "#a0a0a0", 4)
    for place in range(4):
        _text(pen, (80, 1500 + 170 * place), f"{chance.choice(['Swim', 'Walk', 'Bike', 'Yoga', 'Row'])}", 54, "black")
        _text(pen, (1000, 1500 + 170 * place), f"{chance.integers(5, 95)} min", 54, "black", "ra")


def _timer(pen: ImageDraw.ImageDraw, chance: np.random.Generator, day: date) -> None:
    """A meditation timer: hardly more than two lines of text."""
    _text(pen, (540, 900), f"{chance.integers(5, 60):02}:{chance.integers(60):02}", 240, "#f0f0ff", "mm")
    _text(pen, (540, 1150), f"Session {chance.integers(2, 400)} on {day:%d.%m.}", 56, "#b0b0d0", "mm")
    pen.rounded_rectangle((340, 1900, 740, 2050), 75, "#5a5ac8")
    _text(pen, (540, 1975), "Done", 60, "white", "mm")


def _list(pen: ImageDraw.ImageDraw, chance: np.random.Generator, day: date) -> None:
    """A habit tracker: rows with ticks, most of them the same every day."""
    _text(pen, (80, 220), f"{day:%a %d %b}", 72, "black")
    habits = ("Read 20 pages", "Drink water", "No sugar", "Stretch", "Walk the dog", "Vocabulary", "Journal")
    for place, habit in enumerate(habits):
        y = 450 + 230 * place
        pen.rounded_rectangle((60, y, 1020, y + 180), 24, "#f1f3f4")
        _text(pen, (200, y + 60), habit, 54, "black")
        if chance.random() < 0.6:
            pen.ellipse((85, y + 50, 165, y + 130), "#1e8e3e")
        _text(pen, (980, y + 64), f"{chance.integers(1, 120)} d", 46, "#606060", "ra")


LAYOUTS: dict[str, tuple[str, _Draw]] = {
    "steps": ("white", _steps),
    "run": ("#101010", _run),
    "week": ("#fafafa", _week),
    "timer": ("#14143c", _timer),
    "list": ("white", _list),
}
