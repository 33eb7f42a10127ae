"""What the processes of the service do, made of the real objects on the simulated outside."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from gateway.delivery.addresses import Network
from gateway.delivery.http import AttemptResult, DeliveryOutcome
from gateway.dispatch import ACCOUNT, Role, Ticket, deserialize, queue_name
from gateway.errors import StoreUnavailable
from gateway.intake import Intake
from gateway.jobs import Deadlines
from gateway.media.folder import FolderStore
from gateway.media.inline import InlineFiles
from gateway.money.prices import CurrentPrices, Price, PriceBook, Use
from gateway.settings import Settings
from gateway.settlement import Settlement
from gateway.store import keys
from gateway.store.base import AdmissionLimits, Callback
from gateway.store.deliveries import RedisDeliveryStore
from gateway.store.endpoints import RedisEndpointStore
from gateway.store.jobs import RedisJobStore
from gateway.store.lanes import Lanes
from gateway.store.script_runner import Scripts
from gateway.store.workers import BEAT_SECONDS, RedisWorkers
from tests.conftest import KEYRING
from tests.promises.crashes.faults import LostReply, SimulatedProcess
from tests.promises.crashes.store import Server, VirtualRedis, VirtualScripts
from tests.promises.crashes.upstream import Door, Scenario, SimulatedUpstream, Subscriber
from workers.confirm import Confirmer
from workers.deliver import DeliveryWorker
from workers.step_events import StepEventCreator
from workers.submit import Submitter
from workers.sweep import Sweeper
from workers.tasks import FUNCTIONS

TENANT: Final = "acme"
#: The client key that posts everything.
KEY: Final = "k1"
_USE: Final = Use("vtrix", "viduq2_pro_reference", "720p", with_clips=False, off_peak=False)
#: A job costs what the upstream takes for it (`upstream.COST`).
PRICES: Final = CurrentPrices(PriceBook((Price(_USE, "2026-01-01", 250_000, 0, 0),)))
BODY: Final = json.dumps(
    {
        "model": "viduq2_pro_reference",
        "images": ["https://cdn.example.com/hero.png"],
        "prompt": "A hero at dusk",
        "callback_url": "https://client.example.com/hook",
    }
).encode()
SWEEP_SECONDS: Final = 2.0
GRACE_SECONDS: Final = 120.0
_CLAIM_MS: Final = 60_000
_CLAIM_AGAIN_SECONDS: Final = 0.2


@functools.cache
def settings_of(scenario: Scenario) -> Settings:
    """Windows shortened, so that an hour is long after all of them."""
    return Settings(
        redis_url="redis://127.0.0.1:1/0",
        secret_keys=SecretStr(KEYRING),
        upstream_url="http://127.0.0.1:9",
        upstream_key=SecretStr("upstream-key"),
        public_url="http://127.0.0.1:8080",
        blob_dir=Path("nowhere"),
        upstream_slots=1,
        upstream_tenant_slots=1,
        upstream_timeout_seconds=20,
        unknown_grace_seconds=GRACE_SECONDS,
        on_unknown=scenario.on_unknown,
        job_deadline_seconds=900,
        late_watch_seconds=300,
        delivery_public=True,
        delivery_schedule_seconds=[5.0, 30.0, 60.0],
        delivery_overload_seconds=5,
    )


@dataclass(slots=True)
class Post:
    """A Deliverer to one subscriber, who answers 200. It fails for the sender when the connection breaks."""

    process: SimulatedProcess
    subscriber: Subscriber

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, also: tuple[Network, ...], tenant: str
    ) -> AttemptResult:
        try:
            await self.process.reach("deliver.before")
            await asyncio.sleep(0.1)
            self.subscriber.take(headers, body)
            await self.process.reach("deliver.after")
        except LostReply:
            return AttemptResult(DeliveryOutcome.CONNECTION_RESET, None, 100, "", None)
        return AttemptResult(DeliveryOutcome.SUCCEEDED, 200, 100, "", None)


@dataclass(slots=True)
class Machine:
    """All that the roles of one process stand on. `ours`: exceptions that nobody should see."""

    process: SimulatedProcess
    server: Server
    upstream: SimulatedUpstream
    subscriber: Subscriber
    settings: Settings
    ours: list[str]
    jobs: RedisJobStore = field(init=False)
    lanes: Lanes = field(init=False)
    intake: Intake = field(init=False)
    sweeper: Sweeper = field(init=False)
    workers: RedisWorkers = field(init=False)
    left: list[Ticket] = field(default_factory=list)
    claiming: set[Role] = field(default_factory=set)
    scripts: Scripts = field(init=False)
    terms: dict[Role, bytes] = field(init=False)
    runner: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        settings, environment = self.settings, self.process.environment
        redis: Any = VirtualRedis(self.server)
        self.scripts = scripts = VirtualScripts(self.server, self.process)
        roles, keyring, blobs = (
            settings.roles(),
            settings.keyring(),
            InlineFiles(FolderStore(settings.blob_dir)),
        )
        self.jobs = RedisJobStore(redis, scripts, roles, settings.callback_limits())
        self.lanes = Lanes(scripts, roles)
        settlement = Settlement(self.jobs, blobs, environment, int(settings.late_watch_seconds * 1000))
        doors = {ACCOUNT: Door(self.upstream, self.process)}
        deliveries = RedisDeliveryStore(redis, scripts, roles)
        self.terms = self.jobs.terms() | deliveries.terms()
        post: Any = Post(self.process, self.subscriber)
        self.intake = Intake(
            self.jobs,
            blobs,
            settings.limits(),
            environment,
            AdmissionLimits(settings.tenant_queue_max, settings.tenant_bytes_max),
            Deadlines(settings.start_deadline_seconds, settings.total_deadline_seconds),
            prices=PRICES,
            dialect="vtrix",
        )
        self.sweeper = Sweeper(self.jobs, settlement, self.lanes, blobs, environment, settings)
        self.workers = RedisWorkers(redis, scripts)
        self.runner = {
            "jobs": self.jobs,
            "leave": self.left.append,
            "submitter": Submitter(self.jobs, settlement, doors, blobs, keyring, environment, settings),
            "confirmer": Confirmer(self.jobs, settlement, doors, environment, settings),
            "step_events": StepEventCreator(self.jobs, deliveries),
            "delivery_worker": DeliveryWorker(
                deliveries, RedisEndpointStore(redis, scripts), post, keyring, environment, settings
            ),
        }

    async def accept(self, key: str, answer: list[str]) -> None:
        """POST /v1/generations, as the gateway serves it: the id in `answer` when it is 202."""
        try:
            checked = await self.intake.check(BODY, TENANT)
            job, *_ = await self.intake.accept(checked, TENANT, key, key=KEY)
            answer.append(job.id)
        except StoreUnavailable:
            return
        except Exception as error:
            self.ours.append(f"intake: {error!r}")

    async def callback(self, callback: Callback, answer: list[str]) -> None:
        """The callback route: its effect in `answer` when it is 200."""
        try:
            answer.append(await self.jobs.callback(callback))
        except StoreUnavailable:
            return
        except Exception as error:
            self.ours.append(f"callback: {error!r}")

    async def heard(self, answer: list[str]) -> None:
        """The callback route, probed."""
        try:
            await self.jobs.note_callback_path()
            answer.append("heard")
        except StoreUnavailable:
            return

    async def sweep(self) -> None:
        """The workers' loop, which rests while there is nothing to find."""
        while True:
            try:
                if self.server.something_is_due():
                    await self.sweeper.sweep()
            except StoreUnavailable:
                pass
            except Exception as error:
                self.ours.append(f"sweep: {error!r}")
            await asyncio.sleep(SWEEP_SECONDS)

    async def beat(self) -> None:
        """The heartbeats, which rest while no process holds anything."""
        while True:
            left = [ticket.arq_name for ticket in self.left]
            try:
                if left or self.server.something_is_held():
                    await self.workers.beat(self.process.name, {"pid": 1}, left)
                    del self.left[: len(left)]
            except StoreUnavailable:
                pass
            except Exception as error:
                self.ours.append(f"heartbeat: {error!r}")
            await asyncio.sleep(BEAT_SECONDS)

    async def work(self, role: Role) -> None:
        """What a worker of one role does with a job on arq's queue, if it is the one who gets it."""
        try:
            found = await self._claim(role)
        finally:
            self.claiming.discard(role)
            self.server.changed()  # more may wait
        for _, record, begun in zip(found[::3], found[1::3], found[2::3], strict=True):
            ticket, number = deserialize(record.encode())["a"]
            await FUNCTIONS[role](self.runner, ticket, number, begun)

    async def _claim(self, role: Role) -> list[Any]:
        """One job, taken off the queue and begun in one step. Asked again while the store is away, under the
        same id, because the claim may have been made."""
        process = self.process.name
        names = [queue_name(role), f"{queue_name(role)}:claim:{process}", keys.held_by(process)]
        claim = self.process.environment.entropy(16).hex()
        while True:
            try:
                args = (claim, 1, _CLAIM_MS, self.terms[role])
                found: list[Any] = await self.scripts.run(
                    "claim_arq_jobs", names, args, effect=f"claim_{role}"
                )
                return found
            except StoreUnavailable:
                if self.server.over:
                    return []
                await asyncio.sleep(_CLAIM_AGAIN_SECONDS)
            except Exception as error:
                self.ours.append(f"claim: {error!r}")
                return []
