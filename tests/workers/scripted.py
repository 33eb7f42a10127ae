"""An upstream that answers as a test says, and remembers what reached it."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from gateway.upstream.base import (
    Busy,
    CancelOutcome,
    Capabilities,
    Gate,
    Inconclusive,
    Listing,
    QueryOutcome,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
)

VIDEO: list[dict[str, object]] = [
    {"content": [{"type": "video", "url": "https://cdn.example.com/fox.mp4"}]},
]
Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Submission:
    params: Mapping[str, object]
    model: str
    callback_url: str | None
    reference: str


async def nothing() -> None:
    """What happens between two steps of a submission, unless a test says otherwise."""


@dataclass(slots=True)
class ScriptedUpstream:
    """`outcomes`, `polls`, `cancels`, `listings` and `probes` are used up in order. `before_gate` runs when
    all but the last byte was sent, `after_gate` when the last byte was; `begun`, `released`, `queried`,
    `canceled`, `listed` (since and until) and `probed` are what came so far."""

    outcomes: deque[SubmitOutcome] = field(default_factory=deque)
    polls: deque[QueryOutcome] = field(default_factory=deque)
    cancels: deque[CancelOutcome] = field(default_factory=deque)
    listings: deque[Listing | Inconclusive] = field(default_factory=deque)
    probes: deque[bool] = field(default_factory=deque)
    capabilities: Capabilities = field(default_factory=Capabilities)
    begun: list[Submission] = field(default_factory=list)
    released: list[Submission] = field(default_factory=list)
    queried: list[str] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)
    listed: list[tuple[int, int]] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)
    before_gate: Hook = nothing
    after_gate: Hook = nothing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    async def submit(
        self,
        params: Mapping[str, object],
        *,
        model: str,
        callback_url: str | None,
        reference: str,
        gate: Gate,
    ) -> SubmitOutcome:
        submission = Submission(params, model, callback_url, reference)
        self.begun.append(submission)
        await self.before_gate()
        if self.outcomes and isinstance(self.outcomes[0], Busy) and not self.outcomes[0].reached:
            return self.outcomes.popleft()
        await gate()
        self.released.append(submission)
        await self.after_gate()
        return self.outcomes.popleft()

    async def query(self, task_id: str) -> QueryOutcome:
        self.queried.append(task_id)
        return self.polls.popleft()

    async def cancel(self, task_id: str) -> CancelOutcome:
        self.canceled.append(task_id)
        return self.cancels.popleft()

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Inconclusive:
        self.listed.append((since_ms, until_ms))
        return self.listings.popleft()

    async def probe(self, url: str) -> bool:
        self.probed.append(url)
        return self.probes.popleft() if self.probes else True


def completed(**changes: Any) -> Snapshot:
    """A task that is done, with a video."""
    values: dict[str, Any] = {
        "task_id": "task_1",
        "status": TaskStatus.COMPLETED,
        "raw_status": "success",
        "output": VIDEO,
        "usage": {"cost": "0.25", "discount": 1},
        "metadata": {"seed": 7},
    }
    return Snapshot(**{**values, **changes})


def working(progress: float | None = None) -> Snapshot:
    """A task that is under way."""
    return Snapshot("task_1", TaskStatus.IN_PROGRESS, "processing", progress=progress)
