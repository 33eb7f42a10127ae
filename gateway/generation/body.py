"""Reads a client's JSON body into one flat set of known parameters.

It accepts two forms: the flat form of the published documentation, and the upstream's own wire form,
`{"model": M, "input": [{"params": {...}}]}`. Problems always use the flat parameter names.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection

from gateway.errors import InvalidRequest, Problem

_MAX_EXPLAINED = 20  # unknown names explained one by one; a body may hold a hundred thousand
_MAX_SHOWN_CHARACTERS = 64
_WIRE_FORM = '{"model": ..., "input": [{"params": {...}}]}'
_HINTS = {
    "movement_amplitude": "has no effect on this model; leave it out",
    "audio": "is not a parameter of this model, which makes no speech; use bgm for background music",
    "subjects": "is not a parameter of this call; put the reference pictures into images",
    "authorization": "is a header, not part of the body; send Authorization: Bearer <your gateway key>",
}


def flat_fields(body: object, known: Collection[str]) -> tuple[dict[str, object], list[Problem]]:
    """The parameters of `body` that are in `known`, and a problem for each of the others.

    Raises `InvalidRequest` if the body has neither of the two forms.
    """
    if not isinstance(body, dict):
        raise InvalidRequest([Problem("", "not_an_object", "send one JSON object that holds the parameters")])
    fields, problems = _unwrapped(body) if "input" in body else (body, [])
    unknown = [name for name in fields if name not in known]
    if unknown:
        fields = {name: value for name, value in fields.items() if name in known}
        problems = problems + _explain_unknown(unknown, known)
    return fields, problems


def _unwrapped(body: dict[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """Converts the wire form to the flat form. Fields beside `input` and `params` count as parameters."""
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
        Problem(name, "given_twice", "is both outside and inside params, with different values; send it once")
        for name in outer.keys() & params.keys()
        if outer[name] != params[name]
    ]
    return outer | params, problems


def _explain_unknown(unknown: list[str], known: Collection[str]) -> list[Problem]:
    problems = [
        Problem(name[:_MAX_SHOWN_CHARACTERS], "unknown_parameter", _hint(name, known))
        for name in unknown[:_MAX_EXPLAINED]
    ]
    if len(unknown) > _MAX_EXPLAINED:
        more = len(unknown) - _MAX_EXPLAINED
        message = f"{more} more names are not parameters; the parameters are {_list(known)}"
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
