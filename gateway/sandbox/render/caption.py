"""Draws the prompt over the lower third: pages of two lines on a soft shade, which fade in and out."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFilter

from gateway.sandbox.render.fonts import Font, font_for
from gateway.sandbox.render.planes import Overlay, Picture

_LINES = 2
_SHORTEST_PAGE = 1.8
_FADE = 0.5
_INK = (255, 252, 245)
_ACCENT = (255, 178, 84)


class Caption:
    """Draws the text on a picture for a given time (seconds). An empty text draws nothing."""

    def __init__(self, text: str, width: int, height: int, seconds: float) -> None:
        unit = min(width, height)
        font, drawable = font_for(" ".join(text.split()), round(unit * 0.052))
        pages = _pages(drawable, font, round(width * 0.8), max(1, int(seconds / _SHORTEST_PAGE)))
        self._seconds = seconds
        self._length = seconds / max(1, len(pages))
        self._shade = _shade(width, height)
        self._pages = [_page(lines, font, width, height) for lines in pages]

    def draw_on(self, picture: Picture, time: float) -> None:
        if not self._pages:
            return
        index = min(int(time / self._length), len(self._pages) - 1)
        since, left = time - index * self._length, (index + 1) * self._length - time
        fade = min(_FADE, self._length / 4)
        is_last = index == len(self._pages) - 1
        opacity = _smooth(since / fade) * (1.0 if is_last else _smooth(left / fade))
        self._shade.draw_on(picture, _smooth(time / fade))
        self._pages[index].draw_on(picture, opacity)


def _smooth(share: float) -> float:
    clipped = min(max(share, 0.0), 1.0)
    return clipped * clipped * (3 - 2 * clipped)


def _pages(text: str, font: Font, width: int, most: int) -> list[list[str]]:
    """Pages of lines that fit the width. A text that does not fit into `most` pages ends in dots."""
    lines = _wrapped(text, font, width)
    if len(lines) > most * _LINES:
        lines = lines[: most * _LINES]
        last = lines[-1]
        while last and font.getlength(last + "...") > width:
            last = last[:-1]
        lines[-1] = last.rstrip(" ,.;:-") + "..."
    return [lines[start : start + _LINES] for start in range(0, len(lines), _LINES)]


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, font, width):
            joined = f"{line} {piece}" if line else piece
            if font.getlength(joined) <= width:
                line = joined
            else:
                lines.append(line)
                line = piece
    return [*lines, line] if line else lines


def _pieces(word: str, font: Font, width: int) -> list[str]:
    """The word, split if it is wider than a line. This also wraps languages that have no spaces."""
    if font.getlength(word) <= width:
        return [word]
    pieces, piece = [], ""
    for letter in word:
        if piece and font.getlength(piece + letter) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]


def _shade(width: int, height: int) -> Overlay:
    """A shade that gets darker towards the bottom, so that light text is readable on any picture."""
    tall = round(height * 0.42) & ~1
    ramp = Image.new("L", (1, tall))
    ramp.putdata([round(175 * _smooth(row / tall)) for row in range(tall)])
    layer = Image.new("RGBA", (width, tall), (10, 8, 18, 0))
    layer.putalpha(ramp.resize((width, tall)))
    return Overlay.from_rgba(layer, 0, height - tall)


def _page(lines: list[str], font: Font, width: int, height: int) -> Overlay:
    unit = min(width, height)
    step = round(font.size * 1.32)
    tall, margin = step * len(lines), round(unit * 0.03)
    layer = Image.new("RGBA", (width, tall + 2 * margin), (*_INK, 0))
    indent = round(width * 0.075)
    alpha = Image.new("L", layer.size, 0)
    pen = ImageDraw.Draw(alpha)
    for row, line in enumerate(lines):
        pen.text((indent + round(unit * 0.028), margin + row * step), line, font=font, fill=255)
    glow = alpha.filter(ImageFilter.GaussianBlur(unit / 160)).point(
        [min(255, level * 2) for level in range(256)]
    )
    everywhere = (0, 0, *layer.size)
    layer.paste((0, 0, 0, 255), everywhere)
    layer.putalpha(glow)
    layer.paste((*_INK, 255), everywhere, alpha)
    bar = (
        indent,
        margin + round(step * 0.08),
        indent + max(3, round(unit * 0.006)),
        margin + tall - round(step * 0.18),
    )
    ImageDraw.Draw(layer).rounded_rectangle(bar, radius=max(1, unit // 300), fill=(*_ACCENT, 255))
    return Overlay.from_rgba(layer, 0, round(height * 0.885) - tall - margin)
