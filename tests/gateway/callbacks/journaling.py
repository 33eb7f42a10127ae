"""What tests of the journal share: callbacks, and a store that keeps them or is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.environment import Environment
from gateway.errors import StoreUnavailable
from gateway.store.base import Callback, CallbackOutcome

ENVIRONMENT = Environment()


def callback(number: int = 0) -> Callback:
    return Callback(ENVIRONMENT.new_job_id(), "acme", 1, "completed", task_id=f"task-{number}", terminal=True)


@dataclass
class Store:
    """Keeps callbacks, or is away; `poison`: tasks that make it fail in a way nobody foresaw."""

    away: bool = False
    kept: list[Callback] = field(default_factory=list)
    asked: int = 0
    away_after: int | None = None
    poison: frozenset[str] = frozenset()
    effect: CallbackOutcome = CallbackOutcome.MOVED
    reported: list[str] = field(default_factory=list)
    failovers: int = 0
    refused: int = 0
    faulty: int = 0

    async def callback(self, callback: Callback) -> CallbackOutcome:
        self.asked += 1
        if self.away or (self.away_after is not None and len(self.kept) >= self.away_after):
            raise StoreUnavailable("Redis does not answer")
        if callback.task_id in self.poison:
            raise RuntimeError("never seen before")
        self.kept.append(callback)
        return self.effect

    async def report_journal(self, process: str, failovers: int, *, leaves: bool = False) -> int:
        if self.away:
            raise StoreUnavailable("Redis does not answer")
        if self.faulty:
            self.faulty -= 1
            raise RuntimeError("never seen before")
        if failovers == self.failovers:
            self.reported.append(process)
        else:
            self.refused += 1
        return self.failovers


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def left_by_a_dead_process(folder: Path, content: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{ENVIRONMENT.new_ulid()}-1.jsonl"
    path.write_bytes(content)
    return path
