"""Bad days on demand: by a marker in the prompt, by the admin route for the next creations, or by chance.

A marker reads [[fault:NAME]], [[fault:NAME=VALUE]] or [[fault:NAME*COUNT]]; several may stand in one prompt.
With a count, only the first COUNT creations of that same prompt are struck.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gateway.sandbox.refusals import Refused

_REFUSING: Final[Mapping[str, str]] = {
    "reset_early": "reset the connection before the body is read (a marker: after), nothing created",
    "drop": "drop the connection without an answer, nothing created",
    "400": "refuse: a bad request",
    "401": "refuse: the key is not valid",
    "402": "refuse: insufficient credits (40201)",
    "403": "refuse: insufficient balance or permission denied",
    "404": "refuse: no such model",
    "408": "answer 408, nothing created",
    "409": "answer 409, nothing created",
    "422": "refuse: the input cannot be processed",
    "429": "refuse: too many requests; =N adds Retry-After: N",
    "500": "answer 500, nothing created",
    "503": "answer 503, nothing created; =N adds Retry-After: N",
    "no_id": "answer 200 with an error and no id, nothing created; =string makes the error a string",
}
_HIDING: Final[Mapping[str, str]] = {
    "drop_after_accept": "create and charge the task, then drop the connection without an answer",
    "truncated": "create and charge the task, then send half of the answer and close the connection",
    "garbage": "create and charge the task, then answer 200 with random bytes",
    "not_json": "create and charge the task, then answer 200 with a page of HTML",
    "no_id_after": "create and charge the task, then answer 200 without its id and without an error",
    "429_after": "create and charge the task, then answer 429; =N adds Retry-After: N",
    "500_after": "create and charge the task, then answer 500",
    "503_after": "create and charge the task, then answer 503; =N adds Retry-After: N",
}
_BENDING: Final[Mapping[str, str]] = {
    "slow": "create the task at once, answer after =N seconds",
    "instant": "the answer to the creation is terminal already",
    "failed_task": "the task fails; =CODE is its error code, as a string",
    "no_url": "the task completes without a result",
    "unknown_status": "the task is seen in a status that was never published, until it ends",
    "hidden": "the first =N polls of the task answer 404",
    "early_callback": "the callback of the end arrives before the creation is answered",
}
_CALLING: Final[Mapping[str, str]] = {
    "lost_callback": "the callback of the end is never sent",
    "crossed_callback": "the callback of the end has the body of the newest other task, if there is one",
    "oversize_callback": "the callback of the end has a body of 300 kB instead",
    "garbled_callback": "the callback of the end has a body that is not JSON instead",
    "callback_without_id": "the callback of the end names no task",
    "duplicate_callback": "the callback of the end is sent twice",
    "late_callback": "the callback of the end is sent =N seconds later",
    "reordered_callback": "the callback of the start is sent after that of the end",
    "forged_callback": "before the callback of the end come three with tokens that nobody made",
}
KNOWN: Final[Mapping[str, str]] = {**_REFUSING, **_HIDING, **_BENDING, **_CALLING}
#: Nothing is created. The first of them that is due strikes alone.
REFUSING: Final = tuple(_REFUSING)
#: A task is created and charged, and the caller does not get to see it. The first that is due strikes.
HIDING: Final = tuple(_HIDING)
#: They strike when the task calls back, which it may never do.
CALLING: Final = frozenset(_CALLING)

_NUMERIC = frozenset({"slow", "hidden", "late_callback"})
_OPTIONAL_NUMERIC = frozenset({"429", "503", "429_after", "503_after"})
_MARKER = re.compile(r"\[\[fault:([^\]\n]*)\]\]")
_SHAPE = re.compile(r"([a-z0-9_]+)(?:=([A-Za-z0-9_.-]{1,40}))?(?:\*([0-9]{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """`count`: how many creations it strikes; None = all with that prompt. `by`: who asked for it."""

    name: str
    value: str | None = None
    count: int | None = None
    by: Literal["marker", "order", "chance"] = "marker"

    def number(self, default: float = 1.0) -> float:
        return float(self.value) if self.value else default


def parse(text: str) -> Fault:
    """What stands after `fault:`. Raises Refused, naming the known faults."""
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None or shape[1] not in KNOWN:
        raise Refused("FieldInvalid", f"unknown fault {text[:60]!r}; known are: {', '.join(KNOWN)}")
    name, value, count = shape.groups()
    if name in _NUMERIC or (name in _OPTIONAL_NUMERIC and value):
        _check_number(name, value)
    return Fault(name, value, int(count) if count else None)


def _check_number(name: str, value: str | None) -> None:
    if value is not None and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) is None:
        raise Refused("FieldInvalid", f"fault {name} takes a number, as in {name}=2")


def markers(prompt: str) -> list[Fault]:
    return [parse(found) for found in _MARKER.findall(prompt)]


def without_markers(prompt: str) -> str:
    """The words a caption shows."""
    return _MARKER.sub(" ", prompt)


class FaultBook:
    """Which faults were ordered for the next creation. Counts live as long as the process."""

    def __init__(self) -> None:
        self._struck: Counter[tuple[str, str]] = Counter()
        self._queued: deque[list[Any]] = deque()

    def early(self) -> Fault | None:
        """The one fault that strikes before the body of a creation is read; counts it."""
        return self._take() if self._queued and self._queued[0][0].name == "reset_early" else None

    def due(self, prompt: str) -> dict[str, Fault]:
        """By name, for one creation; counts it. Raises Refused for an unknown marker."""
        due: dict[str, Fault] = {}
        for fault in markers(prompt):
            place = prompt, fault.name
            if fault.count is None or self._struck[place] < fault.count:
                due[fault.name] = fault
            if fault.count is not None:
                self._struck[place] += 1
        if self._queued and self._queued[0][0].name != "reset_early":
            ordered = self._take()
            due[ordered.name] = ordered
        return due

    def queue(self, fault: Fault, count: int) -> None:
        """Strike the next `count` creations, after those that were queued before."""
        self._queued.append([replace(fault, by="order"), count])

    def queued(self) -> list[dict[str, Any]]:
        return [{"fault": fault.name, "value": fault.value, "count": left} for fault, left in self._queued]

    def clear(self) -> None:
        self._queued.clear()
        self._struck.clear()

    def _take(self) -> Fault:
        head = self._queued[0]
        head[1] -= 1
        if head[1] == 0:
            self._queued.popleft()
        fault: Fault = head[0]
        return fault
