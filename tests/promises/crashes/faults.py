"""What may go wrong, where, and the processes to which it happens."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.environment import Environment
from gateway.errors import StoreUnavailable
from tests.promises.crashes.loop import PROCESS, Halt, VirtualLoop

#: Seconds between the epoch and the start of every run.
EPOCH: Final = 1_790_000_000.0


class Action(StrEnum):
    KILL = "kill"  #: the process never runs again; another takes its place
    FREEZE = "freeze"  #: it is resumed after its lease has run out: a zombie
    COMA = "coma"  #: it is resumed after the grace window has ended too
    LOSE = "lose_reply"  #: before an effect: it never happens; after it: who asked does not learn that it did


FREEZE_SECONDS: Final = {Action.FREEZE: 40.0, Action.COMA: 220.0}


class LostReply(StoreUnavailable):
    """The connection broke just there. For effects on the store this is what the caller sees."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The `nth` time that `point` is reached, once every fault before it in the plan has happened."""

    point: str
    action: Action
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.point}:{self.nth}:{self.action}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        point, nth, action = text.split(":")
        return cls(point, Action(action), int(nth))


@dataclass(slots=True)
class Plan:
    """The faults of one run, in order. `trace`: all points reached; `fired`: how long it was at each."""

    faults: Sequence[Fault]
    trace: list[str] = field(default_factory=list)
    fired: list[int] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)

    def meet(self, point: str) -> Action | None:
        self.trace.append(point)
        self._seen[point] += 1
        if len(self.fired) == len(self.faults):
            return None
        fault = self.faults[len(self.fired)]
        if fault.point != point or fault.nth != self._seen[point]:
            return None
        self.fired.append(len(self.trace))
        self._seen.clear()
        return fault.action


class SimulatedProcess:
    """One process: its own environment, its tasks, and its end."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        plan: Plan,
        seed: int,
        on_death: Callable[[SimulatedProcess], None],
    ) -> None:
        self.name, self.dead, self.tasks = name, False, list[asyncio.Task[Any]]()
        self._loop, self._plan, self._on_death = loop, plan, on_death
        self._halt = Halt()
        self._context = contextvars.Context()
        self._context.run(PROCESS.set, self._halt)
        chance = random.Random(f"{seed} {name}")
        self.environment = Environment(
            clock=lambda: EPOCH + loop.time(),
            monotonic=loop.time,
            random=chance.random,
            entropy=chance.randbytes,
            reach=self.reach,
        )

    @property
    def running(self) -> bool:
        return not self.dead and not self._halt.stopped

    @property
    def frozen(self) -> bool:
        return self._halt.stopped and not self.dead

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work, context=self._context.copy())
        self.tasks.append(task)
        return task

    async def reach(self, point: str) -> None:
        """A crash point. Raises LostReply, returns late, never returns, or does nothing."""
        if self._halt.stopped:  # what a process did in the same instant as it died
            await self._loop.create_future()
        match self._plan.meet(point):
            case Action.KILL:
                self._halt.stopped = self.dead = True
                self._on_death(self)
                await self._loop.create_future()
            case Action.FREEZE | Action.COMA as action:
                self._halt.stopped = True
                woken = self._loop.create_future()
                outside = contextvars.Context()
                self._loop.call_later(FREEZE_SECONDS[action], self._thaw, woken, context=outside)
                await woken
            case Action.LOSE:
                raise LostReply(f"the connection broke at {point}")
            case None:
                pass

    def _thaw(self, woken: asyncio.Future[None]) -> None:
        """First goes on what was stopped in the middle of its work; then what became due since."""
        self._halt.stopped = False
        woken.set_result(None)
        self._halt.no_crash_point()

    def bury(self) -> None:
        """The run is over: let its tasks be cancelled."""
        self._halt.no_crash_point()
