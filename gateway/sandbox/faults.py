"""Faults on demand: by a marker in the prompt, by the admin route for the next creations, or at random.

A marker is [[fault:NAME]], [[fault:NAME=VALUE]] or [[fault:NAME*COUNT]]; one prompt may have several. With a
count, the fault applies only to the first COUNT creations with the same prompt.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gateway.sandbox.refusals import RequestRefused

_REFUSING: Final[Mapping[str, str]] = {
    "reset_early": "reset the connection before the body is read (by a marker: after), nothing created",
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
_CHANGING: Final[Mapping[str, str]] = {
    "slow": "create the task at once, answer after =N seconds",
    "instant": "the answer to the creation shows the finished task",
    "failed_task": "the task fails; =CODE is its error code, as a string",
    "no_url": "the task completes without a result",
    "unknown_status": "the task shows a status that was never published, until it ends",
    "hidden": "the first =N polls of the task answer 404",
    "early_callback": "the final callback arrives before the creation is answered",
}
_CALLBACK_FAULTS: Final[Mapping[str, str]] = {
    "lost_callback": "the final callback is never sent",
    "crossed_callback": "the final callback has the body of the newest other task, if there is one",
    "oversize_callback": "the final callback has a body of 300 kB instead",
    "garbled_callback": "the final callback has a body that is not JSON instead",
    "callback_without_id": "the final callback names no task",
    "duplicate_callback": "the final callback is sent twice",
    "late_callback": "the final callback is sent =N seconds later",
    "reordered_callback": "the callback of the start is sent after the final one",
    "forged_callback": "three callbacks with invalid tokens are sent before the final one",
}
_RESULT_FAULTS: Final[Mapping[str, str]] = {
    "empty_result": "the address of the video sends no bytes",
    "short_result": "the address of the video sends half of the length that it declares",
    "html_result": "the address of the video answers 200 with a page of HTML",
    "private_result": "the address of the video redirects to a private address",
    "stalled_result": "the address of the video sends half of it and then nothing more",
    "endless_result": "the address of the video never ends",
    "dead_result": "the first =N polls of the task show an address that answers 404",
}
KNOWN: Final[Mapping[str, str]] = {**_REFUSING, **_HIDING, **_CHANGING, **_CALLBACK_FAULTS, **_RESULT_FAULTS}
#: Nothing is created. If several are due, only the first one applies, and no other fault.
REFUSING: Final = tuple(_REFUSING)
#: A task is created and charged, but the client does not see it. If several are due, the first one applies.
HIDING: Final = tuple(_HIDING)
#: They apply when the task sends a callback, which may never happen.
CALLBACK_FAULTS: Final = frozenset(_CALLBACK_FAULTS)
#: They apply when somebody fetches the video. If several are due, the first one applies.
RESULT_FAULTS: Final = frozenset(_RESULT_FAULTS)

_NUMERIC = frozenset({"slow", "hidden", "late_callback", "dead_result"})
_OPTIONAL_NUMERIC = frozenset({"429", "503", "429_after", "503_after"})
_MARKER = re.compile(r"\[\[fault:([^\]\n]*)\]\]")
_SHAPE = re.compile(r"([a-z0-9_]+)(?:=([A-Za-z0-9_.-]{1,40}))?(?:\*([0-9]{1,6}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """`count`: how many creations it applies to; None: all with that prompt. `by`: how it was requested."""

    name: str
    value: str | None = None
    count: int | None = None
    by: Literal["marker", "order", "chance"] = "marker"

    def number(self, default: float = 1.0) -> float:
        return float(self.value) if self.value else default


def parse(text: str) -> Fault:
    """Reads the text after `fault:`. RequestRefused, with a list of the known faults."""
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None or shape[1] not in KNOWN:
        raise RequestRefused("FieldInvalid", f"unknown fault {text[:60]!r}; the faults: {', '.join(KNOWN)}")
    name, value, count = shape.groups()
    if name in _NUMERIC or (name in _OPTIONAL_NUMERIC and value):
        _check_number(name, value)
    return Fault(name, value, int(count) if count else None)


def _check_number(name: str, value: str | None) -> None:
    if value is not None and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) is None:
        raise RequestRefused("FieldInvalid", f"fault {name} needs a number, as in {name}=2")


def markers(prompt: str) -> list[Fault]:
    return [parse(found) for found in _MARKER.findall(prompt)]


def without_markers(prompt: str) -> str:
    """The prompt as a caption shows it."""
    return _MARKER.sub(" ", prompt)


class FaultQueue:
    """The faults for the next creations. Counts are kept as long as the process runs."""

    def __init__(self) -> None:
        self._applied: Counter[tuple[str, str]] = Counter()
        self._queued: deque[list[Any]] = deque()

    def early(self) -> Fault | None:
        """Takes `reset_early` from the queue if it is next: it applies before the body of a creation is
        read."""
        return self._take() if self._queued and self._queued[0][0].name == "reset_early" else None

    def due(self, prompt: str) -> dict[str, Fault]:
        """The faults of one creation, by name; counts it. RequestRefused for an unknown marker."""
        due: dict[str, Fault] = {}
        for fault in markers(prompt):
            counter = prompt, fault.name
            if fault.count is None or self._applied[counter] < fault.count:
                due[fault.name] = fault
            if fault.count is not None:
                self._applied[counter] += 1
        if self._queued and self._queued[0][0].name != "reset_early":
            queued = self._take()
            due[queued.name] = queued
        return due

    def queue(self, fault: Fault, count: int) -> None:
        """Applies the fault to the next `count` creations, after the faults that are already queued."""
        self._queued.append([replace(fault, by="order"), count])

    def queued(self) -> list[dict[str, Any]]:
        return [{"fault": fault.name, "value": fault.value, "count": left} for fault, left in self._queued]

    def clear(self) -> None:
        self._queued.clear()
        self._applied.clear()

    def _take(self) -> Fault:
        head = self._queued[0]
        head[1] -= 1
        if head[1] == 0:
            self._queued.popleft()
        fault: Fault = head[0]
        return fault
