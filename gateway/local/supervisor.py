"""Start and supervise the processes of one machine: restarted when they die, stopped in order.

Single-threaded: whoever runs the machine calls `tick` often (or `run`, which does), from the main thread.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

from gateway.environment import Environment
from gateway.errors import ConfigurationError, Unavailable
from gateway.local.process import Child

TICK_SECONDS = 0.1
QUICK_SECONDS = 5.0  # a process that ends sooner than this has failed at once
MOST_QUICK_ENDS = 5
WRONG_SETTING = 2  # the exit code of a process of ours that would end in the same way again
_START_SECONDS = 60.0
_START_PAUSE_SECONDS = 0.02
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0


@dataclass(slots=True)
class _Watch:
    child: Child
    started: float
    quick_ends: int = 0
    due: float | None = None  # when to start it again; None while it runs


@dataclass(slots=True)
class Machine:
    """`say` gets one clear line for whatever a person would want to know; `each_tick` is called as often
    as the machine looks at its children. `interrupts` counts the signals that asked to stop: one is a
    request, two are an order.
    """

    say: Callable[[str], None]
    each_tick: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = field(default_factory=lambda: Environment().monotonic)
    interrupts: int = 0
    _watches: list[_Watch] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Signals are ours inside the block, and nothing is left running after it."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            yield
        finally:
            self.stop()
            for number, action in before.items():
                signal.signal(number, action)

    def begin(self, *children: Child) -> None:
        """Start them, all at once, and look after them from now on."""
        for child in children:
            child.start()
            self._watches.append(_Watch(child, self.monotonic()))

    def wait_until_ready(self) -> bool:
        """True when every child is ready, False when interrupted before.

        Raises Unavailable when one ends at once too often or is not ready in time, ConfigurationError when
        one says that a setting is wrong.
        """
        deadline = self.monotonic() + _START_SECONDS
        waiting = [watch.child for watch in self._watches]
        while waiting := [child for child in waiting if not child.is_ready()]:
            if self.interrupts:
                return False
            if self.monotonic() > deadline:
                late = f"{waiting[0].name} was not ready in {_START_SECONDS:g} s"
                raise Unavailable(_with_last_lines(late, waiting[0]))
            self.tick()
            time.sleep(_START_PAUSE_SECONDS)
        return True

    def run(self) -> None:
        """Supervise until a signal asks to stop. Raises Unavailable when a child cannot be kept up."""
        while not self.interrupts:
            self.tick()
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Look at every child once: note who ended, start again who is due."""
        self.each_tick()
        for watch in self._watches:
            if watch.due is not None:
                if self.monotonic() >= watch.due:
                    watch.child.start()
                    watch.started, watch.due = self.monotonic(), None
            elif (code := watch.child.exit_code()) is not None:
                self._ended(watch, code)

    def stop(self) -> None:
        """End them in the reverse of the order they were started in, each given its time."""
        while self._watches:
            child = self._watches.pop().child
            if not child.stop(hurry=lambda: self.interrupts > 1):
                at_order = "was killed at the second Ctrl-C"
                late = "did not stop when asked and was killed"
                self.say(f"{child.name} {at_order if self.interrupts > 1 else late}")

    def _ended(self, watch: _Watch, code: int) -> None:
        quick = self.monotonic() - watch.started < QUICK_SECONDS
        watch.quick_ends = watch.quick_ends + 1 if quick else 0
        how = f"{watch.child.name} ended with {_describe(code)}"
        if code == WRONG_SETTING:
            raise ConfigurationError(_with_last_lines(how, watch.child))
        if watch.quick_ends >= MOST_QUICK_ENDS:
            raise Unavailable(_with_last_lines(f"{how}, {MOST_QUICK_ENDS} times at once", watch.child))
        seconds = min(_FIRST_BACKOFF_SECONDS * 2**watch.quick_ends, _LONGEST_BACKOFF_SECONDS)
        watch.due = self.monotonic() + seconds
        self.say(f"{how}; starting it again in {seconds:g} s")

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupts += 1


def _describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _with_last_lines(sentence: str, child: Child) -> str:
    return "\n".join([f"{sentence}; the end of {child.log}:", *(f"  {line}" for line in child.last_lines())])
