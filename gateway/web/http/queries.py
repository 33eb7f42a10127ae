"""Query parameters, read strictly: every fault at once, each under its name. `params` replaces it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request

from gateway.errors import Problem
from gateway.web.http.params import FLAGS, WHOLE
from gateway.web.http.problems import Refusal

_MAX_TOLD: Final = 20
_MAX_SHOWN: Final = 64


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
        if WHOLE.match(value) and low <= int(value) <= high:
            return int(value)
        self.problems.append(Problem(name, "out_of_range", f"send a whole number from {low} to {high}"))
        return default

    def check(self) -> None:
        if self.problems:
            names = ", ".join(dict.fromkeys(problem.param for problem in self.problems[:_MAX_TOLD]))
            raise Refusal(400, f"wrong: {names}", self.problems[:_MAX_TOLD])
