"""Parses request bodies of recoveries. Errors have the same codes as those of jobs, and say what to send."""

from __future__ import annotations

import difflib
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway import strict_json
from gateway.errors import InvalidRequest, Problem, not_one_of, shown
from gateway.web.schemas.deliveries import RecoveryRequest

TIME: Final = 'a time with its offset such as "2026-11-22T08:00:00Z"'
_STATES: Final = 'an array of "dead" and "held"'
_EXPECTED: Final = {"since": TIME, "until": TIME, "states": _STATES}
_MAX_PROBLEMS: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 64


def parse(raw: bytes) -> RecoveryRequest:
    """The body as the model. InvalidRequest lists every wrong field."""
    strict_json.loads(raw)  # refuses what the model's own parser accepts, such as duplicate keys
    try:
        return RecoveryRequest.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)[:_MAX_PROBLEMS]
        raise InvalidRequest([_explain(detail) for detail in found]) from None


def _explain(detail: ErrorDetails) -> Problem:
    if not detail["loc"]:
        return Problem("", "not_an_object", "send one JSON object that holds the parameters")
    name, *inside = detail["loc"]
    param = str(name)[:_MAX_SHOWN_CHARACTERS] + "".join(f"[{at}]" for at in inside)
    return Problem(param, *_fault(str(name), detail))


def _fault(name: str, detail: ErrorDetails) -> tuple[str, str]:
    value: object = detail["input"]
    match detail["type"]:
        case "missing":
            return "required", f"is required; send {_EXPECTED[name]}"
        case "extra_forbidden":
            return "unknown_parameter", _unknown(name)
        case "literal_error" if isinstance(value, str):
            return "not_one_of", not_one_of(value, str(detail["ctx"]["expected"]))
        case "string_pattern_mismatch":
            return "wrong_form", f"send {_EXPECTED[name]}"
        case "too_short":
            return "too_few", f"is empty; leave {name} out, or send {_EXPECTED[name]}"
        case "too_long":
            return "too_many", f"send {_EXPECTED[name]}, each once"
        case _:
            return "wrong_type", f"send {_EXPECTED[name]}, not {shown(value)}"


def _unknown(name: str) -> str:
    known = list(RecoveryRequest.model_fields)
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(known)}"
    return f"is not a parameter; {way_out}"
