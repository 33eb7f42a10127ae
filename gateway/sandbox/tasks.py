"""A task of the sandbox. Tasks are only in memory: a restart loses them, but not the ledger."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from gateway.environment import Environment
from gateway.sandbox.accounts import MAIN
from gateway.sandbox.checks import TaskSpec
from gateway.sandbox.faults import RESULT_FAULTS, Fault
from gateway.sandbox.prices import cost_of
from gateway.sandbox.render.script import frame_size

Dialect = Literal["vtrix", "vidu"]
Status = Literal["in_progress", "completed", "failed"]
State = Literal["created", "queueing", "processing", "success", "failed"]


@dataclass(slots=True)
class Files:
    """File names below /files; None: there is no such file."""

    film: str
    marked: str | None = None
    cover: str | None = None


@dataclass(slots=True)
class Task:
    """Times: seconds since the epoch. `seed`, `seconds`: the chosen values, if the spec left them open.

    `foreign_id`: vidu's number of the task; for a task of the vtrix dialect, that of the reseller's own task;
    for one of the vidu dialect, the same as `id`. `account`: the account that created it. `status`: in the
    words of vtrix; `state`: in those of vidu. `result_seconds`: how long the URLs of its files live; None:
    for ever.
    """

    id: str
    foreign_id: str
    dialect: Dialect
    created_at: float
    spec: TaskSpec
    seed: int
    seconds: int
    cost: str
    base_url: str
    faults: Mapping[str, Fault]
    account: str
    result_seconds: float | None = None
    status: Status = "in_progress"
    is_queued: bool = False
    is_refunded: bool = False
    rendered: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    failure: tuple[str | int, str] | None = None
    files: Files | None = None
    polls: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def size(self) -> tuple[int, int]:
        return frame_size(self.spec.resolution, self.spec.aspect_ratio)

    @property
    def has_ended(self) -> bool:
        return self.status != "in_progress"

    @property
    def state(self) -> State:
        if self.has_ended:
            return "success" if self.status == "completed" else "failed"
        if self.started_at is not None:
            return "processing"
        return "queueing" if self.is_queued else "created"

    def link(self, name: str) -> str:
        """The URL of one of its files. Its query says until when it lives (in ms), and the film's fault."""
        query = dict[str, object]()
        if self.result_seconds is not None and self.finished_at is not None:
            query["until"] = round((self.finished_at + self.result_seconds) * 1000)
        if "dead_result" in self.faults and self.polls <= self.faults["dead_result"].number():
            query["until"] = 0
        wanted = [fault for fault in self.faults if fault in RESULT_FAULTS]
        if wanted and self.files and name == self.files.film:
            query["fault"] = wanted[0]
        return f"{self.base_url}/files/{name}" + (f"?{urlencode(query)}" if query else "")

    def end(self, now: float, files: Files | None, failure: tuple[str | int, str] | None = None) -> None:
        self.status = "failed" if failure else "completed"
        self.files, self.failure, self.finished_at = files, failure, now
        self.spec = self.spec.without_media()
        self.ended.set()


def new_task(
    spec: TaskSpec,
    base_url: str,
    faults: Mapping[str, Fault],
    environment: Environment,
    dialect: Dialect = "vtrix",
    account: str = MAIN,
    result_seconds: float | None = None,
) -> Task:
    """Chooses what the spec leaves open: for seed 0 any seed, for duration 0 from 3 to 6 s, by the seed."""
    number = str(9 * 10**17 + int.from_bytes(environment.entropy(7), "big") % 10**17)
    seed = spec.seed or 1 + int(environment.random() * (2**31 - 2))
    seconds = spec.duration or random.Random(seed).randint(3, 6)
    return Task(
        id=number if dialect == "vidu" else _new_id(environment),
        foreign_id=number,
        dialect=dialect,
        created_at=environment.clock(),
        spec=spec,
        seed=seed,
        seconds=seconds,
        cost=cost_of(spec.resolution, seconds, with_clips=bool(spec.videos), off_peak=spec.off_peak),
        base_url=base_url,
        faults=faults,
        account=account,
        result_seconds=result_seconds,
    )


def _new_id(environment: Environment) -> str:
    """20 characters of [0-9a-v]: four bytes of time, eight random bytes."""
    raw = int(environment.clock()).to_bytes(4, "big") + environment.entropy(8)
    return base64.b32hexencode(raw).decode().rstrip("=").lower()
