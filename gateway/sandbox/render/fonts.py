"""Finds a font that can draw a text: Pillow's built-in font, else the best one in the usual folders.

It does not use fontconfig. A character that no font can draw is written without its accents if possible, or
dropped otherwise, so that a caption never shows boxes.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_MOST_FILES = 400
_PREFERRED = ("noto sans", "notosans", "dejavusans", "arialunicode", "liberationsans", "roboto")
_AVOIDED = (
    "bold",
    "mono",
    "italic",
    "oblique",
    "condensed",
    "light",
    "serif",
    "math",
    "emoji",
    "thin",
    "black",
)
_PLAIN = str.maketrans(
    {"—": "-", "–": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "\u00a0": " "}
)
_PROBE = 24


def font_for(text: str, size: int) -> tuple[Font, str]:
    """The font, and the text with only the characters that this font can draw."""
    built_in = _built_in(size)
    if _covers(built_in, text):
        return built_in, text
    if _covers(built_in, simple := text.translate(_PLAIN)):
        return built_in, simple
    wanted = frozenset(text) - {" ", "\n"}
    path = _best_file(wanted)
    font = _open(path, size) if path else None
    chosen = font or built_in
    return chosen, _drawable(chosen, text)


def _built_in(size: int) -> Font:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType")
    return font


def _open(path: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(path, size)
    except OSError:  # a bitmap font, or not a font at all
        return None


def _blank(font: Font) -> bytes:
    """How the font draws an unknown character: as a box."""
    return bytes(font.getmask("\U0010ffff"))


def _missing(font: Font, characters: frozenset[str]) -> set[str]:
    blank = _blank(font)
    return {letter for letter in characters if bytes(font.getmask(letter)) == blank}


def _covers(font: Font, text: str) -> bool:
    return not _missing(font, frozenset(text) - {" ", "\n"})


def _rank(path: Path) -> tuple[int, int, str]:
    name = path.stem.lower()
    rank = next((at for at, word in enumerate(_PREFERRED) if word in name), len(_PREFERRED))
    return sum(word in name for word in _AVOIDED), rank, str(path)


@cache
def _files() -> tuple[str, ...]:
    found: list[Path] = []
    for folder in _FOLDERS:
        for pattern in ("*.ttf", "*.otf", "*.ttc"):
            found.extend(Path(folder).expanduser().rglob(pattern))
    return tuple(str(path) for path in sorted(found, key=_rank)[:_MOST_FILES])


@cache
def _best_file(wanted: frozenset[str]) -> str | None:
    """The font file that lacks the fewest of the wanted characters; of several, the most preferred."""
    best, fewest = None, len(wanted)
    for path in _files():
        font = _open(path, _PROBE)
        missing = len(_missing(font, wanted)) if font else len(wanted)
        if missing < fewest:
            best, fewest = path, missing
        if fewest == 0:
            break
    return best


def _drawable(font: Font, text: str) -> str:
    missing = _missing(font, frozenset(text) - {" ", "\n"})
    kept: list[str] = []
    for letter in text:
        if letter not in missing:
            kept.append(letter)
            continue
        spelt = unicodedata.normalize("NFKD", letter.translate(_PLAIN))
        kept.extend(part for part in spelt if part.isascii() and part.isprintable())
    return " ".join("".join(kept).split())
