"""Hills and pines."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

from gateway.sandbox.samples.paper import HEIGHT, WIDTH, Colour, Point


def ridge(level: float, swing: float, dice: random.Random, bumps: int = 5) -> list[Point]:
    """The outline of a range of hills that reaches the bottom of the picture."""
    waves = [(dice.uniform(0.6, bumps), dice.uniform(0, 6.28), dice.uniform(0.4, 1.0)) for _ in range(4)]
    heights = [
        (x, level - swing * sum(a * math.sin(f * x / WIDTH * 6.28 + p) / (1 + f / 2) for f, p, a in waves))
        for x in range(0, WIDTH + 17, 16)
    ]
    return [*heights, (WIDTH, HEIGHT), (0, HEIGHT)]


def pine(image: Image.Image, x: float, foot: float, tall: float, colour: Colour) -> None:
    pen = ImageDraw.Draw(image)
    pen.rectangle((x - tall * 0.025, foot - tall * 0.2, x + tall * 0.025, foot + 12), fill=colour)
    for tier in range(4):
        top, half = foot - tall * (0.4 + 0.2 * tier), tall * (0.25 - 0.05 * tier)
        pen.polygon(
            [(x, top - tall * 0.16), (x - half, top + tall * 0.2), (x + half, top + tall * 0.2)], fill=colour
        )


def height_at(outline: Sequence[Point], x: float) -> float:
    return min(outline[:-2], key=lambda point: abs(point[0] - x))[1]
