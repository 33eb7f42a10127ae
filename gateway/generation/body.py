"""From the body a client sent to one flat set of known parameters.

Two forms are taken: the published page's, with all parameters flat, and the upstream's own wire form,
`{"model": M, "input": [{"params": {...}}]}`. Problems name the parameters flat in both.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from gateway.errors import InvalidRequest, Problem

_MAX_TOLD = 20  # unknown names explained one by one; a body may hold a hundred thousand
_MAX_SHOWN_CHARACTERS = 64
_WIRE_FORM = '{"model": ..., "input": [{"params": {...}}]}'
_HINTS = {
    "movement_amplitude": "has no effect on this model; leave it out",
    "audio": "is no parameter of this model, which makes no speech; use bgm for background music",
    "subjects": "is no parameter of this call; put the reference pictures into images",
    "authorization": "is a header, never a part of the body; send Authorization: Bearer <your gateway key>",
}


def flat_fields(body: object, known: Collection[str]) -> tuple[dict[str, object], list[Problem]]:
    """The parameters of `body` that are in `known`, and a problem for everything else in it. Raises
    `InvalidRequest` when there is no telling what the parameters are."""
    if not isinstance(body, dict):
        raise InvalidRequest([Problem("", "not_an_object", "send one JSON object that holds the parameters")])
    fields, problems = _unwrapped(body) if "input" in body else (body, [])
    unknown = [name for name in fields if name not in known]
    if unknown:
        fields = {name: value for name, value in fields.items() if name in known}
        problems = problems + _explain_unknown(unknown, known)
    return fields, problems


def _unwrapped(body: dict[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """The flat form of the wire form. What stands beside `input` and `params` counts as a parameter."""
    outer = {name: value for name, value in body.items() if name != "input"}
    wrapped = body["input"]
    if not isinstance(wrapped, list) or len(wrapped) != 1 or not isinstance(wrapped[0], dict):
        message = f"must be an array of exactly one object: {_WIRE_FORM}; or send the parameters flat"
        raise InvalidRequest([Problem("input", "wire_form", message)])
    params = wrapped[0].get("params")
    if not isinstance(params, dict):
        message = f"must hold an object params: {_WIRE_FORM}; or send the parameters flat"
        raise InvalidRequest([Problem("input[0].params", "wire_form", message)])
    outer.update((name, value) for name, value in wrapped[0].items() if name != "params")
    problems = [
        Problem(name, "given_twice", "stands both outside and inside params, and differs; send it once")
        for name in outer.keys() & params.keys()
        if outer[name] != params[name]
    ]
    return outer | params, problems


def _explain_unknown(unknown: list[str], known: Collection[str]) -> list[Problem]:
    problems = [
        Problem(name[:_MAX_SHOWN_CHARACTERS], "unknown_parameter", _hint(name, known))
        for name in unknown[:_MAX_TOLD]
    ]
    if len(unknown) > _MAX_TOLD:
        message = (
            f"{len(unknown) - _MAX_TOLD} more names are not parameters; the parameters are {_list(known)}"
        )
        problems.append(Problem("", "unknown_parameter", message))
    return problems


def _hint(name: str, known: Collection[str]) -> str:
    special = _HINTS.get(name.lower())
    if special is not None:
        return special
    near = difflib.get_close_matches(name[:_MAX_SHOWN_CHARACTERS].lower(), known, n=1)
    if near:
        return f"is not a parameter; did you mean {near[0]}?"
    return f"is not a parameter; the parameters are {_list(known)}"


def _list(names: Collection[str]) -> str:
    return ", ".join(names)
