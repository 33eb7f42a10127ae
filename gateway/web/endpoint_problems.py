"""Refusals of an endpoint's registration, with the codes that jobs have and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import Problem
from gateway.events import EventType
from gateway.generation_problems import not_one_of, shown
from gateway.web.schemas import EndpointRequest

_MAX_TOLD: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 64
_URL: Final = 'a URL such as "https://video.example.com/webhooks"'
_EXPECTED: Final = {"url": _URL, "events": "an array of events", "description": "a string"}


def explain(error: ValidationError) -> list[Problem]:
    """One problem for each error of the model, at most 20."""
    return [_explain(detail) for detail in error.errors(include_url=False)[:_MAX_TOLD]]


def _explain(detail: ErrorDetails) -> Problem:
    if not detail["loc"]:
        return Problem("", "not_an_object", "send one JSON object that holds the parameters")
    name = str(detail["loc"][0])
    param = name[:_MAX_SHOWN_CHARACTERS] + "".join(f"[{at}]" for at in detail["loc"][1:])
    return Problem(param, *_fault(name, detail))


def _fault(name: str, detail: ErrorDetails) -> tuple[str, str]:
    value: object = detail["input"]
    allowed: Mapping[str, object] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "required", f"is required; send {_EXPECTED[name]}"
        case "extra_forbidden":
            return "unknown_parameter", _unknown(name)
        case "enum" if isinstance(value, str):
            return "not_one_of", not_one_of(value, str(allowed["expected"]))
        case "string_too_short":
            return "blank", f"is empty; send {_EXPECTED[name]}"
        case "string_too_long":
            return "too_long", f"has {len(str(value))} characters; send at most {allowed['max_length']}"
        case "too_long":
            count = len(value) if isinstance(value, list) else 0
            return "too_many", f"{count} {name}; send at most {allowed['max_length']}"
        case _:
            return "wrong_type", _wrong_type(name, value, inside=len(detail["loc"]) > 1)


def _unknown(name: str) -> str:
    known = list(EndpointRequest.model_fields)
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(known)}"
    return f"is not a parameter; {way_out}"


def _wrong_type(name: str, value: object, *, inside: bool) -> str:
    if inside:
        return f"send one of {', '.join(EventType)}, not {shown(value)}"
    if value is None:
        leave_out = "" if EndpointRequest.model_fields[name].is_required() else f"leave {name} out, or "
        return f"null means nothing here; {leave_out}send {_EXPECTED[name]}"
    return f"send {_EXPECTED[name]}, not {shown(value)}"
