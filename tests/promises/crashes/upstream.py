"""An upstream with a ledger of what it charged, and its callbacks; and the door to it of one process."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.callbacks import tokens
from gateway.callbacks.tokens import CallbackRef
from gateway.keyring import Keyring
from gateway.lifecycle import OnUnknown
from gateway.store.base import Callback
from gateway.upstream.base import (
    Accepted,
    Busy,
    CancelOutcome,
    Capabilities,
    Found,
    Gate,
    Inconclusive,
    Listing,
    Missing,
    QueryOutcome,
    Rejected,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
    Unknown,
    UpstreamError,
)
from tests.promises.crashes.faults import LostReply, SimulatedProcess

_CALLS: Final = 3  # how often the upstream tries to call back
_CALL_SECONDS: Final = 10.0
#: Of a task, also of one that fails.
COST: Final = "0.25"


class Refusal(StrEnum):
    BUSY = "busy"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A day at the upstream. Times in seconds from the last byte of a submission; `callback_seconds` None: it
    never calls back. `refusals`: its first answers. `fails`: its tasks come to nothing."""

    name: str
    answer_seconds: float = 2.0
    task_seconds: float = 20.0
    callback_seconds: float | None = 21.0
    on_unknown: OnUnknown = OnUnknown.HOLD
    refusals: tuple[Refusal, ...] = ()
    fails: bool = False
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Charge:
    """A task that was made. `released`: the audit already showed the release of this very submission;
    `unknowns`: how often the job's outcome had been recorded as unknown before."""

    task_id: str
    ref: CallbackRef
    at: float
    released: bool
    unknowns: int


@dataclass(slots=True)
class SimulatedUpstream:
    """`call`: brings a callback to the gateway, and says whether it was answered 200. `audit`: the events of
    a job so far. `heard_of`: tasks whose callback was acknowledged; `calls`: callbacks still to come."""

    scenario: Scenario
    keyring: Keyring
    call: Callable[[Callback], Awaitable[bool]]
    probe: Callable[[], Awaitable[bool]]
    audit: Callable[[str], list[dict[str, str]]]
    charges: list[Charge] = field(default_factory=list)
    heard_of: set[str] = field(default_factory=set)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    answered: int = 0

    def last_byte(self, reference: str) -> SubmitOutcome:
        """The whole request is there: refused, or charged."""
        self.answered += 1
        if self.answered <= len(self.scenario.refusals):
            if self.scenario.refusals[self.answered - 1] is Refusal.BUSY:
                return Busy("429", retry_after_seconds=3)
            return Rejected(UpstreamError("invalid", "the upstream does not like it"))
        ref = tokens.verify(self.keyring, reference)
        assert ref is not None
        loop = asyncio.get_running_loop()
        seen = self.audit(ref.job_id)
        released = any(e["event"] == "released" and e["epoch"] == str(ref.epoch) for e in seen)
        unknowns = sum(e.get("to") == "unknown" != e.get("from") for e in seen)
        charge = Charge(f"task_{len(self.charges) + 1}", ref, loop.time(), released, unknowns)
        self.charges.append(charge)
        if self.scenario.callback_seconds is not None:
            outside = contextvars.Context()  # the upstream does not die with who asked it
            calling = loop.create_task(self._call_back(charge), context=outside)
            self.calls.add(calling)
            calling.add_done_callback(self.calls.discard, context=outside)
        return Accepted(charge.task_id)

    def look(self, task_id: str) -> Snapshot | None:
        for charge in self.charges:
            if charge.task_id == task_id:
                return self._snapshot(charge)
        return None

    def _snapshot(self, charge: Charge) -> Snapshot:
        age = asyncio.get_running_loop().time() - charge.at
        if age < self.scenario.task_seconds:
            return Snapshot(charge.task_id, TaskStatus.IN_PROGRESS, "processing", progress=0.5)
        if self.scenario.fails:
            error = UpstreamError("content", "the upstream could not make it")
            return Snapshot(charge.task_id, TaskStatus.FAILED, "failed", error=error)
        return Snapshot(
            charge.task_id,
            TaskStatus.COMPLETED,
            "success",
            output=[{"content": [{"type": "video", "url": url_of(charge.task_id)}]}],
            usage={"cost": COST, "discount": 1},
        )

    async def _call_back(self, charge: Charge) -> None:
        assert self.scenario.callback_seconds is not None
        await asyncio.sleep(self.scenario.callback_seconds)
        ref = charge.ref
        callback = Callback(
            ref.job_id, ref.tenant, ref.epoch, "completed", task_id=charge.task_id, terminal=True
        )
        for _ in range(_CALLS):
            if await self.call(callback):
                self.heard_of.add(charge.task_id)
                return
            await asyncio.sleep(_CALL_SECONDS)


def url_of(task_id: str) -> str:
    return f"https://cdn.example.com/{task_id}.mp4"


class Door:
    """`Upstream`, as one process has it: with crash points where the real one has them."""

    capabilities = Capabilities()

    def __init__(self, upstream: SimulatedUpstream, process: SimulatedProcess) -> None:
        self._upstream, self._process = upstream, process

    async def submit(
        self,
        params: Mapping[str, object],
        *,
        model: str,
        callback_url: str | None,
        reference: str,
        gate: Gate,
    ) -> SubmitOutcome:
        await asyncio.sleep(0.1)  # all but the last byte
        await gate()
        try:
            await self._process.reach("submit.last_byte.before")
            verdict = self._upstream.last_byte(reference)
            await self._process.reach("submit.last_byte.after")
            await asyncio.sleep(self._upstream.scenario.answer_seconds)
            await self._process.reach("submit.answered")
        except LostReply as error:
            return Unknown(str(error))
        return verdict

    async def query(self, task_id: str) -> QueryOutcome:
        try:
            await self._process.reach("query.before")
            await asyncio.sleep(0.1)
            found = self._upstream.look(task_id)
            await self._process.reach("query.after")
        except LostReply as error:
            return Inconclusive(str(error))
        return Missing() if found is None else Found(found)

    async def cancel(self, task_id: str) -> CancelOutcome:
        raise AssertionError("this upstream offers no cancel")

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Inconclusive:
        raise AssertionError("this upstream offers no list")

    async def probe(self, url: str) -> bool:
        return await self._upstream.probe()


class Subscriber:
    """Who is notified, of all processes: (event id, body) as they came in."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def take(self, headers: Mapping[str, Any], body: bytes) -> None:
        self.heard.append((headers["webhook-id"], body))
