"""Power cuts under Valkey: what was not synced when it was killed is gone when it starts again."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("power_loss.c")


def compiler() -> str | None:
    """A C compiler. None, where there is none, is an error on CI: the fault would silently not be tested."""
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None and os.environ.get("CI") == "true":
        raise RuntimeError("power losses need a C compiler (cc), and CI must test them")
    return found


class PowerLoss:
    """`environment` is what the server must be started with."""

    def __init__(self, folder: Path, cc: str) -> None:
        self._sizes = folder / "synced"
        self._sizes.mkdir(parents=True, exist_ok=True)
        library = folder / "power_loss.so"
        command = [cc, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        self.environment = {"LD_PRELOAD": str(library), "SYNCED_SIZES": str(self._sizes)}

    def cut(self, data: Path) -> int:
        """Forget what never reached the disk of the server that was just killed. The number of bytes lost."""
        lost = 0
        for path in data.glob("appendonlydir/*.incr.aof"):
            noted = self._sizes / path.name
            safe = int(noted.read_text()) if noted.exists() else 0
            lost += path.stat().st_size - safe
            os.truncate(path, safe)
        return lost
