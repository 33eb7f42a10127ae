"""A street at night under strings of paper lanterns."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from gateway.sandbox.samples.paper import HEIGHT, WIDTH, Point, glow, mixed, paper, sky


def lantern_street() -> Image.Image:
    dice = random.Random(8)
    image = sky(
        [
            (0, (14, 18, 54)),
            (0.35, (38, 40, 98)),
            (0.6, (104, 70, 128)),
            (0.72, (196, 110, 122)),
            (1, (60, 40, 80)),
        ]
    )
    glow(image, (WIDTH / 2, HEIGHT * 0.66), 760, (255, 176, 120), 230)
    for _ in range(60):
        x, y, size = dice.uniform(0, WIDTH), dice.uniform(0, HEIGHT * 0.4), dice.uniform(1.5, 4)
        ImageDraw.Draw(image).ellipse((x - size, y - size, x + size, y + size), fill=(236, 226, 255))
    vanish = WIDTH / 2, HEIGHT * 0.68
    road = [(vanish[0] - 70, vanish[1]), (vanish[0] + 70, vanish[1]), (WIDTH + 300, HEIGHT), (-300, HEIGHT)]
    for layer in range(4, -1, -1):
        for side in (-1, 1):
            _house(image, side, layer, vanish, dice)
        if layer == 4:
            paper(image, road, (214, 128, 112), (42, 30, 74), 0)
    for step in range(7):
        y = vanish[1] + 30 + 16 * 1.75**step
        reach = (y - vanish[1]) * 1.7
        ImageDraw.Draw(image).line(
            (vanish[0] - reach, y, vanish[0] + reach, y),
            fill=mixed((214, 128, 112), (74, 48, 92), step / 6),
            width=3 + step,
        )
    for row in range(5):
        _string(image, vanish, 0.18 + 0.2 * row, row, dice)
    return image


def _house(image: Image.Image, side: int, layer: int, vanish: Point, dice: random.Random) -> None:
    """Houses stand on both sides and shrink towards the vanishing point; layer 0 is the nearest."""
    scale = 0.62**layer
    inner = vanish[0] + side * 1040 * scale
    outer = vanish[0] + side * (1040 / 0.62 + 60) * scale * 1.02
    top = vanish[1] - (1090 + dice.uniform(-90, 90)) * scale
    foot = vanish[1] + 640 * scale
    wall = mixed((30, 22, 60), (150, 84, 112), layer / 5)
    paper(
        image,
        [(inner, top), (outer, top), (outer, foot), (inner, foot)],
        mixed(wall, (90, 60, 110), 0.25),
        wall,
        round(22 * scale) + 4,
    )
    eave = 120 * scale
    roof = [
        (inner - side * eave, top + 26 * scale),
        (inner + side * 60 * scale, top - 150 * scale),
        (outer, top - 150 * scale),
        (outer, top + 26 * scale),
    ]
    paper(
        image,
        roof,
        mixed((64, 30, 66), (170, 90, 110), layer / 5),
        mixed(wall, (20, 10, 40), 0.4),
        round(16 * scale) + 3,
    )
    across = (outer - inner) / 2.6
    for floor in range(3):
        for column in range(2):
            x = inner + across * (0.3 + column * 1.1)
            y = top + (150 + floor * 330) * scale
            if dice.random() < 0.82:
                _window(image, (x, y, x + across * 0.72, y + 210 * scale), dice)


def _window(image: Image.Image, box: tuple[float, float, float, float], dice: random.Random) -> None:
    left, right = sorted((box[0], box[2]))
    warm = mixed((255, 190, 96), (255, 226, 150), dice.random())
    glow(
        image,
        ((left + right) / 2, (box[1] + box[3]) / 2),
        max(4.0, (box[3] - box[1]) * 1.1),
        (255, 168, 84),
        110,
    )
    pen = ImageDraw.Draw(image)
    pen.rectangle((left, box[1], right, box[3]), fill=warm)
    bar = max(2, round((box[3] - box[1]) * 0.05))
    pen.line(((left + right) / 2, box[1], (left + right) / 2, box[3]), fill=(120, 62, 60), width=bar)
    pen.line((left, (box[1] + box[3]) / 2, right, (box[1] + box[3]) / 2), fill=(120, 62, 60), width=bar)


def _string(image: Image.Image, vanish: Point, near: float, row: int, dice: random.Random) -> None:
    """A cord of paper lanterns across the street; `near` 0..1 is how close it hangs."""
    half, lift = 1150 * near, (1000 * near, 620 * near)
    size = 120 * near + 8
    cord = [
        (vanish[0] + half * t / 10, vanish[1] - lift[1] - (lift[0] - lift[1]) * (t / 10) ** 2)
        for t in range(-10, 11)
    ]
    ImageDraw.Draw(image).line(cord, fill=(30, 18, 44), width=max(2, round(7 * near)), joint="curve")
    for place in range(1, 20, 3):
        x, y = cord[place]
        shade = ((236, 70, 52), (250, 134, 56), (255, 190, 84))[(place + row) % 3]
        middle = y + size * 0.75
        glow(image, (x, middle), size * 2.4, shade, 150)
        pen = ImageDraw.Draw(image)
        pen.ellipse((x - size * 0.55, middle - size * 0.6, x + size * 0.55, middle + size * 0.6), fill=shade)
        pen.ellipse(
            (x - size * 0.3, middle - size * 0.6, x + size * 0.3, middle + size * 0.6),
            fill=mixed(shade, (255, 240, 190), 0.45),
        )
        for edge in (-1, 1):
            pen.rectangle(
                (
                    x - size * 0.24,
                    middle + edge * size * 0.6 - size * 0.07,
                    x + size * 0.24,
                    middle + edge * size * 0.6 + size * 0.07,
                ),
                fill=(52, 24, 40),
            )
        pen.line(
            (x, middle + size * 0.66, x, middle + size * (1.0 + dice.uniform(0, 0.1))),
            fill=(236, 180, 90),
            width=max(2, round(size * 0.06)),
        )
