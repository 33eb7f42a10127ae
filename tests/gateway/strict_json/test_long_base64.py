"""Long Base64 is read past the JSON parser, and nobody can tell from what comes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import strict_json
from gateway.errors import MalformedBody, Problem
from gateway.strict_json import long_base64

DATA = base64.b64encode(bytes(range(256))).decode()
REFERENCE = f"data:image/png;base64,{DATA}"

# Parts of documents, right and wrong, that meet each other in any order.
PARTS = [
    *('"', "{", "}", "[", "]", ",", ":", " ", "\n", "1", "1e999", "NaN", "null", '"a":', '"images":['),
    *(f'"{REFERENCE}"', f'"{REFERENCE}",', f'"a":"{REFERENCE}"', f'"{REFERENCE}":1', f'x{REFERENCE}"'),
    *(f",{DATA}", DATA, DATA.replace("/", "\\/"), DATA.replace("+", "\\u002B"), DATA.replace("=", "\\u003d")),
    *(
        "\\",
        "\\\\",
        '\\"',
        "\\n",
        "\\u007f",
        "\\u0041",
        "\\ud800",
        "\x7f",
        "\x7f0",
        "\x00",
        "\t",
        "é",
        "data:",
    ),
    DATA[:-2] + "\\u00",
]
BROKEN = [b"", b'"', b"\\", b"\x7f", b"\x1f", b"\xff", b",", b"}"]
DOCUMENTS = st.lists(st.sampled_from(PARTS), max_size=12).map("".join)
TEXTS = st.lists(st.sampled_from([*PARTS, REFERENCE, REFERENCE]), max_size=5).map("".join)
VALUES = st.recursive(
    TEXTS | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(autouse=True, scope="module")
def _short() -> Iterator[None]:
    """What counts as long is short here, and so are the pieces in which escapes are read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_base64, "LONG_CHARACTERS", 64)
        patch.setattr(long_base64, "_PIECE_CHARACTERS", 32)
        yield


def outcome(raw: bytes, *, whole: bool = False) -> tuple[object, list[Problem]]:
    """The value, or the problems. `whole`: as if there were nothing long."""
    with pytest.MonkeyPatch.context() as patch:
        if whole:
            patch.setattr(long_base64, "LONG_CHARACTERS", 10**9)
        try:
            return strict_json.loads(raw), []
        except MalformedBody as error:
            return None, list(error.problems)


def check_same(raw: bytes) -> None:
    assert outcome(raw) == outcome(raw, whole=True)


@given(DOCUMENTS)
@example(f'["{REFERENCE}","{REFERENCE}"]')
@example(f'{{"{REFERENCE}":1,"{REFERENCE}":2}}')
@example(f'["{REFERENCE}",{{"{REFERENCE}":2}}]')
@example(f'["\x7f0","{REFERENCE}"]')
@example(f'["\x7fx","{REFERENCE}"]')
@example(f'{{"{REFERENCE}":1,"a":"\x7f0"}}')
@example(f'{{"{REFERENCE}":1,"a":"\\u007F0"}}')
@example(f'["\\u007f0","{REFERENCE}"]')
@example(f'["\\u007F0","{REFERENCE}"]')
@example(f'["\\"{REFERENCE}"]')
@example(f'["a,"{REFERENCE}"]')
@example(f'{REFERENCE}"')
@example(f'"{REFERENCE}')
@example(f'"{REFERENCE}\\"')
@example(f'["{REFERENCE}"')
@example(f'["{REFERENCE}\t"]')
@example(f'["{REFERENCE}\x00\\/"]')
@example(f'["{REFERENCE}"]x')
@example('["' + REFERENCE.replace("a:", "a\x01:") + '"]')
@example('["' + REFERENCE + "\\" + '"]')
def test_any_document_has_the_value_and_the_problem_that_it_has_without_this(document: str) -> None:
    check_same(document.encode())


@given(
    VALUES, st.integers(0, 3000), st.sampled_from([b"", b'"', b"\\", b"\x7f", b"\x1f", b"\xff", b",", b"}"])
)
def test_a_broken_document_has_the_problem_that_it_has_without_this(
    value: object, at: int, broken: bytes
) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()
    at %= len(raw)
    check_same(raw)
    check_same(raw[:at] + broken + raw[at + 1 :])


@pytest.mark.parametrize(
    "written",
    [
        REFERENCE,
        REFERENCE.replace("/", "\\/"),
        REFERENCE.replace("+", "\\u002B").replace("=", "\\u003D"),
        "".join(f"\\u{ord(character):04x}" for character in DATA).join(["data:image/png;base64,", ""]),
        REFERENCE.replace("image/", "image\\/"),
    ],
    ids=["plain", "PHP", ".NET", "all escaped", "prefix escaped"],
)
def test_long_base64_is_taken_out_and_put_back_however_it_is_escaped(written: str) -> None:
    raw = f'{{"images": ["{written}", "https://example.com"], "payload": "{written}"}}'.encode()
    rest, taken = long_base64.take_out(raw)
    assert taken == [DATA, DATA]
    assert len(rest) < 150
    assert strict_json.loads(raw) == {"images": [REFERENCE, "https://example.com"], "payload": REFERENCE}


@pytest.mark.parametrize(
    "string",
    [
        REFERENCE[:-1],
        REFERENCE + "=",
        REFERENCE + "é",
        REFERENCE.replace("/", "_"),
        REFERENCE + "\\n",
        REFERENCE + "\x7f",
    ],
)
def test_what_is_not_strict_base64_stays(string: str) -> None:
    raw = f'["{string}"]'.encode()
    assert long_base64.take_out(raw) == (raw, [])


def test_the_prefix_may_have_any_form() -> None:
    given = f"DATA:image/png;charset=utf-8; BASE64,{DATA}"
    raw = json.dumps([given]).encode()
    assert long_base64.take_out(raw)[1] == [DATA]
    assert strict_json.loads(raw) == [given]


def test_a_document_is_read_as_it_came_if_a_mark_is_in_a_key() -> None:
    raw = f'{{"{REFERENCE}": 1}}'.encode()
    rest, taken = long_base64.take_out(raw)
    assert not long_base64.put_back(json.loads(rest), taken)[1]
    assert strict_json.loads(raw) == {REFERENCE: 1}


def test_a_hostile_document_is_not_searched_to_its_end() -> None:
    small = b'["",' * 2 + b'"' + REFERENCE.encode() + b'"]]'
    assert long_base64.take_out(small)[1] == [DATA]
    large = b'["",' * 20_000 + b'"' + REFERENCE.encode() + b'"'
    assert long_base64.take_out(large) == (large, [])


LISTS = st.lists(st.sampled_from(["", "a\0b", REFERENCE, '"é' + REFERENCE]))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=100) | st.integers(0, 9) | LISTS, max_size=4))
def test_a_request_is_written_in_pieces_as_it_is_in_one(request: dict[str, object]) -> None:
    assert b"".join(long_base64.dump(request)) == orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
