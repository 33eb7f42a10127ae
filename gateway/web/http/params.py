"""Query parameters and request headers: each is described once, parsed strictly, and typed.

A handler reads `params[LIMIT]` and gets an int. All faults of a request are reported together, each with the
name of its parameter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, overload

from starlette.requests import Request

from gateway.errors import Problem, not_one_of
from gateway.web.http.headers import Headers, headers_of, occurrences
from gateway.web.http.problems import Refusal, detail_of

T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)

Schema = Mapping[str, Any]

WHOLE: Final = re.compile(r"[0-9]{1,9}\Z")
_MAX_PROBLEMS: Final = 20
_MAX_NAME_CHARACTERS: Final = 64
_OPTIONS: Final = "gateway-"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class InvalidValue(Exception):
    """A value that cannot be accepted: a stable code, and how to fix it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, eq=False, slots=True)
class Param(Generic[T]):
    """One query parameter or header.

    `schema`: its JSON schema. `read`: parses its text, or raises InvalidValue. `default`: the value when it
    is absent. `missing`: the error message when a required parameter is absent; None: it is optional.
    `repeatable`: it may be repeated; its values are joined with commas. `serialization`: OpenAPI's
    `style` and `explode`, if not the default.
    """

    name: str
    description: str
    schema: Schema
    read: Callable[[str], T]
    default: T
    missing: str | None = None
    repeatable: bool = False
    serialization: Schema = field(default_factory=dict)


class Params:
    """The validated parameters of one request."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[Param[Any], Any]) -> None:
        self._values = values

    def __getitem__(self, param: Param[T]) -> T:
        value: T = self._values.get(param, param.default)
        return value


_NONE: Final = Params({})


class Reader:
    """Reads the parameters of one operation.

    `hints`: likely wrong names of query parameters, and what to do instead. `blank_is_absent`: for HTML
    forms, which also send empty fields.
    """

    def __init__(
        self,
        query: Sequence[Param[Any]] = (),
        headers: Sequence[Param[Any]] = (),
        *,
        hints: Mapping[str, str] | None = None,
        blank_is_absent: bool = False,
    ) -> None:
        self._query = {param.name: param for param in query}
        self._headers = [(param.name.lower().encode(), param) for param in headers]
        self._options = {
            param.name.lower(): param.name for param in headers if param.name.lower().startswith(_OPTIONS)
        }
        self._required = [param for param in query if param.missing is not None]
        self._hints = hints or {}
        self._blank_is_absent = blank_is_absent

    def read(self, request: Request) -> Params:
        """Parse the request's parameters. Raises Refusal (400) that lists every fault."""
        if not (request.scope["query_string"] or self._headers or self._required):
            return _NONE
        values: dict[Param[Any], Any] = {}
        problems: list[Problem] = []
        for param, text in self._given(request, problems):
            try:
                values[param] = param.read(text)
            except InvalidValue as wrong:
                problems.append(Problem(param.name, wrong.code, str(wrong)))
        named = {problem.param for problem in problems}
        problems += [
            Problem(param.name, "required", str(param.missing))
            for param in self._required
            if param not in values and param.name not in named
        ]
        if problems:
            raise refusal(*problems)
        return Params(values)

    def _given(self, request: Request, problems: list[Problem]) -> Iterator[tuple[Param[Any], str]]:
        if request.scope["query_string"]:
            yield from self._of_query(request, problems)
        if self._headers:
            yield from self._of_headers(request, problems)

    def _of_query(self, request: Request, problems: list[Problem]) -> Iterator[tuple[Param[Any], str]]:
        seen: set[str] = set()
        given = request.query_params
        for name, value in given.multi_items():
            if name not in self._query:
                problems.append(Problem(name[:_MAX_NAME_CHARACTERS], "unknown_parameter", self._hint(name)))
            elif self._query[name].repeatable:
                if name not in seen:
                    yield self._query[name], ",".join(given.getlist(name))
            elif name in seen:
                problems.append(Problem(name, "given_twice", "is given twice; send it once"))
            elif value or not self._blank_is_absent:
                yield self._query[name], value
            seen.add(name)

    def _hint(self, name: str) -> str:
        way_out = f"use {', '.join(self._query)}" if self._query else "there are none; leave it out"
        return self._hints.get(name, f"is not a parameter here; {way_out}")

    def _of_headers(self, request: Request, problems: list[Problem]) -> Iterator[tuple[Param[Any], str]]:
        headers = headers_of(request)
        for raw, param in self._headers:
            if raw not in headers:
                continue
            if param.repeatable:
                yield param, ",".join(request.headers.getlist(param.name))
            elif occurrences(request.scope, raw) > 1:
                problems.append(Problem(param.name, "given_twice", "is given twice; send it once"))
            else:
                yield param, headers[raw].decode("latin-1").strip(" \t")
        if self._options:
            problems += self._mistyped(headers)

    def _mistyped(self, headers: Headers) -> Iterator[Problem]:
        """Unknown `Gateway-` headers are errors: a mistyped option would be ignored, and options affect
        cost."""
        for raw in headers:
            name = raw.decode("latin-1")
            if name.startswith(_OPTIONS) and name not in self._options:
                near = difflib.get_close_matches(name, self._options, 1)
                known = ", ".join(self._options.values())
                way_out = f"did you mean {self._options[near[0]]}?" if near else f"use {known}"
                message = f"is not an option here; {way_out}"
                yield Problem(name[:_MAX_NAME_CHARACTERS], "unknown_parameter", message)


def refusal(*problems: Problem) -> Refusal:
    """A 400 that lists these parameters."""
    shown = problems[:_MAX_PROBLEMS]
    return Refusal(400, detail_of(shown), shown)


def integer(name: str, description: str, low: int, high: int, default: int) -> Param[int]:
    """A whole number from `low` to `high`."""
    schema = {"type": "integer", "minimum": low, "maximum": high, "default": default}
    return Param(name, description, schema, _whole(low, high, "a whole number"), default)


def seconds(name: str, description: str, high: int) -> Param[int | None]:
    """Whole seconds from 1 to `high`; None when absent."""
    schema = {"type": "integer", "minimum": 1, "maximum": high}
    return Param(name, description, schema, _whole(1, high, "whole seconds"), None)


def _whole(low: int, high: int, what: str) -> Callable[[str], int]:
    def read(text: str) -> int:
        if WHOLE.match(text) and low <= int(text) <= high:
            return int(text)
        raise InvalidValue("out_of_range", f"send {what} from {low} to {high}")

    return read


def moment(name: str, description: str) -> Param[int | None]:
    """A time with its zone, in microseconds since the epoch; None when absent."""

    def read(text: str) -> int:
        try:
            at = datetime.fromisoformat(text)
            if at.tzinfo is not None:
                return (at - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            pass
        message = "is no time with its zone; send one as 2026-12-01T08:00:00Z, and + as %2B"
        raise InvalidValue("wrong_form", message)

    return Param(name, description, {"type": "string", "format": "date-time"}, read, None)


def several(name: str, description: str, known: Mapping[str, T], style: str = "form") -> Param[tuple[T, ...]]:
    """Some of these words, repeated or separated by commas; empty when absent. `style`: OpenAPI's; "simple"
    for a header."""
    schema = {"type": "array", "items": {"type": "string", "enum": [*known]}, "uniqueItems": True}

    def read(text: str) -> tuple[T, ...]:
        given = [word.strip() for word in text.split(",")]
        if wrong := [word for word in given if word not in known]:
            raise InvalidValue("not_one_of", not_one_of(wrong[0], str([*known])[1:-1]))
        return tuple(dict.fromkeys(known[word] for word in given))

    form = {"style": style, "explode": style == "form"}
    return Param(name, description, schema, read, (), repeatable=True, serialization=form)


@overload
def choice(name: str, description: str, words: type[W]) -> Param[W | None]: ...
@overload
def choice(name: str, description: str, words: type[W], default: W) -> Param[W]: ...
def choice(name: str, description: str, words: type[W], default: W | None = None) -> Param[Any]:
    """A member of an enumeration."""
    schema: dict[str, Any] = {"type": "string", "enum": [word.value for word in words]}
    if default is not None:
        schema["default"] = default.value

    def read(text: str) -> W:
        if text in schema["enum"]:
            return words(text)
        raise InvalidValue("not_one_of", f"send one of {', '.join(words)}")

    return Param(name, description, schema, read, default)


@overload
def text(name: str, description: str, pattern: str, meaning: str) -> Param[str | None]: ...
@overload
def text(name: str, description: str, pattern: str, meaning: str, *, missing: str) -> Param[str]: ...
def text(
    name: str, description: str, pattern: str, meaning: str, *, missing: str | None = None
) -> Param[Any]:
    """A text that matches `pattern` (`^...$`). Errors describe it as `meaning`."""
    form = re.compile(pattern.removesuffix("$") + r"\Z")

    def read(given: str) -> str:
        if form.match(given):
            return given
        raise InvalidValue("wrong_form", f"is not {meaning}, which matches {pattern}")

    return Param(name, description, {"type": "string", "pattern": pattern}, read, None, missing)
