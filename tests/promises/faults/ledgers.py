"""Append-only JSON lines: what each party of a run saw, written down at once, judged afterwards."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

Fact = dict[str, Any]


class Ledger:
    """Every line has `kind` and `at` (seconds since the epoch). Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._file = path.open("a")

    def write(self, kind: str, **facts: Any) -> Fact:
        with self._lock:
            fact = {"kind": kind, "at": time.time(), **facts}
            self._file.write(json.dumps(fact) + "\n")
            self._file.flush()
        return fact

    def close(self) -> None:
        with self._lock:
            self._file.close()


def read(path: Path) -> list[Fact]:
    """Oldest first; a last line that was cut off is no line."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]
