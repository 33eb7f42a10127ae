"""Reads JSON strictly: every accepted document has one meaning, and the cost of reading it is limited.

The standard library accepts more than JSON (NaN, 1e999, UTF-16). It accepts documents that other readers
understand differently (duplicate keys, lone surrogates), and raises errors that are not ValueErrors for
others (deep nesting). This module refuses all of these with `MalformedBody`, always as one problem with an
empty `param`.

Codes: `not_utf8`, `byte_order_mark`, `empty_body`, `invalid_json`, `duplicate_key`, `not_a_json_number`,
`number_too_long`, `number_out_of_range`, `lone_surrogate`, `nested_too_deeply`, `too_many_values`.
Messages give the position if it is known. They never quote the document, except for a duplicate key.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Collection
from functools import partial

from gateway.errors import MalformedBody, Problem
from gateway.strict_json import long_base64

MAX_DEPTH = 32
MAX_VALUES = 100_000  # 20 MB could hold millions of values and block the event loop for seconds
MAX_INTEGER_DIGITS = 20
MAX_FLOAT_CHARACTERS = 100
_SHOWN_KEY_CHARACTERS = 40
_ANY_BRACKET_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def loads(raw: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """The value of one JSON document in UTF-8. Raises only `MalformedBody`."""
    if len(raw) > long_base64.LONG_CHARACTERS:
        rest, taken = long_base64.take_out(raw)
        if taken:
            with contextlib.suppress(MalformedBody):  # its message may have a position in the document
                value, whole = long_base64.put_back(_loads(rest, max_depth), taken)
                if whole:
                    return value
    return _loads(raw, max_depth)


def _loads(raw: bytes, max_depth: int) -> object:
    text = _text(raw)
    _check_size(raw, max_depth)
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise _malformed("invalid_json", f"the body is not valid JSON: {error.msg} at {where}") from None
    if b"\\" in raw and (b"\\ud" in raw or b"\\uD" in raw) and _has_lone_surrogate(value):
        message = (
            "a \\ud800-\\udfff escape has no partner; send both halves of the pair, or the character itself"
        )
        raise _malformed("lone_surrogate", message)
    return value


def salvage(raw: bytes, *, unique: Collection[str] = (), max_depth: int = MAX_DEPTH) -> object:
    """The value of a document that `loads` may refuse for its form: with a byte order mark, bytes that are
    not UTF-8, duplicate keys (the last one counts), NaN (becomes None) or large numbers.

    `unique`: keys that become None if one object gives them two different values.

    For answers that were paid for. Raises only `MalformedBody`: what is not JSON stays unreadable, and the
    limits of size and depth hold.
    """
    _check_size(raw, max_depth)
    try:
        return json.loads(
            raw.decode("utf-8-sig", errors="replace"),
            object_pairs_hook=partial(_last_of_pairs, unique),
            parse_constant=lambda _: None,
        )
    except (ValueError, RecursionError):
        raise _malformed("invalid_json", "the body is not JSON") from None


def _text(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _malformed("byte_order_mark", "the body starts with a byte order mark; send UTF-8 without one")
    if b"\0" in raw[:4]:
        raise _malformed("not_utf8", "the body looks like UTF-16 or UTF-32; send it as UTF-8")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8 at byte {error.start}; send it as UTF-8"
        raise _malformed("not_utf8", message) from None
    if not text or text.isspace():
        raise _malformed("empty_body", "the body is empty; send one JSON document")
    return text


def _check_size(raw: bytes, max_depth: int) -> None:
    """Refuses too many values and too deep nesting before any object is created.

    It uses only methods of bytes, which run in C. An ordinary document needs three counts. For a document
    that could exceed a limit, it removes the strings, and then the innermost brackets again and again.
    """
    brackets = raw.count(b"[") + raw.count(b"{")
    if brackets <= max_depth and raw.count(b",") <= MAX_VALUES:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * MAX_VALUES + 4:  # a value has at most two strings: its key and itself
        raise _too_many_values()
    pieces = plain.split(b'"')
    bare = b"".join(pieces[::2])
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > MAX_VALUES:
        raise _too_many_values()
    nest = bare.translate(_ANY_BRACKET_TO_SQUARE, _ALL_BUT_BRACKETS)
    for _ in range(max_depth):
        nest = nest.replace(b"[]", b"")
    # Unclosed brackets are left to the parser, which reports their position.
    if b"[]" in nest:
        raise _too_deep(max_depth)


def _too_many_values() -> MalformedBody:
    message = f"the body has more than {MAX_VALUES} values; send a smaller document"
    return _malformed("too_many_values", message)


def _has_lone_surrogate(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                return True
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item)
            pending.extend(item.values())
    return False


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                shown = json.dumps(key[:_SHOWN_KEY_CHARACTERS])
                raise _malformed("duplicate_key", f"the key {shown} is twice in one object; send it once")
            seen.add(key)
    return found


def _last_of_pairs(unique: Collection[str], pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    for key, value in pairs if len(found) != len(pairs) else ():
        if key in unique and value != found[key]:
            found[key] = None
    return found


def _integer(digits: str) -> int:
    if len(digits) - digits.startswith("-") > MAX_INTEGER_DIGITS:
        message = f"an integer has more than {MAX_INTEGER_DIGITS} digits; send a smaller one, or a string"
        raise _malformed("number_too_long", message)
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_FLOAT_CHARACTERS:
        message = f"a number is longer than {MAX_FLOAT_CHARACTERS} characters; send fewer digits"
        raise _malformed("number_too_long", message)
    value = float(digits)
    if math.isinf(value):
        raise _malformed("number_out_of_range", "a number is too large for a double; send a smaller one")
    return value


def _not_a_number(name: str) -> float:
    raise _malformed("not_a_json_number", f"{name} is not JSON; send a number, or leave the field out")


def _too_deep(max_depth: int) -> MalformedBody:
    message = f"the body is nested more than {max_depth} levels deep; send a flatter document"
    return _malformed("nested_too_deeply", message)


def _malformed(code: str, message: str) -> MalformedBody:
    return MalformedBody([Problem("", code, message)])


# Created once: json.loads would create a decoder in every call that has hooks.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object_of, parse_int=_integer, parse_float=_float, parse_constant=_not_a_number
)
