"""A child process that writes to a log file and cannot outlive this process.

Linux stops it when the thread that started it ends, even on SIGKILL, so start it from the main thread. Other
systems have no such feature: there only `stop` ends it, and it survives a SIGKILL of this process. It leads
its own session, so that Ctrl-C in the terminal reaches only this process, which stops the children in order.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ConfigurationError

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
_PAUSE_SECONDS = 0.01
_TAIL_BYTES = 16_384


def tie_to_parent(number: int) -> Callable[[], None] | None:
    """The function that the new process runs after the fork, to get this signal when its parent ends.
    Everything else is prepared before the fork."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent ended before the call took effect
            os._exit(1)

    return tie


def orphan_signal() -> int:
    """What the system sends to this process when its parent ends. 0: nothing. A forked process does not
    inherit it."""
    if sys.platform != "linux":
        return 0
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


@dataclass(slots=True)
class ManagedProcess:
    """One process.

    `name`: for messages. `environment`: its complete environment; None: ours. `ready`: returns immediately
    whether it can be used; None: it is ready when it runs. `inherited`: file descriptors that it keeps open,
    such as a lock. `orphan_signal`: sent to it if we end without stopping it; SIGKILL for one that would
    otherwise try to finish its work.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    ready: Callable[[], bool] | None = None
    inherited: Sequence[int] = ()
    stop_seconds: float = 10.0
    orphan_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it. Raises ConfigurationError if the program cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            try:
                self._process = subprocess.Popen(
                    list(self.command),
                    env=None if self.environment is None else dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=tuple(self.inherited),
                    start_new_session=True,
                    preexec_fn=tie_to_parent(self.orphan_signal),  # noqa: PLW1509 - the child must make this call itself
                )
            except OSError as error:
                raise ConfigurationError(f"cannot run {self.command[0]}: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """Process id of the running process, or of the last one."""
        return 0 if self._process is None else self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; the negative signal number if a signal ended it; 0 before the first start."""
        if self._process is None:
            return 0
        seen = self._process.returncode is not None
        code = self._process.poll()
        if code is not None and not seen:
            self._signal_group(signal.SIGKILL)  # its own children must not stay behind
        return code

    def is_ready(self) -> bool:
        return self.exit_code() is None and (self.ready is None or self.ready())

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Send SIGTERM, then SIGKILL after `stop_seconds` or as soon as `hurry` returns True. False if
        SIGKILL was needed."""
        if self._process is None or self.exit_code() is not None:
            return True
        self._process.terminate()
        for _ in range(round(self.stop_seconds / _PAUSE_SECONDS)):
            if self.exit_code() is not None:
                return True
            if hurry():
                break
            time.sleep(_PAUSE_SECONDS)
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        return False

    def last_lines(self, count: int = 15) -> list[str]:
        """The last lines of the log, oldest first."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]
        return []

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty
            os.killpg(self.pid, number)
