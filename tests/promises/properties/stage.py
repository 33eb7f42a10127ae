"""The product's own objects on a real server, run without a loop and on a clock that the test moves.

The client blocks, so that no call of the product ever waits: `now` runs a coroutine to its end at once.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import SecretStr

from gateway.dispatch import Role, RoleLimits
from gateway.environment import Environment
from gateway.jobs import Job
from gateway.media.folder import FolderStore
from gateway.media.inline import InlineFiles
from gateway.resolution import Resolver
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store.base import Callback, CallbackOutcome, TransitionResult
from gateway.store.charges import RedisCharges
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.exchange import Word
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.retention import RedisRetention
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from gateway.store.unknown_jobs import RedisUnknownJobs
from gateway.upstream.base import (
    CancelOutcome,
    Capabilities,
    Inconclusive,
    Listing,
    Missing,
    QueryOutcome,
    SubmitOutcome,
    Upstream,
)
from tests.conftest import new_settings
from tests.promises.crashes.faults import EPOCH
from tests.promises.crashes.store import Server, VirtualRedis
from tests.promises.properties.model import OFF_PEAK_DEADLINE_MS, WATCH_MS
from workers.confirm import Confirmer
from workers.submit import Submitter
from workers.sweep import Sweeper

T = TypeVar("T")

GRACE: Final = 120.0
JOB_DEADLINE: Final = 900.0
RETENTION: Final = 7200.0
LEASE: Final = 15.0
GAP: Final = 90.0
REPORT_WAIT: Final = 20.0
NOT_VISIBLE: Final = 60.0
POISON_LIMIT: Final = 3
RESUBMIT_MAX: Final = 1
DAY_BUDGET: Final = 1
SLOTS: Final = 2
SECOND: Final = '[{"name": "second", "key": "k", "slots": 1}]'
ACCOUNTS: Final = ("main", "second")
TENANT_SLOTS: Final = 2


class Clock:
    """Seconds since `EPOCH`. Moves by quarters, which a float holds exactly."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        assert seconds * 4 == int(seconds * 4)
        self._seconds += seconds


class NotingJobs(RedisJobStore):
    """Notes what became of each event."""

    seen: Counter[str]

    async def _apply(self, job: Job, move: Transition, *, read: bool) -> tuple[TransitionResult, Job | None]:
        answer, found = await super()._apply(job, move, read=read)
        self.seen[f"outcome {answer.outcome}"] += 1
        return answer, found

    async def callback(self, callback: Callback) -> CallbackOutcome:
        effect = await super().callback(callback)
        self.seen[f"effect {effect}"] += 1
        return effect


class PlainScripts(Scripts):
    """The scripts, run at once."""

    alone = True

    def __init__(self, server: Server) -> None:
        self._server = server

    async def run(
        self, verb: str, keys: Sequence[str], args: Sequence[Word], *, effect: str | None = None
    ) -> Any:
        return self._server.run(verb, keys, args)


@dataclass(slots=True)
class ScriptedUpstream:
    """An upstream that shows each task as the test says."""

    capabilities: Capabilities = field(default_factory=lambda: Capabilities(cancel=True))
    show: Callable[[str], QueryOutcome] = field(default=lambda _: Missing())
    queried: list[str] = field(default_factory=list)

    async def submit(self, *_: object, **__: object) -> SubmitOutcome:
        raise AssertionError("the test sends by itself")

    async def query(self, task_id: str) -> QueryOutcome:
        self.queried.append(task_id)
        return self.show(task_id)

    async def cancel(self, task_id: str) -> CancelOutcome:
        return Inconclusive("not now")

    async def list_tasks(self, since_ms: int, until_ms: int) -> Listing | Inconclusive:
        return Listing([])

    async def probe(self, *_: object) -> bool:
        return True


class Stage:
    """One example's world: an empty server at the beginning of time, and all that stands on it."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        seen: Counter[str],
        limits: Mapping[Role, RoleLimits] | None = None,
    ) -> None:
        self.server, self.clock = server, Clock()
        loop: Any = self.clock
        server.begin(loop, changed=lambda: None)
        self.settings = settings_of(folder)
        self.roles = self.settings.roles() | dict(limits or {})
        numbers = itertools.count(1)
        self.environment = Environment(
            clock=lambda: EPOCH + self.clock.time(),
            monotonic=self.clock.time,
            random=lambda: 0.5,
            entropy=lambda n: next(numbers).to_bytes(n, "big"),
        )
        redis: Any = VirtualRedis(server)
        scripts = PlainScripts(server)
        self.scripts = scripts
        self.jobs = NotingJobs(redis, scripts, self.roles, self.settings.callback_limits())
        self.jobs.seen = seen
        self.lanes = Lanes(scripts, self.roles)
        self.deliveries = RedisDeliveryStore(redis, scripts, self.roles)
        self.endpoints = RedisEndpointStore(redis, scripts)
        self.retention = RedisRetention(redis, scripts, self.settings.retention_seconds)
        self.blobs = InlineFiles(FolderStore(self.settings.blob_dir))
        self.settlement = Settlement(self.jobs, self.blobs, self.environment, WATCH_MS)
        self.upstreams = {name: ScriptedUpstream() for name in ACCOUNTS}
        upstreams: dict[str, Upstream] = dict(self.upstreams)
        self.submitter = Submitter(
            self.jobs,
            self.settlement,
            upstreams,
            self.blobs,
            self.settings.keyring(),
            self.environment,
            self.settings,
            asyncio.Event(),
        )
        self.confirmer = Confirmer(self.jobs, self.settlement, upstreams, self.environment, self.settings)
        self.sweeper = Sweeper(
            self.jobs, self.settlement, self.lanes, self.blobs, self.environment, self.settings
        )
        self.charges = RedisCharges(scripts)
        self.resolver = Resolver(
            self.jobs,
            self.settlement,
            RedisUnknownJobs(redis),
            self.environment,
        )

    def now_ms(self) -> int:
        return self.environment.now_ms()


@functools.cache
def settings_of(folder: Path) -> Settings:
    """Small limits, and windows that a few steps cross."""
    return new_settings("redis://127.0.0.1:1/0", folder).model_copy(
        update={
            "upstream_slots": SLOTS,
            "upstream_accounts": SecretStr(SECOND),
            "upstream_tenant_slots": TENANT_SLOTS,
            "lease_seconds": LEASE,
            "unknown_grace_seconds": GRACE,
            "job_deadline_seconds": JOB_DEADLINE,
            "off_peak_deadline_seconds": OFF_PEAK_DEADLINE_MS / 1000,
            "late_watch_seconds": WATCH_MS / 1000,
            "retention_seconds": RETENTION,
            "callback_gap_seconds": GAP,
            "claim_wait_seconds": REPORT_WAIT,
            "poison_limit": POISON_LIMIT,
            "resubmit_max": RESUBMIT_MAX,
            "resubmit_day_budget": DAY_BUDGET,
            "confirm_slots": 3,
            "delivery_slots": 3,
            "delivery_endpoint_slots": 2,
        }
    )


def now(call: Awaitable[T]) -> T:
    """The result of a call that waits for nothing."""
    assert isinstance(call, Coroutine)
    try:
        call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    call.close()
    raise AssertionError("the call waits for something")
