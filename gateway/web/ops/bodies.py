"""Parses operators' request bodies strictly. Every error has a stable code and says what to send."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from gateway import strict_json
from gateway.errors import InvalidRequest, Problem, not_one_of, shown
from gateway.lifecycle import OnUnknown
from gateway.money.amounts import EXPECTED
from gateway.resolution import Action
from gateway.tenants import Key, Scope
from gateway.web.http.bodies import JsonBody
from gateway.web.schemas.budgets import BudgetRequest, BudgetsRequest
from gateway.web.schemas.ops import OpsRequest, ResolveRequest
from gateway.web.state import state_of

M = TypeVar("M", bound=OpsRequest)

_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0
_MAX_PROBLEMS: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 64
_EXPECTED: Final = {
    "action": f"one of {', '.join(Action)}",
    "task_id": "the upstream's id of the task: 1 to 128 visible ASCII characters",
    "amount": EXPECTED,
    "reason": "a sentence for other operators",
    "on_unknown": f"one of {', '.join(OnUnknown)}, or null for the service's default",
    "tenant": "a name of 1 to 32 of a-z, 0-9, _ and -, not starting with _ or -",
    "title": "a display name, or null for none",
    "weight": "a whole number from 1 to 100, or null for the service's default",
    "in_flight": "a whole number from 1, or null for the service's default",
    "queue_max": "a whole number from 1, or null for the service's default",
    "rate": "jobs per second, 0 for unlimited, or null for the service's default",
    "burst": "a whole number from 1, or null for the service's default",
    "networks": 'a list of 1 to 50 networks such as ["10.1.0.0/16"], or null for only those of the service',
    "name": "the purpose of the key",
    "scopes": f"a list of {', '.join(Scope)}, or null for jobs and endpoints",
    "expires_in_hours": "whole hours from 1 to 87600, or null for never",
    "subscriber": "the id of an endpoint, or an id from GET /ops/api/subscribers/paused",
    "seconds": "whole seconds from 1 to 604800, or null to pause until it is resumed",
    "number": "a whole number from 1 to 500",
    "all": "true or false",
    "overlap_seconds": "whole seconds from 0 to 604800",
    "budgets": "an object with any of day, month and total, or null for no budgets",
    **dict.fromkeys(("day", "month", "total"), 'a budget such as {"limit": "25.00", "hard": true}, or null'),
    "limit": EXPECTED,
    "hard": "true or false",
}
#: The names inside budgets, by their depth.
_KNOWN: Final = {1: list(BudgetsRequest.model_fields), 2: list(BudgetRequest.model_fields)}


async def read(request: Request, key: Key, model: type[M]) -> M:
    """The request's body as the model. InvalidRequest lists every wrong field."""
    async with JsonBody(request, key.tenant, state_of(request).budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        strict_json.loads(raw)  # refuses what pydantic accepts, such as duplicate keys
        try:
            wanted = model.model_validate_json(raw)
        except ValidationError as error:
            raise InvalidRequest(explain(error, model)) from None
    if isinstance(wanted, ResolveRequest):
        check_task(wanted)
    return wanted


def explain(error: ValidationError, model: type[OpsRequest]) -> list[Problem]:
    """One problem for each wrong parameter."""
    return [_explain(detail, model) for detail in error.errors(include_url=False)[:_MAX_PROBLEMS]]


def check_task(wanted: ResolveRequest) -> None:
    """A task id is required with `bind` and refused otherwise."""
    binding = wanted.action is Action.BIND
    if binding and wanted.task_id is None:
        message = f"is required with bind; send {_EXPECTED['task_id']}"
        raise InvalidRequest([Problem("task_id", "required", message)])
    if not binding and wanted.task_id is not None:
        raise InvalidRequest([Problem("task_id", "unknown_parameter", "is only for bind; leave it out")])


def _explain(detail: ErrorDetails, model: type[OpsRequest]) -> Problem:
    if not detail["loc"]:
        return Problem("", "not_an_object", "send one JSON object with the parameters")
    outer, *inner = detail["loc"]
    if outer != "budgets":  # of a list, the whole is named
        inner = []
    path = ".".join(str(part)[:_MAX_SHOWN_CHARACTERS] for part in (outer, *inner))
    name = str(inner[-1] if inner else outer)
    return Problem(path, *_fault(name, detail, _KNOWN[len(inner)] if inner else list(model.model_fields)))


def _fault(name: str, detail: ErrorDetails, known: list[str]) -> tuple[str, str]:
    value: object = detail["input"]
    allowed: Mapping[str, object] = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return "required", f"is required; send {_EXPECTED[name]}"
        case "extra_forbidden":
            return "unknown_parameter", _unknown(name, known)
        case "enum" if isinstance(value, str):
            return "not_one_of", not_one_of(value, str(allowed["expected"]))
        case "string_too_short" | "blank":
            return "blank", f"is blank; send {_EXPECTED[name]}"
        case "string_too_long":
            return "too_long", f"has {len(str(value))} characters; send at most {allowed['max_length']}"
        case "greater_than_equal" | "less_than_equal" | "too_long" | "finite_number":
            return "out_of_range", f"send {_EXPECTED[name]}"
        case "string_pattern_mismatch":
            return "wrong_form", f"send {_EXPECTED[name]}"
        case _:
            return "wrong_type", f"send {_EXPECTED[name]}, not {shown(value)}"


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"send {', '.join(known)}"
    return f"is not a parameter; {way_out}"
