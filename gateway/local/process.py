"""A process of ours that cannot outlive us, writing to a log file.

Linux ends it when the thread that started it ends, also on SIGKILL: start it from the
main thread. Other systems have no such call; there `stop` ends it, and a SIGKILL of ours leaves it.
It leads its own session, so that a Ctrl-C in the terminal reaches us alone and we choose the order.
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
_PAUSE_SECONDS = 0.01
_TAIL_BYTES = 16_384


def _tie_to_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What the new process runs between fork and exec, prepared before the fork: only calls are left."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent ended before the tie was made
            os._exit(1)

    return tie


@dataclass(slots=True)
class ManagedProcess:
    """One process: `name` for people, `command`, its whole `environment` (ours, when None).

    `ready` answers at once whether it can be used; None when running is all there is to see.
    `inherited` are file descriptors it keeps open, such as a lock. `orphan_signal` is what it gets when
    we end without stopping it: SIGKILL for one that would first try to finish its work.
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
        """Start it. Raises ConfigurationError when the program cannot be run at all."""
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
                    preexec_fn=_tie_to_parent(self.orphan_signal),  # noqa: PLW1509 - the tie must be made by the child itself
                )
            except OSError as error:
                raise ConfigurationError(f"cannot run {self.command[0]}: {error.strerror}") from None

    @property
    def pid(self) -> int:
        """Of the running process, or of the last one."""
        return 0 if self._process is None else self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number when a signal ended it; 0 before the first start."""
        if self._process is None:
            return 0
        seen = self._process.returncode is not None
        code = self._process.poll()
        if code is not None and not seen:
            self._signal_group(signal.SIGKILL)  # what it started must not stay behind
        return code

    def is_ready(self) -> bool:
        return self.exit_code() is None and (self.ready is None or self.ready())

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> bool:
        """SIGTERM, then SIGKILL after `stop_seconds` or once `hurry` says so; False when that was needed."""
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
        """The end of the log, oldest first."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-count:]
        return []

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty
            os.killpg(self.pid, number)
