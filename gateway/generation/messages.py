"""Converts the validation errors of the model into problems that say what to send instead.

pydantic only says what is wrong. Codes: `required`, `wrong_type`, `not_one_of`, `out_of_range`, `too_few`,
`too_many`, `too_long`, `blank`. A message quotes a value only if it is short and harmless: a number, or a
word in place of an enumeration value.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import MAX_SHOWN_CHARACTERS, Problem, not_one_of, shown

_EXPECTED = {
    "model": 'a string such as "viduq2_pro_reference"',
    "images": "an array of strings, also for one image",
    "videos": "an array of strings, also for one clip",
    "prompt": "a string",
    "bgm": "true or false",
    "duration": "a whole number of seconds from 0 to 10",
    "seed": "a whole number from 0 to 2147483647",
    "aspect_ratio": 'a string such as "16:9"',
    "resolution": 'a string such as "720p"',
    "payload": "a string",
    "off_peak": "true or false",
    "watermark": "true or false",
    "wm_position": "a whole number from 1 to 4",
    "wm_url": "a URL as a string",
    "meta_data": "a string",
    "callback_url": "a URL as a string",
}
_RANGES = {
    "duration": "send whole seconds from 0 to 10; 0 lets the model choose",
    "seed": "send 0 to 2147483647; use 0, or leave it out, for a random one",
    "wm_position": "send 1 top-left, 2 top-right, 3 bottom-right or 4 bottom-left",
}
_COUNTS = {
    "images": "send 1 to 7, or 1 to 4 together with a video",
    "videos": "send one clip of up to 8 s, or two of up to 5 s each",
}
_MAY_HOLD_JSON = frozenset({"payload", "meta_data"})
_NUMBERS = frozenset({"duration", "seed", "wm_position"})
_REQUIRED = frozenset({"model", "images", "prompt"})


def explain(error: ValidationError, fields: Mapping[str, object]) -> list[Problem]:
    """One problem for each error of the model. `fields`: the values that the model was created from."""
    return [_explain(detail, fields) for detail in error.errors(include_url=False)]


def _explain(detail: ErrorDetails, fields: Mapping[str, object]) -> Problem:
    name = str(detail["loc"][0])
    param = name + "".join(f"[{at}]" for at in detail["loc"][1:])
    value: object = detail["input"]
    allowed: Mapping[str, object] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return Problem(param, "required", f"is required; send {_EXPECTED[name]}")
        case "literal_error" if isinstance(value, str):
            return Problem(param, "not_one_of", not_one_of(value, str(allowed["expected"])))
        case "greater_than_equal" | "less_than_equal":
            return Problem(param, "out_of_range", f"{shown(value)} is out of range; {_RANGES[name]}")
        case "too_short":
            return Problem(param, "too_few", f"is empty; {_COUNTS[name]}")
        case "too_long":
            given = fields[name]
            count = len(given) if isinstance(given, list) else 0
            return Problem(param, "too_many", f"{count} {name}; {_COUNTS[name]}")
        case "string_too_short":
            return Problem(param, "blank", "is blank; describe the video")
        case "string_too_long":
            length, most = len(str(value)), allowed["max_length"]
            return Problem(param, "too_long", f"has {length} characters; send at most {most}")
        case _:
            return Problem(param, "wrong_type", _wrong_type(name, value, inside=len(detail["loc"]) > 1))


def _wrong_type(name: str, value: object, *, inside: bool) -> str:
    if inside:
        return f"send a string, not {shown(value)}"
    expected = _EXPECTED[name]
    if value is None:
        leave_out = "" if name in _REQUIRED else f"leave {name} out, or "
        return f"null is not accepted; {leave_out}send {expected}"
    if name in _NUMBERS and isinstance(value, str) and value.strip().isdecimal():
        number = value.strip()[:MAX_SHOWN_CHARACTERS]
        return f"send the number {number}, not the string {shown(value)}"
    if expected == "true or false" and isinstance(value, str) and value.lower() in ("true", "false"):
        return f"send {value.lower()} without quotes, not the string {shown(value)}"
    encode = "; send it JSON-encoded" if name in _MAY_HOLD_JSON and isinstance(value, (dict, list)) else ""
    return f"send {expected}, not {shown(value)}{encode}"
