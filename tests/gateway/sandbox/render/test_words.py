from __future__ import annotations

import pytest

from gateway.sandbox.render.caption import Caption, _pages
from gateway.sandbox.render.fonts import font_for


def test_plain_text_is_drawn_unchanged() -> None:
    font, text = font_for("A red fox, at dusk!", 30)
    assert text == "A red fox, at dusk!"
    assert font.getlength(text) > 0


@pytest.mark.parametrize(
    "text", ["Fuchs läuft über Straßen", "Привет, мир", "夜の街", "fox 🦊 runs", "a — “b” … c"]
)
def test_no_character_is_drawn_as_a_box(text: str) -> None:
    font, drawable = font_for(text, 30)
    box = bytes(font.getmask("\U0010ffff"))
    assert all(bytes(font.getmask(letter)) != box for letter in drawable if letter != " ")


def test_a_letter_whose_accent_no_font_has_is_drawn_without_it() -> None:
    _, text = font_for("läuft", 30)
    assert text in ("läuft", "lauft")


def test_lines_fit_and_pages_hold_two_of_them() -> None:
    font, text = font_for("word " * 60, 20)
    pages = _pages(text, font, 300, most=50)
    assert all(len(lines) <= 2 for lines in pages)
    assert all(font.getlength(line) <= 300 for lines in pages for line in lines)
    assert " ".join(line for lines in pages for line in lines).split() == ["word"] * 60


def test_a_text_that_does_not_fit_ends_in_dots() -> None:
    font, text = font_for("word " * 60, 20)
    pages = _pages(text, font, 300, most=2)
    assert len(pages) == 2
    assert pages[-1][-1].endswith("...")
    assert font.getlength(pages[-1][-1]) <= 300


def test_a_word_wider_than_a_line_is_split() -> None:
    font, text = font_for("x" * 200, 20)
    lines = [line for page in _pages(text, font, 300, most=50) for line in page]
    assert "".join(lines) == "x" * 200
    assert len(lines) > 1


@pytest.mark.parametrize("text", ["", " ", "\U0010fffe"])
def test_an_empty_caption_is_not_an_error(text: str) -> None:
    Caption(text, 320, 240, 1)
