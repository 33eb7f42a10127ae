"""An event loop on a virtual clock, whose callbacks belong to simulated processes that can be stopped.

Nothing ever waits: when nothing is ready, time jumps to the next timer. Nothing ready and no timer either is
a deadlock, and is raised. A process is a context: all that a task of it starts inherits it. What becomes due
for a process that is stopped is parked: a kill resumes nothing, not even a `finally`, and is no cancellation.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(RuntimeError):
    """Nothing is ready, and nothing is scheduled."""


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise Deadlock("nothing is scheduled, and nothing can happen any more")
        self.now += max(timeout, 0.0)
        return []


@dataclass(slots=True)
class Halt:
    """Whether a process is stopped, and what became due for it meanwhile, in order."""

    stopped: bool = False
    parked: list[Callable[[], object]] = field(default_factory=list)

    def no_crash_point(self) -> None:
        self.stopped = False
        parked, self.parked = self.parked, []
        for resume in parked:
            resume()


PROCESS: contextvars.ContextVar[Halt] = contextvars.ContextVar("process")


class _Entry:
    """A callback that is parked when its process is stopped as it becomes due."""

    __slots__ = ("args", "callback", "context", "halt", "handle", "loop")

    def __init__(
        self,
        loop: VirtualLoop,
        halt: Halt,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        self.loop, self.halt, self.callback, self.args, self.context = loop, halt, callback, args, context
        self.handle: asyncio.Handle

    def __call__(self) -> None:
        if self.halt.stopped:
            self.halt.parked.append(self.resume)
        else:
            self.callback(*self.args)

    def resume(self) -> None:
        if not self.handle.cancelled():
            self.handle = self.loop.call_soon(self.callback, *self.args, context=self.context)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        entry = self._entry(callback, args, context)
        if entry is None:
            return super().call_soon(callback, *args, context=context)
        entry.handle = super().call_soon(entry, context=entry.context)
        return entry.handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        entry = self._entry(callback, args, context)
        if entry is None:
            return super().call_at(when, callback, *args, context=context)
        handle = super().call_at(when, entry, context=entry.context)
        entry.handle = handle
        return handle

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """At once: a thread would not know the virtual time."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _entry(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> _Entry | None:
        context = contextvars.copy_context() if context is None else context
        halt = context.get(PROCESS)
        return None if halt is None else _Entry(self, halt, callback, args, context)


def ignore_unawaited(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """The loop's exception handler: what a kill left behind is no news."""
