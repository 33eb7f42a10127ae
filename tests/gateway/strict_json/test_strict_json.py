from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import strict_json
from gateway.errors import MalformedBody

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19), 10**19)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal(raw: bytes) -> tuple[str, str]:
    with pytest.raises(MalformedBody) as caught:
        strict_json.loads(raw)
    (problem,) = caught.value.problems
    assert problem.param == ""
    return problem.code, problem.message


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_body"),
        (b" \n", "empty_body"),
        (b"{", "invalid_json"),
        (b'{"a":1,}', "invalid_json"),
        (b'{"a":1}x', "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":"tab\there"}', "invalid_json"),
        (b"01", "invalid_json"),
        (b'{"a":"\xff"}', "not_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "not_utf8"),
        ('{"a":1}'.encode("utf-16"), "not_utf8"),
        ('{"a":1}'.encode("utf-16-le"), "not_utf8"),
        ('{"a":1}'.encode("utf-32-be"), "not_utf8"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'[{"b":{"a":1,"\\u0061":2}}]', "duplicate_key"),
        (b"[NaN]", "not_a_json_number"),
        (b"-Infinity", "not_a_json_number"),
        (b"1e999", "number_out_of_range"),
        (b"-1e999", "number_out_of_range"),
        (b"123456789012345678901", "number_too_long"),
        (b"-123456789012345678901", "number_too_long"),
        (b"1" * 5000, "number_too_long"),
        (b"0." + b"1" * 5000, "number_too_long"),
        (b'"\\ud800"', "lone_surrogate"),
        (b'{"\\uDC00":1}', "lone_surrogate"),
        (b'[["\\ud83d and \\ude00"]]', "lone_surrogate"),
        (b"[" * 33 + b"]" * 33, "nested_too_deeply"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "nested_too_deeply"),
        (b"[" * 900 + b"]" * 900, "nested_too_deeply"),
        (b"[" * 50_000, "nested_too_deeply"),
        (b'{"a":' * 50_000, "nested_too_deeply"),
        (b"[" + b"0," * 100_001 + b"0]", "too_many_values"),
        (b"[" + b"[]," * 60_000 + b"[]]", "too_many_values"),
        (b"[" * 200_000, "too_many_values"),
    ],
)
def test_anything_that_is_not_strict_json_is_refused(raw: bytes, code: str) -> None:
    assert refusal(raw)[0] == code


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b' {"a" : [1, 2.5, "\xc3\xa9"]}\n', {"a": [1, 2.5, "é"]}),
        (b"12345678901234567890", 12345678901234567890),
        (b"-12345678901234567890", -12345678901234567890),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"[" * 32 + b"]" * 32, None),
        (b'{"a":"' + b"[{" * 5000 + b'"}', {"a": "[{" * 5000}),
        (b'{"a":"\\\\","b":"\\"' + b"[" * 50 + b'"}', {"a": "\\", "b": '"' + "[" * 50}),
        (b'{"a":"' + b"," * 200_000 + b'"}', {"a": "," * 200_000}),
        (b"[" + b"[]," * 40 + b"[]]", [[]] * 41),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
    ],
)
def test_strict_json_is_read(raw: bytes, value: object) -> None:
    read = strict_json.loads(raw)
    if value is not None:
        assert read == value


def test_the_depth_can_be_set() -> None:
    assert strict_json.loads(b"[[1]]", max_depth=2) == [[1]]
    with pytest.raises(MalformedBody):
        strict_json.loads(b"[[[1]]]", max_depth=2)


def test_an_error_has_its_position_and_does_not_quote_the_text() -> None:
    code, message = refusal(b'{"key":\n "sesame" "open"}')
    assert code == "invalid_json"
    assert "line 2 column 11" in message
    assert "sesame" not in message


def test_the_error_names_the_byte_that_is_not_utf8() -> None:
    assert "byte 6" in refusal(b'{"a":"\xff"}')[1]


def test_a_duplicate_key_is_quoted_in_short() -> None:
    raw = b'{"%s":1,"%s":2}' % (b"k" * 500, b"k" * 500)
    assert '"' + "k" * 40 + '"' in refusal(raw)[1]


@given(JSON_VALUES)
def test_every_json_value_is_read_as_the_standard_library_reads_it(value: object) -> None:
    raw = json.dumps(value).encode()
    assert strict_json.loads(raw) == json.loads(raw)


@given(st.binary() | st.text(alphabet='{}[]",:\\u01dce.-+ \n').map(str.encode))
def test_random_bytes_are_never_read_less_strictly(raw: bytes) -> None:
    try:
        value = strict_json.loads(raw)
    except MalformedBody:
        return
    assert json.loads(raw) == value


def test_millions_of_empty_strings_are_refused_without_splitting() -> None:
    with pytest.raises(MalformedBody) as refusal:
        strict_json.loads(b"[" * 40 + b'""' * 2_000_000)
    assert refusal.value.problems[0].code == "too_many_values"
