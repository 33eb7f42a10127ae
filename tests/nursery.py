"""Real processes that start quickly: forked from one that has imported everything already.

The tests start hundreds of processes, a fault run thousands, and most of what each would do is to import the
same modules. The nursery imports them once, single-threaded, and forks a child for each process that is
wanted. The child's environment, standard streams and random numbers are its own, and it runs
`python -m module` from there on.

`python -m tests.nursery` speaks JSON, one line each way: {"words", "environment", "log", "errors"} -> {"pid"}
and {"pid"} -> {"code": exit code, minus a signal's number, or null while it runs}. Its children end with it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

MODULES: Final = ("gateway", "workers", "gateway.sandbox", "gateway.cli")
#: What they import when they need it: here that is before the fork.
_LATER: Final = ("gateway.commands.doctor", "gateway.commands.status", "gateway.commands.listen")
_PAUSE_SECONDS: Final = 0.005


class Hatchling:
    """One of the nursery's processes, with what is used of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._nursery.code_of(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(_PAUSE_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:  # reaped by the nursery in between: the number is free then, and not yet used
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Nursery:
    """`with Nursery() as nursery: nursery.spawn(["workers"], environment, log)`. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        command = [sys.executable, "-m", "tests.nursery"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes both pipes and waits
            pass

    def spawn(
        self, words: Sequence[str], environment: Mapping[str, str], log: Path, errors: Path | None = None
    ) -> Hatchling:
        """`python -m *words`, which must begin with one of MODULES; it prints to the end of `log`, and its
        standard error to the end of `errors` if that is another file."""
        log.touch()  # whoever follows it need not wait for it
        wish: dict[str, Any] = {"words": list(words), "environment": dict(environment)}
        wish |= {"log": str(log), "errors": str(errors or log)}
        return Hatchling(self, int(self._ask(wish)["pid"]))

    def code_of(self, pid: int) -> int | None:
        code: int | None = self._ask({"pid": pid})["code"]
        return code

    def _ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(wish) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def main() -> None:
    for module in MODULES:
        program = module if module == "gateway.cli" else f"{module}.__main__"
        importlib.import_module(program)
        del sys.modules[program]  # each child runs it anew
    for module in _LATER:
        importlib.import_module(module)
    gc.freeze()
    codes: dict[int, int | None] = {}
    for line in sys.stdin:
        wish = json.loads(line)
        if "words" in wish:
            pid = os.fork()
            if pid == 0:
                _become(wish)
            codes[pid] = None
            answer: dict[str, Any] = {"pid": pid}
        else:
            answer = {"code": _reaped(codes, wish["pid"])}
        print(json.dumps(answer), flush=True)
    for pid, code in codes.items():
        if code is None and _reaped(codes, pid) is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _reaped(codes: dict[int, int | None], pid: int) -> int | None:
    if codes[pid] is None:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes[pid]


def _become(wish: dict[str, Any]) -> NoReturn:
    """The child, from here on: never back into the nursery's loop."""
    code = 1
    try:
        log, errors = (
            os.open(wish[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) for name in ("log", "errors")
        )
        nothing = os.open(os.devnull, os.O_RDONLY)
        for own, standard in ((nothing, 0), (log, 1), (errors, 2)):
            os.dup2(own, standard)
        os.closerange(3, 256)
        os.environ.clear()
        os.environ.update(wish["environment"])
        random.seed()
        module, *arguments = wish["words"]
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as the interpreter would: printed, and not raised into the loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
