"""Query parameters and request headers, read strictly: every fault at once, each under its name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from starlette.requests import Request

from gateway import tracing
from gateway.errors import Problem
from gateway.intake import JobOptions
from gateway.jobs import Priority
from gateway.lifecycle import OnUnknown
from gateway.web.http.headers import headers_of, occurrences
from gateway.web.http.problems import Refusal

W = TypeVar("W", bound=StrEnum)

MAX_WAIT_SECONDS: Final = 60
MAX_DEADLINE_SECONDS: Final = 604_800
MAX_IDEMPOTENCY_KEY: Final = 255
FLAGS: Final = {"0": False, "1": True, "false": False, "true": True}
_WHOLE: Final = re.compile(r"[0-9]{1,9}\Z")
_VISIBLE: Final = re.compile(rb"[!-~]{1,%d}\Z" % MAX_IDEMPOTENCY_KEY)
_MAX_TOLD: Final = 20
_MAX_SHOWN: Final = 64
_OPTIONS: Final = (
    *("Gateway-Start-Deadline", "Gateway-Total-Deadline", "Gateway-On-Unknown", "Gateway-Priority"),
)


class Query:
    """The query of one request. Ask for what it may hold, then call `check`, which refuses with 400.
    `elsewhere`: names that are looked for here, and what to do instead."""

    def __init__(self, request: Request, *known: str, **elsewhere: str) -> None:
        self._values: dict[str, str] = {}
        self.problems: list[Problem] = []
        if not request.scope["query_string"]:
            return
        for name, value in request.query_params.multi_items():
            shown = name[:_MAX_SHOWN]
            if name not in known:
                way_out = f"use {', '.join(known)}" if known else "there is none"
                message = elsewhere.get(name, f"is not a parameter here; {way_out}")
                self.problems.append(Problem(shown, "unknown_parameter", message))
            elif name in self._values:
                self.problems.append(Problem(shown, "given_twice", "is given twice; send it once"))
            self._values[name] = value

    def text(self, name: str, pattern: re.Pattern[str], meaning: str) -> str | None:
        value = self._values.get(name)
        if value is not None and not pattern.match(value):
            self.problems.append(Problem(name, "wrong_form", f"is not {meaning}"))
            return None
        return value

    def choice(self, name: str, allowed: Iterable[str]) -> str | None:
        value, words = self._values.get(name), list(allowed)
        if value is not None and value not in words:
            self.problems.append(Problem(name, "not_one_of", f"send one of {', '.join(words)}"))
            return None
        return value

    def flag(self, name: str) -> bool:
        value = self.choice(name, FLAGS)
        return value is not None and FLAGS[value]

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if _WHOLE.match(value) and low <= int(value) <= high:
            return int(value)
        self.problems.append(Problem(name, "out_of_range", f"send a whole number from {low} to {high}"))
        return default

    def check(self) -> None:
        if self.problems:
            names = ", ".join(dict.fromkeys(problem.param for problem in self.problems[:_MAX_TOLD]))
            raise Refusal(400, f"wrong: {names}", self.problems[:_MAX_TOLD])


def idempotency_key(request: Request, query: Query) -> str | None:
    """The client's Idempotency-Key. What is wrong with it joins the query's problems."""
    given = headers_of(request).get(b"idempotency-key")
    if given is None:
        return None
    if not _VISIBLE.match(given) or occurrences(request.scope, b"idempotency-key") > 1:
        message = f"send one, of 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"
        query.problems.append(Problem("Idempotency-Key", "wrong_form", message))
        return None
    return given.decode()


def job_options(request: Request, query: Query) -> JobOptions:
    """What a new job's `Gateway-*` headers ask for. What is wrong with them joins the query's problems."""
    headers = headers_of(request)

    def text_of(name: str) -> str | None:
        raw = name.lower().encode()
        if occurrences(request.scope, raw) > 1:
            query.problems.append(Problem(name, "given_twice", "is given twice; send it once"))
            return None
        given = headers.get(raw)
        return None if given is None else given.decode("latin-1").strip(" \t")

    def seconds(name: str) -> int | None:
        text = text_of(name)
        if text is None:
            return None
        if _WHOLE.match(text) and 1 <= int(text) <= MAX_DEADLINE_SECONDS:
            return int(text)
        message = f"send whole seconds from 1 to {MAX_DEADLINE_SECONDS}"
        query.problems.append(Problem(name, "out_of_range", message))
        return None

    def word(name: str, words: type[W]) -> W | None:
        text = text_of(name)
        if text is None:
            return None
        if text in [one.value for one in words]:
            return words(text)
        query.problems.append(Problem(name, "not_one_of", f"send one of {', '.join(words)}"))
        return None

    _check_names(headers, query)
    return JobOptions(
        seconds("Gateway-Start-Deadline"),
        seconds("Gateway-Total-Deadline"),
        word("Gateway-On-Unknown", OnUnknown),
        word("Gateway-Priority", Priority) or Priority.NORMAL,
        tracing.read_traceparent(headers.get(b"traceparent")),
    )


def _check_names(headers: Mapping[bytes, bytes], query: Query) -> None:
    """A mistyped option would be passed over in silence, and these are about money."""
    known = {name.lower(): name for name in _OPTIONS}
    for raw in headers:
        name = raw.decode("latin-1")
        if name.startswith("gateway-") and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            way_out = f"did you mean {known[near[0]]}?" if near else f"known are {', '.join(_OPTIONS)}"
            query.problems.append(Problem(name[:_MAX_SHOWN], "unknown_parameter", way_out))


def preferred_wait(request: Request, query: Query) -> int | None:
    """The N of `Prefer: wait=N`, in seconds. Other preferences are passed over, as RFC 7240 asks."""
    if b"prefer" not in headers_of(request):
        return None
    for preference in ",".join(request.headers.getlist("prefer")).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() != "wait":
            continue
        seconds = value.strip().strip('"')
        if _WHOLE.match(seconds) and int(seconds) <= MAX_WAIT_SECONDS:
            return int(seconds)
        message = f"send wait=N, N whole seconds from 0 to {MAX_WAIT_SECONDS}"
        query.problems.append(Problem("Prefer", "out_of_range", message))
        return None
    return None
