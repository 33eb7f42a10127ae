"""A fox sitting before the moon."""

from __future__ import annotations

import random
from collections.abc import Sequence

from PIL import Image, ImageDraw

from gateway.sandbox.samples.land import height_at, pine, ridge
from gateway.sandbox.samples.paper import HEIGHT, WIDTH, Point, curve, glow, mixed, paper, sky

_RED, _DEEP, _CREAM, _INK = (226, 88, 44), (186, 56, 32), (252, 238, 216), (46, 26, 34)


def red_fox() -> Image.Image:
    dice = random.Random(5)
    image = sky([(0, (18, 74, 92)), (0.5, (44, 130, 132)), (0.8, (150, 200, 170)), (1, (196, 222, 180))])
    moon = WIDTH * 0.5, HEIGHT * 0.4
    glow(image, moon, 980, (246, 240, 200), 190)
    ImageDraw.Draw(image).ellipse(
        (moon[0] - 560, moon[1] - 560, moon[0] + 560, moon[1] + 560), fill=(248, 238, 204)
    )
    for layer, colour in enumerate(((60, 140, 136), (36, 108, 112), (22, 80, 90))):
        outline = ridge(HEIGHT * (0.62 + 0.07 * layer), 120 - 25 * layer, dice)
        paper(image, outline, colour, mixed(colour, (150, 200, 170), 0.35))
        for _ in range(13):
            x = dice.choice((dice.uniform(0, WIDTH * 0.3), dice.uniform(WIDTH * 0.7, WIDTH)))
            pine(
                image, x, height_at(outline, x) + 10, dice.uniform(150, 330), mixed(colour, (8, 44, 56), 0.5)
            )
    ground = curve([(-200, 1640), (500, 1560), (1280, 1530), (2060, 1570), (2760, 1650)], closed=False)
    paper(image, [*ground, (WIDTH + 200, HEIGHT), (-200, HEIGHT)], (14, 58, 70), (8, 38, 50))
    _fox(image)
    for x in range(-20, WIDTH, 70):
        foot, lean = HEIGHT + 20, dice.uniform(-60, 60)
        tall = dice.uniform(90, 250) * (0.5 + 0.7 * abs(x / WIDTH - 0.5) * 2)
        blade = curve(
            [
                (x, foot),
                (x + lean * 0.3, foot - tall * 0.6),
                (x + lean, foot - tall),
                (x + lean * 0.4 + 22, foot - tall * 0.5),
                (x + 40, foot),
            ]
        )
        ImageDraw.Draw(image).polygon(blade, fill=mixed((10, 46, 58), (30, 96, 92), dice.random()))
    return image


def _mirrored(half: Sequence[Point]) -> list[Point]:
    return [*half, *((2 * 1280 - x, y) for x, y in reversed(half) if x != 1280)]


def _fox(image: Image.Image) -> None:
    """From the back to the front: what comes later lies on top."""
    _tail(image)
    _body(image)
    for side in (-1, 1):
        _leg(image, side)
        _ear(image, side)
    _head(image)
    for side in (-1, 1):
        _eye(image, side)
    nose = [(1232, 1100), (1280, 1088), (1328, 1100), (1300, 1146), (1280, 1158), (1260, 1146)]
    paper(image, curve(nose), _INK, _INK, 6)


def _tail(image: Image.Image) -> None:
    tail = curve(
        [
            (1420, 1560),
            (1640, 1600),
            (1890, 1520),
            (1990, 1300),
            (1930, 1090),
            (1812, 965),
            (1800, 1110),
            (1740, 1260),
            (1600, 1380),
            (1440, 1430),
        ]
    )
    paper(image, tail, _RED, _DEEP)
    tip = curve(
        [
            (1700, 900),
            (2050, 900),
            (2060, 1190),
            (1960, 1190),
            (1905, 1160),
            (1868, 1215),
            (1830, 1160),
            (1740, 1150),
        ]
    )
    paper(image, tip, _CREAM, _CREAM, 0, within=tail)


def _body(image: Image.Image) -> None:
    paper(
        image,
        curve(
            _mirrored(
                [
                    (1280, 960),
                    (1120, 1000),
                    (1030, 1200),
                    (985, 1420),
                    (1000, 1580),
                    (1120, 1615),
                    (1280, 1610),
                ]
            )
        ),
        _RED,
        _DEEP,
    )
    paper(
        image,
        curve(_mirrored([(1280, 1010), (1190, 1040), (1150, 1160), (1190, 1330), (1280, 1430)])),
        _CREAM,
        mixed(_CREAM, _RED, 0.15),
        10,
    )


def _leg(image: Image.Image, side: int) -> None:
    leg = [
        (1280 + side * x, y)
        for x, y in (
            (48, 1300),
            (150, 1290),
            (158, 1450),
            (150, 1600),
            (60, 1620),
            (34, 1600),
            (44, 1450),
        )
    ]
    paper(image, curve(leg), _RED, _DEEP, 12)
    sock = [
        (1280 + side * x, y)
        for x, y in (
            (36, 1530),
            (96, 1545),
            (156, 1530),
            (158, 1600),
            (130, 1624),
            (60, 1624),
            (32, 1602),
        )
    ]
    paper(image, curve(sock), _INK, _INK, 0)


def _ear(image: Image.Image, side: int) -> None:
    ear = [(1280 + side * x, y) for x, y in ((90, 700), (310, 440), (330, 790))]
    paper(image, ear, _RED, _DEEP, 18)
    inner = [(1280 + side * x, y) for x, y in ((160, 690), (286, 530), (296, 740))]
    paper(image, inner, _INK, mixed(_INK, _DEEP, 0.5), 0)


def _head(image: Image.Image) -> None:
    head = [
        (1280, 668),
        (1130, 690),
        (990, 760),
        (920, 880),
        (850, 960),
        (1010, 1010),
        (1150, 1090),
        (1280, 1180),
    ]
    paper(image, curve(_mirrored(head)), _RED, mixed(_RED, _DEEP, 0.6))
    cheek = [
        (1280, 1180),
        (1150, 1090),
        (1010, 1010),
        (850, 960),
        (1000, 925),
        (1120, 940),
        (1210, 1000),
        (1262, 920),
        (1280, 860),
    ]
    paper(image, curve(_mirrored(cheek)), _CREAM, _CREAM, 0)


def _eye(image: Image.Image, side: int) -> None:
    pen = ImageDraw.Draw(image)
    x = 1280 + side * 150
    lid = curve([(x - 52, 892), (x, 846), (x + 52, 892), (x, 918)])
    pen.polygon(lid, fill=_INK)
    pen.ellipse((x + 4, 860, x + 24, 880), fill=(255, 250, 240))
