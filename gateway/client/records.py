"""Reads JSON into frozen dataclasses. What a newer gateway adds is passed over, and is still in `raw`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from .errors import GatewayError


@dataclass(frozen=True, kw_only=True)
class Record:
    """`raw`: the JSON object as it came, with the fields that this version of the client does not know."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


R = TypeVar("R", bound=Record)
_HINTS: dict[type[Record], dict[str, Any]] = {}


def read(kind: type[R], given: Any) -> R:
    """The record in a JSON object. GatewayError if a field that must be there is missing."""
    if not isinstance(given, dict):
        raise GatewayError(f"the answer has no {kind.__name__}: is it a vidu-gateway?")
    found = {name: _value(hint, given[name]) for name, hint in _hints(kind).items() if name in given}
    try:
        return kind(raw=given, **found)
    except TypeError as error:
        raise GatewayError(f"the answer is no {kind.__name__}: {error}") from None


def _hints(kind: type[Record]) -> dict[str, Any]:
    """The types of the fields, by name."""
    if kind not in _HINTS:
        hints = typing.get_type_hints(kind)
        _HINTS[kind] = {one.name: hints[one.name] for one in dataclasses.fields(kind) if one.name != "raw"}
    return _HINTS[kind]


def _value(hint: Any, given: Any) -> Any:
    """The value of a field. What has another form than expected is left as it came."""
    if given is None:
        return None
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        return _value(next(one for one in inner if one is not type(None)), given)
    if origin is tuple and isinstance(given, list):
        return tuple(_value(inner[0], one) for one in given)
    if isinstance(given, dict):
        if dataclasses.is_dataclass(hint):
            return read(typing.cast("type[Record]", hint), given)
        return {name: _value(inner[1], one) for name, one in given.items()} if origin else given
    if hint is datetime and isinstance(given, str):
        try:
            return datetime.fromisoformat(given)
        except ValueError:
            return given
    return given
