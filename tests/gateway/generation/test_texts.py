from __future__ import annotations

import sys
import unicodedata

import pytest

from gateway.generation.texts import is_blank

#: Default_Ignorable_Code_Point, from DerivedCoreProperties.txt of Unicode 16.
IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
    (0xE0000, 0xE0FFF),
)


def every_character() -> list[str]:
    return [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) != "Cs"]


def test_spaces_controls_formats_and_lone_marks_are_blank() -> None:
    invisible = ("Z", "Cc", "Cf", "M")
    shown = [
        character
        for character in every_character()
        if unicodedata.category(character).startswith(invisible) and not is_blank(character)
    ]
    assert shown == []


def test_ignorable_characters_are_blank_whatever_their_category() -> None:
    ignorable = [chr(code) for first, last in IGNORABLE for code in range(first, last + 1)]
    assert [character for character in ignorable if not is_blank(character)] == []
    assert {unicodedata.category(character) for character in ignorable} >= {"Lo", "Mn", "Cf", "Cn"}


def test_letters_digits_punctuation_and_symbols_are_not_blank() -> None:
    ignorable = {chr(code) for first, last in IGNORABLE for code in range(first, last + 1)}
    blank = [
        unicodedata.name(character)
        for character in every_character()
        if unicodedata.category(character)[0] in "LNPS" and character not in ignorable and is_blank(character)
    ]
    assert blank == ["BRAILLE PATTERN BLANK", "MUSICAL SYMBOL NULL NOTEHEAD"]


def test_characters_that_may_be_newer_than_our_tables_are_not_blank() -> None:
    assert not is_blank("\ue000")
    assert not is_blank("\U0002fa20")


@pytest.mark.parametrize(
    "text",
    ["", " \t\r\n", "\u200b\u200d\ufeff", "\u2800\u2800", "\u3164", "\u00a0\u3000", "\u034f\ufe0f", "\ufffe"],
)
def test_a_text_of_invisible_characters_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", ["x", "\u200bx\u200b", "\u2801", "👨‍👩‍👧‍👦", "1️⃣", "e\u0301", "...", "ᅟᅡ"])
def test_one_visible_character_is_enough(text: str) -> None:
    assert not is_blank(text)


def test_a_long_invisible_text_is_blank() -> None:
    assert is_blank("\u200b" * 1_000_000)
