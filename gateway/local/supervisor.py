"""Starts and supervises the processes of one machine: restarts them when they die, stops them in order.

Single-threaded: call `tick` often (or `run`, which does) from the main thread.
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
from gateway.local.process import ManagedProcess

TICK_SECONDS = 0.1
QUICK_SECONDS = 5.0  # a process that exits sooner counts as failed at startup
MAX_QUICK_EXITS = 5
WRONG_SETTING = 2  # exit code of our processes for a configuration error, which a restart cannot fix
_START_SECONDS = 60.0
_START_PAUSE_SECONDS = 0.02
_FIRST_BACKOFF_SECONDS = 0.1
LONGEST_BACKOFF_SECONDS = 5.0


@dataclass(slots=True)
class _Supervised:
    process: ManagedProcess
    started: float
    quick_exits: int = 0
    due: float | None = None  # when to restart it; None while it runs


@dataclass(slots=True)
class Supervisor:
    """`say`: called with one line about each notable event. `each_tick`: called at every tick. `interrupts`:
    number of signals that asked to stop: the first stops gracefully, the second kills.
    """

    say: Callable[[str], None]
    each_tick: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = field(default_factory=lambda: Environment().monotonic)
    interrupts: int = 0
    _supervised: list[_Supervised] = field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Handle signals inside the block, and stop all processes at its end."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            yield
        finally:
            self.stop()
            for number, action in before.items():
                signal.signal(number, action)

    def begin(self, *processes: ManagedProcess) -> None:
        """Start the processes without waiting, and supervise them from now on."""
        for process in processes:
            process.start()
            self._supervised.append(_Supervised(process, self.monotonic()))

    def wait_until_ready(self) -> bool:
        """Wait; True when all processes are ready, False if interrupted.

        Raises Unavailable if one exits too often or is not ready in time, ConfigurationError if one reports a
        wrong setting.
        """
        deadline = self.monotonic() + _START_SECONDS
        waiting = [entry.process for entry in self._supervised]
        while waiting := [process for process in waiting if not process.is_ready()]:
            if self.interrupts:
                return False
            if self.monotonic() > deadline:
                late = f"{waiting[0].name} was not ready in {_START_SECONDS:g} s"
                raise Unavailable(_with_last_lines(late, waiting[0]))
            self.tick()
            time.sleep(_START_PAUSE_SECONDS)
        return True

    def run(self) -> None:
        """Supervise until a signal asks to stop. Raises Unavailable if a process exits too often."""
        while not self.interrupts:
            self.tick()
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Check all processes once: note those that exited, restart those that are due."""
        self.each_tick()
        for entry in self._supervised:
            if entry.due is not None:
                if self.monotonic() >= entry.due:
                    entry.process.start()
                    entry.started, entry.due = self.monotonic(), None
            elif (code := entry.process.exit_code()) is not None:
                self._exited(entry, code)

    def stop(self) -> None:
        """Stop the processes in reverse starting order, each with its own time limit."""
        while self._supervised:
            process = self._supervised.pop().process
            if not process.stop(hurry=lambda: self.interrupts > 1):
                at_order = "was killed at the second Ctrl-C"
                late = "did not stop when asked and was killed"
                self.say(f"{process.name} {at_order if self.interrupts > 1 else late}")

    def _exited(self, entry: _Supervised, code: int) -> None:
        quick = self.monotonic() - entry.started < QUICK_SECONDS
        entry.quick_exits = entry.quick_exits + 1 if quick else 0
        how = f"{entry.process.name} ended with {describe(code)}"
        if code == WRONG_SETTING:
            raise ConfigurationError(_with_last_lines(how, entry.process))
        if entry.quick_exits >= MAX_QUICK_EXITS:
            raise Unavailable(_with_last_lines(f"{how}, {MAX_QUICK_EXITS} times at once", entry.process))
        seconds = backoff_seconds(entry.quick_exits)
        entry.due = self.monotonic() + seconds
        self.say(f"{how}; starting it again in {seconds:g} s")

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.interrupts += 1


def backoff_seconds(quick_exits: int) -> float:
    """The pause before a restart, after `quick_exits` quick exits in a row."""
    # Beyond 10 it is the longest one anyhow, and 2**1024 does not fit into a float.
    return min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(quick_exits, 10), LONGEST_BACKOFF_SECONDS)


def describe(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _with_last_lines(sentence: str, process: ManagedProcess) -> str:
    return "\n".join(
        [f"{sentence}; the end of {process.log}:", *(f"  {line}" for line in process.last_lines())]
    )
