"""Parses request bodies about endpoints. Errors have the same codes as those of jobs, and say what to
send."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, TypeVar, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway import strict_json
from gateway.delivery.guard import Guard
from gateway.delivery.headers import MASK, MAX_HEADERS, fault_of_header, fault_of_headers
from gateway.errors import InvalidRequest, Problem, not_one_of, shown
from gateway.web.api.webhook_urls import target_problem
from gateway.web.schemas.endpoints import (
    MAX_OVERLAP_SECONDS,
    MAX_SLOTS,
    MAX_WAIT_SECONDS,
    EndpointBody,
    Filter,
)

M = TypeVar("M", bound=EndpointBody)

_MAX_PROBLEMS: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 64
_WAIT: Final = f"seconds from 1 to {MAX_WAIT_SECONDS}"
_SLOTS: Final = f"a whole number from 1 to {MAX_SLOTS}"
_EXPECTED: Final = {
    "url": 'a URL such as "https://video.example.com/webhooks"',
    "events": "an array of events",
    "description": "a string",
    "headers": 'an object of strings such as {"X-Team": "video"}',
    "schedule": "an array of seconds such as [5, 60, 3600], or null for the service's own",
    "slots": f"{_SLOTS}, or null for the service's own",
    "disabled": "true or false",
    "overlap_seconds": f"whole seconds from 0 to {MAX_OVERLAP_SECONDS}",
}
_MASKED: Final = "is shown as ********, which is not its value; send the value, or leave headers out"
_COUNTED: Final = {"schedule": "waits"}
#: What each item of a list or an object must be.
_EXPECTED_INSIDE: Final = {
    "events": f"one of {', '.join(get_args(Filter))}",
    "headers": "a string",
    "schedule": _WAIT,
}


def parse(raw: bytes, model: type[M], guard: Guard) -> M:
    """The body as the model. InvalidRequest lists up to 20 problems: all that can be found without a DNS
    lookup."""
    given = strict_json.loads(raw)  # refuses what the model's own parser accepts, such as duplicate keys
    found: list[Problem] = []
    wanted: M | None = None
    try:
        wanted = model.model_validate_json(raw)
    except ValidationError as error:
        found = [_explain(detail, model) for detail in error.errors(include_url=False)[:_MAX_PROBLEMS]]
    if isinstance(given, dict):
        known = {problem.param for problem in found}
        found += _of_url(given.get("url"), known, model, guard) + _of_headers(given.get("headers"), model)
    if found or wanted is None:
        raise InvalidRequest(found[:_MAX_PROBLEMS])
    return wanted


def _of_url(url: object, known: set[str], model: type[EndpointBody], guard: Guard) -> list[Problem]:
    if "url" not in model.model_fields or "url" in known or not isinstance(url, str):
        return []
    problem = target_problem(guard, "url", url)
    return [] if problem is None else [problem]


def _of_headers(headers: object, model: type[EndpointBody]) -> list[Problem]:
    if "headers" not in model.model_fields or not isinstance(headers, dict):
        return []
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    found = [
        Problem(_param("headers", [name]), "wrong_form", fault)
        for name, value in texts.items()
        if (fault := _MASKED if value == MASK else fault_of_header(name, value))
    ]
    if len(headers) <= MAX_HEADERS and (fault := fault_of_headers(texts)):
        found.append(Problem("headers", "wrong_form", fault))
    return found


def _explain(detail: ErrorDetails, model: type[EndpointBody]) -> Problem:
    if not detail["loc"]:
        return Problem("", "not_an_object", "send one JSON object that holds the parameters")
    name, *inside = detail["loc"]
    return Problem(_param(str(name), inside), *_fault(str(name), detail, model))


def _param(name: str, inside: list[int | str]) -> str:
    """`events[0]`, `headers[X-Team]`."""
    return name[:_MAX_SHOWN_CHARACTERS] + "".join(f"[{str(at)[:_MAX_SHOWN_CHARACTERS]}]" for at in inside)


def _fault(name: str, detail: ErrorDetails, model: type[EndpointBody]) -> tuple[str, str]:
    value: object = detail["input"]
    allowed: Mapping[str, object] = detail.get("ctx", {})
    inside = len(detail["loc"]) > 1
    match detail["type"]:
        case "missing":
            return "required", f"is required; send {_EXPECTED[name]}"
        case "extra_forbidden":
            return "unknown_parameter", _unknown(name, list(model.model_fields))
        case "literal_error" if isinstance(value, str):
            return "not_one_of", not_one_of(value, str(allowed["expected"]))
        case "greater_than_equal" | "less_than_equal":
            expected = _EXPECTED_INSIDE[name] if inside else _EXPECTED[name]
            return "out_of_range", f"{shown(value)} is out of range; send {expected}"
        case "string_too_short":
            return "blank", f"is empty; send {_EXPECTED[name]}"
        case "string_too_long":
            return "too_long", f"has {len(str(value))} characters; send at most {allowed['max_length']}"
        case "too_long":
            count = len(value) if isinstance(value, list | dict) else 0
            return "too_many", f"{count} {_COUNTED.get(name, name)}; send at most {allowed['max_length']}"
        case _:
            return "wrong_type", _wrong_type(name, value, model, inside=inside)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(known)}"
    return f"is not a parameter; {way_out}"


def _wrong_type(name: str, value: object, model: type[EndpointBody], *, inside: bool) -> str:
    if inside:
        # A header's value may be a secret of the client.
        given = "another type" if name == "headers" else shown(value)
        return f"send {_EXPECTED_INSIDE[name]}, not {given}"
    if value is None:
        leave_out = "" if model.model_fields[name].is_required() else f"leave {name} out, or "
        return f"null is not accepted; {leave_out}send {_EXPECTED[name]}"
    return f"send {_EXPECTED[name]}, not {shown(value)}"
