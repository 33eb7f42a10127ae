"""Each script says at its top what it does, what it is given and what it answers, and names the arguments."""

from __future__ import annotations

import re

import pytest

from gateway.store import script_library

_VERBS = sorted(script_library.verbs())


def _read(verb: str) -> tuple[list[str], list[str]]:
    """The lines of the header, and those of the body."""
    lines = script_library.verbs()[verb].splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("--"))
    return lines[:end], lines[end:]


@pytest.mark.parametrize("verb", _VERBS)
def test_a_script_says_what_it_does_what_it_is_given_and_what_it_answers(verb: str) -> None:
    header, _ = _read(verb)
    assert re.match(rf"-- {verb}: \w.*\.$", header[0])
    for begins in ("-- KEYS  ", "-- ARGV  ", "-- Returns "):
        assert sum(line.startswith(begins) for line in header) == 1, begins


def _functions() -> dict[str, str]:
    """The text of each function of the parts, by its name; a local one as `part.name`, too."""
    return {
        f"{part}.{found[1]}": found[0]
        for part, text in script_library.parts().items()
        for found in re.finditer(
            r"^(?:local function |function \w+\.)(\w+)\(.*?^end$", text, re.MULTILINE | re.DOTALL
        )
    }


def _reached_from(verb: str) -> set[str]:
    """The functions of the parts that a verb calls, directly or through others."""
    functions, reached = _functions(), set[str]()
    waiting = [("", script_library.verbs()[verb])]
    while waiting:
        part, text = waiting.pop()
        named = set(re.findall(r"\b[a-z_]+\.[a-z_]+\b", text))
        named |= {f"{part}.{name}" for name in re.findall(r"(?<![\w.])[a-z_]+(?=\()", text)}
        for name in (named & functions.keys()) - reached:
            reached.add(name)
            waiting.append((name.partition(".")[0], functions[name]))
    return reached


def test_no_line_of_a_script_has_more_than_120_characters() -> None:
    long = [
        f"{name}:{number}"
        for name, text in {**script_library.parts(), **script_library.verbs()}.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > 120
    ]
    assert long == []


@pytest.mark.parametrize("verb", _VERBS)
def test_keys_and_arguments_are_given_names_before_anything_is_done(verb: str) -> None:
    _, body = _read(verb)
    names = re.compile(r"local [\w, ]+ = .*\b(?:KEYS|ARGV)\b")
    first = next((at for at, line in enumerate(body) if not names.match(line)), len(body))
    assert not [line for line in body[first:] if re.search(r"\b(?:KEYS|ARGV)\b", line)]
