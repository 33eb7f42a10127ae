"""Six ranges of hills under a setting sun."""

from __future__ import annotations

import random

from PIL import Image, ImageDraw

from gateway.sandbox.samples.land import height_at, pine, ridge
from gateway.sandbox.samples.paper import HEIGHT, WIDTH, curve, glow, mixed, paper, sky


def dusk_hills() -> Image.Image:
    dice = random.Random(11)
    image = sky(
        [
            (0, (43, 33, 86)),
            (0.3, (132, 62, 118)),
            (0.52, (240, 120, 98)),
            (0.68, (255, 196, 122)),
            (1, (255, 214, 150)),
        ]
    )
    sun = WIDTH * 0.62, HEIGHT * 0.5
    glow(image, sun, 900, (255, 222, 150), 235)
    ImageDraw.Draw(image).ellipse(
        (sun[0] - 190, sun[1] - 190, sun[0] + 190, sun[1] + 190), fill=(255, 244, 206)
    )
    for star in range(46):
        x, y, size = dice.uniform(0, WIDTH), dice.uniform(0, HEIGHT * 0.26), dice.uniform(1.5, 4.5)
        ImageDraw.Draw(image).ellipse((x - size, y - size, x + size, y + size), fill=(255, 232 - star, 220))
    far, near = (226, 108, 104), (38, 22, 62)
    for layer in range(6):
        share = layer / 5
        outline = ridge(HEIGHT * (0.52 + 0.085 * layer), 150 - 14 * layer, dice)
        paper(
            image,
            outline,
            mixed(far, near, share),
            mixed(mixed(far, near, share), (255, 170, 120), 0.25 * (1 - share)),
        )
        for _ in range(0 if layer < 3 else 9 * (layer - 2)):
            x = dice.uniform(0, WIDTH)
            tall = dice.uniform(70, 130) * (0.7 + 0.32 * (layer - 2))
            pine(image, x, height_at(outline, x) + 8, tall, mixed(mixed(far, near, share), (16, 8, 34), 0.45))
    for x, y, size in ((900, 520, 46), (1040, 450, 34), (1160, 540, 28), (760, 430, 26)):
        wings = curve(
            [
                (x - size, y - size * 0.3),
                (x - size / 2, y - size * 0.5),
                (x, y),
                (x + size / 2, y - size * 0.5),
                (x + size, y - size * 0.3),
            ],
            closed=False,
        )
        ImageDraw.Draw(image).line(wings, fill=(60, 30, 70), width=7, joint="curve")
    return image
