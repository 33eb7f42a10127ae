"""Runs a service in several processes: forks them, restarts those that die, and ends when all have stopped.

The parent does nothing else. It has loaded all modules before it forks, so that a child starts quickly.
Orders to stop reach a child through a pipe and not as signals: a terminal or a service manager signals the
parent and its children alike, and each order must arrive once. The end of the pipe tells the child that its
parent died, which is an order too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

import structlog

from gateway.environment import Environment
from gateway.local.process import orphan_signal, tie_to_parent
from gateway.local.shared_memory import Shared
from gateway.local.supervisor import (
    LONGEST_BACKOFF_SECONDS,
    MAX_QUICK_EXITS,
    QUICK_SECONDS,
    WRONG_SETTING,
    backoff_seconds,
    describe,
)

MAX_PROCESSES: Final = 64
_LOCK_RETRY_SECONDS: Final = 0.1
_ORDERS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class _Child:
    """The process of a slot. `pid`: None between its end and its restart, which is `due` then. `pipe`: where
    it gets orders from."""

    pid: int | None = None
    pipe: int = -1
    started: float = 0.0
    quick_exits: int = 0
    due: float = 0.0


@dataclass(slots=True)
class Parent:
    """`serve(slot, orders)`: what a child runs; it returns the exit code, and `on_order` reads its orders.
    `at_stop`: called in the parent before the first order is passed on."""

    shared: Shared
    serve: Callable[[int, int], int]
    at_stop: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = field(default_factory=lambda: Environment().monotonic)
    _children: list[_Child] = field(default_factory=list)
    _locked_out: bool = False  # who ended is noted later
    _tie: Callable[[], None] | None = None  # called by each child at its start
    _code: int | None = None  # set when no child is started any more

    def run(self) -> int:
        """Until a signal asks to stop and all children have stopped, or a setting is wrong, or no child can
        start. Returns the exit code."""
        self._children = [_Child() for _ in range(self.shared.processes)]
        self._tie = tie_to_parent(orphan_signal())
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*_ORDERS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # its number is in the pipe
        gc.collect()
        gc.freeze()  # or else the collector of a child would copy all pages
        while True:
            self._reap()
            if self._code is None:
                self._start_due()
            elif not any(child.pid for child in self._children):
                return self._code
            if select.select([woken], [], [], self._until_due())[0]:
                for arrived in os.read(woken, 4096):
                    if arrived in _ORDERS:
                        self._stop(0)

    def _stop(self, code: int) -> None:
        if self._code is None:
            self._code = code
            self.at_stop()
        for child in self._children:
            if child.pid:
                with contextlib.suppress(BrokenPipeError):
                    os.write(child.pipe, b".")

    def _start_due(self) -> None:
        for slot, child in enumerate(self._children):
            if child.pid is None and self.monotonic() >= child.due:
                self._start(slot, child)

    def _until_due(self) -> float | None:
        if self._locked_out:
            return _LOCK_RETRY_SECONDS
        if self._code is not None:
            return None
        due = [child.due for child in self._children if child.pid is None]
        return max(0.0, min(due) - self.monotonic()) if due else None

    def _start(self, slot: int, child: _Child) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ORDERS)  # a child gets orders from its pipe alone
        try:
            child.pid, child.pipe = self._fork(slot, child)
        except OSError as error:  # no memory, process or file to be had now; the others go on
            child.due = self.monotonic() + LONGEST_BACKOFF_SECONDS
            structlog.get_logger().error(
                "process_not_started",
                process=slot + 1,
                reason=error.strerror,
                restart_seconds=LONGEST_BACKOFF_SECONDS,
            )
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ORDERS)
        child.started = self.monotonic()
        self.shared.began(slot, child.pid)

    def _fork(self, slot: int, child: _Child) -> tuple[int, int]:
        """Its pid and pipe. Raises OSError, and leaves nothing open then."""
        orders, pipe = os.pipe()
        try:
            pid = os.fork()
            if pid == 0:
                child.pipe = pipe
                self._become(slot, orders)
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(orders)
        return pid, pipe

    def _become(self, slot: int, orders: int) -> NoReturn:
        """The child, from here on: never back into the parent's loop."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_ORDERS, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            if self._tie is not None:
                self._tie()
            for child in self._children:
                if child.pipe >= 0:  # it would keep its pipe open when the parent is gone
                    os.close(child.pipe)
            self.shared.slot = slot
            structlog.contextvars.bind_contextvars(process=slot + 1)
            code = self.serve(slot, orders)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001  # as the interpreter would: told, and not raised into the loop
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(OSError, ValueError):  # nobody reads them any more
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """All that ended: as the first process of a container we are also given those of dead children."""
        codes: dict[int, int] = {}
        with self.shared.lock as locked, contextlib.suppress(ChildProcessError):
            self._locked_out = not locked
            while locked:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if not pid:
                    break
                for slot, child in enumerate(self._children):
                    if child.pid == pid:
                        self.shared.ended(slot, used.ru_utime + used.ru_stime)
                        codes[slot] = os.waitstatus_to_exitcode(status)
        for slot, code in codes.items():  # without the lock: logging may block
            self._ended(slot, self._children[slot], code)

    def _ended(self, slot: int, child: _Child, code: int) -> None:
        child.quick_exits = 0 if self._is_settled(child) else child.quick_exits + 1
        os.close(child.pipe)
        pid, child.pid, child.pipe = child.pid, None, -1
        if self._code is not None:
            return
        # With the same settings another process runs: what this one did not like will pass.
        passing = code == WRONG_SETTING and any(one.pid and self._is_settled(one) for one in self._children)
        seconds = LONGEST_BACKOFF_SECONDS if passing else backoff_seconds(child.quick_exits)
        child.due = self.monotonic() + seconds
        structlog.get_logger().error(
            "process_ended", process=slot + 1, pid=pid, how=describe(code), restart_seconds=seconds
        )
        if code == WRONG_SETTING and not passing:
            self._stop(WRONG_SETTING)
        elif all(one.quick_exits >= MAX_QUICK_EXITS for one in self._children):
            self._stop(1)

    def _is_settled(self, child: _Child) -> bool:
        return self.monotonic() - child.started >= QUICK_SECONDS


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--processes N`; None if it is not given."""
    parser.add_argument(
        "--processes", type=_number, metavar="N", help="run N processes (default: GATEWAY_PROCESSES)"
    )


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PROCESSES:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {MAX_PROCESSES}, not {text!r}")
    return int(text)


def on_order(orders: int, act: Callable[[], None]) -> None:
    """Calls `act` in the running event loop at each order of the parent, and when the parent died."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(orders, 1):
            loop.remove_reader(orders)
        act()

    loop.add_reader(orders, read)
