"""The watermark: the published text, or the client's own picture, in one of four corners."""

from __future__ import annotations

from PIL import Image, ImageDraw

from gateway.sandbox.render.fonts import font_for
from gateway.sandbox.render.planes import Overlay

TEXT = "AI-generated"
_TOP_LEFT, _TOP_RIGHT, _BOTTOM_LEFT = 1, 2, 4


def watermark(frame: tuple[int, int], position: int, picture: Image.Image | None) -> Overlay:
    """`position`: 1 top-left, 2 top-right, 3 bottom-right, 4 bottom-left."""
    unit = min(frame)
    label = _pill(unit) if picture is None else _fitted(picture, unit)
    margin = round(unit * 0.028)
    left = margin if position in (_TOP_LEFT, _BOTTOM_LEFT) else frame[0] - label.width - margin
    top = margin if position in (_TOP_LEFT, _TOP_RIGHT) else frame[1] - label.height - margin
    return Overlay.from_rgba(label, left, top)


def _pill(unit: int) -> Image.Image:
    size = round(unit * 0.03)
    font, text = font_for(TEXT, size)
    wide, tall = round(font.getlength(text) + size * 1.5), round(size * 1.9)
    label = Image.new("RGBA", (wide & ~1, tall & ~1), (0, 0, 0, 0))
    pen = ImageDraw.Draw(label)
    pen.rounded_rectangle((0, 0, label.width - 1, label.height - 1), radius=tall // 2, fill=(12, 12, 20, 120))
    pen.text((label.width / 2, label.height / 2), text, font=font, fill=(255, 255, 255, 225), anchor="mm")
    return label


def _fitted(picture: Image.Image, unit: int) -> Image.Image:
    logo = picture.convert("RGBA")
    scale = min(unit * 0.3 / logo.width, unit * 0.12 / logo.height)
    size = max(2, round(logo.width * scale) & ~1), max(2, round(logo.height * scale) & ~1)
    return logo.resize(size, Image.Resampling.LANCZOS)
