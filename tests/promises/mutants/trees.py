"""A copy of the tree, with or without a bug in it, and pytest in it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.promises.mutants.mutant import Mutant

ROOT: Final = Path(__file__).parents[3]
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_STOP_SECONDS: Final = 20.0
_TAIL: Final = 2000


@dataclass(frozen=True, slots=True)
class Result:
    """`status`: pytest's own, 0 when all passed, 1 when a test failed; None when it was stopped."""

    status: int | None
    seconds: float
    failed: str
    output: str


class Tree:
    """All that git knows or would take, copied; one bug at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():  # not one that is deleted, but not from git yet
                shutil.copy2(ROOT / name, target)
        self._stamp = time.time()

    def imports_itself(self) -> bool:
        """Whether the product's code that runs is the copy's: otherwise no bug could be seen."""
        asked = [sys.executable, "-c", "import gateway, workers; print(gateway.__file__, workers.__file__)"]
        told = subprocess.run(
            asked, check=False, cwd=self.folder, env=self._environment(), capture_output=True, text=True
        )
        return all(Path(name).is_relative_to(self.folder) for name in told.stdout.split() or ["/"])

    def plant(self, mutant: Mutant) -> str:
        """Puts the bug in; returns the text that was there. Raises DoesNotApply."""
        before = (self.folder / mutant.file).read_text()
        self.write(mutant.file, mutant.applied(self.folder))
        return before

    def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)
        self._stamp += 10  # compiled code is kept by the second in which its source was written
        os.utime(self.folder / file, (self._stamp, self._stamp))

    def test(self, tests: Sequence[str], limit_seconds: float) -> Result:
        """Runs them in that order, up to the first that fails."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", *tests]
        began = time.monotonic()
        child = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        status: int | None
        try:
            output, _ = child.communicate(timeout=limit_seconds)
            status = child.returncode
        except subprocess.TimeoutExpired:
            output, status = _stop(child), None
        failed = _FAILED.search(output)
        return Result(status, time.monotonic() - began, failed[1] if failed else "", output[-_TAIL:])

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder), "COLUMNS": "500"}


def _stop(child: subprocess.Popen[str]) -> str:
    """First kindly: a test run that is interrupted ends the servers that it started."""
    child.send_signal(signal.SIGINT)
    try:
        return child.communicate(timeout=_STOP_SECONDS)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.communicate()[0]
