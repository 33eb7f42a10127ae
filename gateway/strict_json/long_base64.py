"""Takes the long Base64 of data URIs out of a JSON document before it is parsed, and puts it back afterwards.

No other thread runs while Python scans a long string, so a document of 20 MB would hold up every other
request. Here the long strings cost almost nothing: only their end is searched, and a decoder that uses SIMD
checks them.

The document is read as strictly as before. What is taken out is Base64 alone, so it changes neither where a
string ends nor how many values there are, and the mark in its place is not JSON outside a string. If anything
else is unusual, such as a mark in a key, the caller reads the document as it came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pybase64

#: Shorter data stay where they are.
LONG_CHARACTERS: Final = 16_384
_START: Final = re.compile(rb"[A-Za-z0-9+/\\]{64}")
#: So many commas with a quote behind them are tried: a hostile document has millions.
_TRIES: Final = 10_000
#: DEL, which JSON allows in a string, and which hardly any client sends.
_MARK: Final = "\x7f"
_RAW_MARK: Final = _MARK.encode()
_ESCAPED_MARK: Final = b"\\u007"
#: Data with escapes are unescaped in pieces, each in about a millisecond.
_PIECE_CHARACTERS: Final = 2**18
_LONGEST_ESCAPE: Final = len(r"\u002b")


def take_out(raw: bytes) -> tuple[bytes, list[str]]:
    """The document with a mark in place of each long Base64, and what was there, unescaped. Without any, or
    if it has marks of its own, it is the document itself."""
    taken: list[str] = []
    kept: list[bytes] = []
    begin = at = 0
    for _ in range(_TRIES):
        start = raw.find(b",", at) + 1  # the data of a data URI follow its first comma
        at = raw.find(b'"', start)
        if not start or at < 0:
            break
        if at - start < LONG_CHARACTERS or not _START.match(raw, start):
            continue
        if (text := _base64(raw, start, at)) is not None:
            kept.append(raw[begin:start])
            taken.append(text)
            begin = at
    kept.append(raw[begin:])
    if not taken or any(_RAW_MARK in part or _ESCAPED_MARK in part for part in kept):
        return raw, []
    marked = (b"%s%s%d" % (part, _RAW_MARK, number) for number, part in enumerate(kept[:-1]))
    return b"".join([*marked, kept[-1]]), taken


def put_back(value: object, taken: list[str]) -> tuple[object, bool]:
    """The value of the document with all that was taken out in its place, and whether that succeeded. It does
    not if a mark is in a key."""
    root = [value]
    pending: list[Any] = [root]
    count = 0
    while pending:
        holder = pending.pop()
        for key, item in enumerate(holder) if isinstance(holder, list) else holder.items():
            if isinstance(item, str):
                head, mark, number = item.partition(_MARK)
                if mark:
                    holder[key] = head + taken[int(number)]
                    count += 1
            elif isinstance(item, list | dict):
                pending.append(item)
    return root[0], count == len(taken)


def dump(given: Mapping[str, object]) -> Iterator[bytes]:
    """`given` as orjson writes it with sorted keys, in pieces. Long strings in its lists must be data URIs,
    whose data need no escapes."""
    short: dict[str, object] = {}
    long: list[str] = []
    for name, value in sorted(given.items()):
        if isinstance(value, list):
            long += (item for item in value if _is_long(item))
            value = [orjson.Fragment(b"\0") if _is_long(item) else item for item in value]
        short[name] = value
    # orjson escapes any other NUL.
    first, *others = orjson.dumps(short, option=orjson.OPT_SORT_KEYS).split(b"\0")
    yield first
    for reference, other in zip(long, others, strict=True):
        head, comma, data = reference.rpartition(",")
        yield orjson.dumps(head + comma)[:-1]
        yield data.encode()
        yield b'"' + other


def _is_long(item: object) -> bool:
    return isinstance(item, str) and len(item) > LONG_CHARACTERS


def _base64(raw: bytes, start: int, end: int) -> str | None:
    """What is between the two positions in a JSON string; None if it is not Base64."""
    try:
        text = "".join(_unescaped(raw, start, end))
        pybase64.b64decode(text, validate=True)
    except ValueError:  # not ASCII, a broken escape, or not Base64
        return None
    return text


def _unescaped(raw: bytes, start: int, end: int) -> Iterator[str]:
    """The characters between the two positions, in pieces. Many encoders escape / or + or =."""
    if raw.find(b"\\", start, end) < 0:
        yield str(memoryview(raw)[start:end], "ascii")
        return
    while start < end:
        stop = min(start + _PIECE_CHARACTERS, end)
        if stop < end and (escape := raw.find(b"\\", stop - _LONGEST_ESCAPE + 1, stop)) >= 0:
            stop = escape  # it may go on in the next piece
        yield json.loads(f'"{raw[start:stop].decode("ascii")}"')
        start = stop
