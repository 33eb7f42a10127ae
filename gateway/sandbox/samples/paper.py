"""Cut paper: gradients, light, and sheets that throw soft shadows.

Pictures are drawn at twice their size and reduced, which smooths the edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw, ImageFilter

WIDTH, HEIGHT = 2560, 1920
_EDGE = 178  # Pillow's radial gradient reaches 255 in the corners, and this at the middle of each side
Point = tuple[float, float]
Colour = tuple[int, int, int]


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def sky(stops: Sequence[tuple[float, Colour]]) -> Image.Image:
    """A vertical gradient through (height 0..1, colour) stops."""
    column = Image.new("RGB", (1, HEIGHT))
    for y in range(HEIGHT):
        at = y / HEIGHT
        for (low, a), (high, b) in pairwise(stops):
            if low <= at <= high:
                column.putpixel((0, y), mixed(a, b, (at - low) / (high - low)))
    return column.resize((WIDTH, HEIGHT))


def glow(image: Image.Image, centre: Point, radius: float, colour: Colour, strength: int) -> None:
    """Light added around a point, falling off smoothly."""
    side = round(radius * 2)
    falling = [round(strength * max(0.0, 1 - v / _EDGE) ** 1.8) for v in range(256)]
    light = Image.radial_gradient("L").point(falling)
    corner = round(centre[0] - radius), round(centre[1] - radius)
    image.paste(colour, (*corner, corner[0] + side, corner[1] + side), light.resize((side, side)))


def paper(
    image: Image.Image,
    outline: Sequence[Point],
    top: Colour,
    bottom: Colour,
    depth: int = 26,
    within: Sequence[Point] | None = None,
) -> None:
    """One sheet: a shadow thrown on what lies behind it, and a soft gradient of its own."""
    shape = _filled(image, outline)
    if within is not None:
        shape = ImageChops.darker(shape, _filled(image, within))
    if depth:
        shadow = shape.filter(ImageFilter.GaussianBlur(depth)).point([v * 95 // 255 for v in range(256)])
        image.paste((16, 8, 28), (0, 0, *image.size), ImageChops.offset(shadow, 0, -depth // 3))
    high, low = min(y for _, y in outline), max(y for _, y in outline)
    ramp = Image.linear_gradient("L").resize((1, max(1, round(low - high))))
    column = Image.composite(Image.new("RGB", ramp.size, bottom), Image.new("RGB", ramp.size, top), ramp)
    sheet = Image.new("RGB", image.size, bottom)
    sheet.paste(column.resize((image.width, column.height)), (0, round(high)))
    image.paste(sheet, (0, 0), shape)


def _filled(image: Image.Image, outline: Sequence[Point]) -> Image.Image:
    shape = Image.new("L", image.size, 0)
    ImageDraw.Draw(shape).polygon(list(outline), fill=255)
    return shape


def curve(points: Sequence[Point], closed: bool = True, steps: int = 24) -> list[Point]:
    """A smooth line (Catmull-Rom) through the points."""
    count = len(points)
    line: list[Point] = []
    for i in range(count if closed else count - 1):
        p0, p1, p2, p3 = (
            points[(i + k) % count if closed else min(max(i + k, 0), count - 1)] for k in (-1, 0, 1, 2)
        )
        for step in range(steps):
            t = step / steps
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            x = sum(w * p[0] for w, p in zip(weights, (p0, p1, p2, p3), strict=True)) / 2
            y = sum(w * p[1] for w, p in zip(weights, (p0, p1, p2, p3), strict=True)) / 2
            line.append((x, y))
    return line
