"""One run: a job (or two) from its POST to long after its end, on machines that fail as planned."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import structlog

from gateway.dispatch import PREFIX, Role, queue_name
from gateway.money import ledger
from gateway.money.ledger import Entry
from gateway.store import event_bodies, keys
from gateway.store.job_history import history_of
from tests.promises.crashes.faults import Fault, Plan, SimulatedProcess
from tests.promises.crashes.loop import VirtualLoop, ignore_unawaited
from tests.promises.crashes.roles import Machine, settings_of
from tests.promises.crashes.store import Server
from tests.promises.crashes.upstream import Charge, Scenario, SimulatedUpstream, Subscriber

_LOOK_SECONDS: Final = 5.0
_LOOKS: Final = 720  # an hour is long after every window of `settings_of`
_RESTART_SECONDS: Final = 3.0
_READ_AGAIN_SECONDS: Final = 2.0
_REQUEST_SECONDS: Final = 10.0
_PROBE_SECONDS: Final = 30.0
_OURS: Final = frozenset(
    {"work_failed", "recovery_failed"}
)  # logged when the code met what it did not expect


@dataclass(frozen=True, slots=True)
class Report:
    """What a run left behind. `seconds`: virtual. `left`: what should be empty and is not."""

    scenario: Scenario
    faults: Sequence[Fault]
    seed: int
    seconds: float
    trace: list[str]
    fired: list[int]
    jobs: dict[str, dict[str, str]]
    audit: dict[str, list[dict[str, str]]]
    events: dict[str, dict[str, str]]
    deliveries: dict[str, dict[str, str]]
    counts: dict[str, str]
    charges: list[Charge]
    heard_of: set[str]
    told: list[tuple[str, bytes]]
    left: dict[str, Any]
    ours: list[str]
    balances: dict[str, dict[str, str]]
    ledger: list[Entry]
    suspense: set[str]

    @property
    def replay(self) -> str:
        plan = ",".join(map(str, self.faults)) or "none"
        return f"python -m tests.promises.crashes replay {self.scenario.name} {plan} --seed {self.seed}"


@dataclass(slots=True)
class World:
    server: Server
    scenario: Scenario
    plan: Plan
    seed: int
    loop: VirtualLoop
    ours: list[str] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    gateways: list[Machine] = field(default_factory=list)
    runners: list[Machine] = field(default_factory=list)
    job_ids: list[str] = field(default_factory=list)
    subscriber: Subscriber = field(default_factory=Subscriber)
    upstream: SimulatedUpstream = field(init=False)
    _in_hand: list[tuple[SimulatedProcess, asyncio.Task[None]]] = field(default_factory=list)
    _rung: bool = False
    _turn: int = 0
    _looked: tuple[int, bool] = (-1, False)

    def __post_init__(self) -> None:
        keyring = settings_of(self.scenario).keyring()
        self.upstream = SimulatedUpstream(
            self.scenario,
            keyring,
            call=lambda callback: self._request(lambda m, answer: m.callback(callback, answer)),
            probe=self._heard,
            audit=self._audit,
        )

    async def live(self) -> None:
        self._spawn("gateway-a", self.gateways)
        self._spawn("gateway-b", self.gateways)
        self._spawn("workers-a", self.runners)
        self._spawn("workers-b", self.runners)
        self.loop.create_task(self._probe(), context=contextvars.Context())
        for number in range(self.scenario.jobs):
            self.job_ids.append(await self._post(f"key {number}"))
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_SECONDS)
            if self._quiet():
                return

    # -- processes

    def _spawn(self, name: str, kind: list[Machine]) -> None:
        process = SimulatedProcess(name, self.loop, self.plan, self.seed, self._died)
        machine = Machine(
            process, self.server, self.upstream, self.subscriber, settings_of(self.scenario), self.ours
        )
        self.machines.append(machine)
        kind.append(machine)
        if kind is self.runners:
            process.start(machine.sweep())
            process.start(machine.beat())
            self.wake()

    def _died(self, process: SimulatedProcess) -> None:
        kind = self.gateways if process.name.startswith("gateway") else self.runners
        kind[:] = [machine for machine in kind if machine.process is not process]
        outside = contextvars.Context()
        self.loop.call_later(_RESTART_SECONDS, self._spawn, f"{process.name}+", kind, context=outside)

    def _one_of(self, kind: list[Machine]) -> Machine | None:
        """The next that runs: connections and arq's jobs go to nobody else."""
        running = [machine for machine in kind if machine.process.running]
        self._turn += 1
        return running[self._turn % len(running)] if running else None

    # -- arq

    def wake(self) -> None:
        """The queues may hold something new: they are read as soon as who wakes them has paused."""
        if not self._rung:
            self._rung = True
            self.loop.call_soon(self._hand_over, context=contextvars.Context())

    def _hand_over(self) -> None:
        """The workers claim what waits on the queues, in turn. A worker makes one claim at a time."""
        self._rung = False
        if self.server.over:
            return
        waiting = {role: self.server.client.zcard(queue_name(role)) for role in Role}
        if any(waiting.values()):  # who claims may die or freeze: the others read again
            self.loop.call_later(_READ_AGAIN_SECONDS, self.wake, context=contextvars.Context())
        for role, number in waiting.items():
            for _ in range(number):
                machine = self._one_of(self.runners)
                if machine is not None and role not in machine.claiming:
                    machine.claiming.add(role)
                    self._in_hand.append((machine.process, machine.process.start(machine.work(role))))

    # -- requests from outside

    async def _heard(self) -> bool:
        return await self._request(lambda machine, answer: machine.heard(answer))

    async def _probe(self) -> None:
        """The way of callbacks is proven open all the while."""
        while True:
            await self._heard()
            await asyncio.sleep(_PROBE_SECONDS)

    async def _request(self, serve: Callable[[Machine, list[str]], Awaitable[None]]) -> bool:
        return await self._ask(serve) is not None

    async def _ask(self, serve: Callable[[Machine, list[str]], Any]) -> str | None:
        """The answer of a gateway; None when there is none in time, or it is no success."""
        machine = self._one_of(self.gateways)
        if machine is None:
            return None
        answer: list[str] = []
        await asyncio.wait([machine.process.start(serve(machine, answer))], timeout=_REQUEST_SECONDS)
        return answer[0] if answer else None

    async def _post(self, key: str) -> str:
        """As a good client does it: with the same idempotency key, until there is an answer."""
        while True:
            job_id = await self._ask(lambda machine, answer: machine.accept(key, answer))
            if job_id is not None:
                return job_id
            await asyncio.sleep(2)

    # -- the end

    def _audit(self, job_id: str) -> list[dict[str, str]]:
        return history_of(0, self.server.client.lrange(keys.job_audit(job_id), 0, -1))

    def _quiet(self) -> bool:
        if self.upstream.calls or any(machine.process.frozen for machine in self.machines):
            return False
        self._in_hand = [
            (process, task) for process, task in self._in_hand if not process.dead and not task.done()
        ]
        if self._in_hand:
            return False
        if self._looked[0] != self.server.version:
            self._looked = self.server.version, not self.leftovers()
        return self._looked[1]

    def leftovers(self) -> dict[str, Any]:
        """What must be empty once everything is over, as far as it is not."""
        pipe = self.server.client.pipeline(transaction=False)
        names = []
        for role in Role:
            for kind in ("slots", "due", "waiting", "fair", "arq"):
                names.append(f"{role}:{kind}")
                pipe.zrange(f"{PREFIX}{role}:{kind}", 0, -1)
            names += [f"{role}:again", f"{role}:holders", f"{role}:inflight"]
            pipe.smembers(f"{PREFIX}{role}:again")
            pipe.hgetall(f"{PREFIX}{role}:holders")
            pipe.hgetall(f"{PREFIX}{role}:inflight")
        names.append("deadlines")
        pipe.zrange(keys.DEADLINES, 0, -1)
        found = dict(zip(names, pipe.execute(), strict=True))
        return {name: held for name, held in found.items() if held and not name.endswith(":fair")}

    def report(self, faults: Sequence[Fault]) -> Report:
        client = self.server.client

        def records(kind: str) -> dict[str, dict[str, str]]:
            found = client.keys(f"{PREFIX}{kind}:*")
            return {
                name.rpartition(":")[2]: without_real_time(client.hgetall(name))
                for name in sorted(found)
                if name.count(":") == 2
            }

        jobs = records("job")
        return Report(
            scenario=self.scenario,
            faults=faults,
            seed=self.seed,
            seconds=self.loop.time(),
            trace=list(self.plan.trace),
            fired=list(self.plan.fired),
            jobs=jobs,
            audit={job_id: self._audit(job_id) for job_id in jobs},
            events={name: _said(event) for name, event in records("event").items()},
            deliveries=records("delivery"),
            counts=client.hgetall(keys.COUNTS),
            charges=list(self.upstream.charges),
            heard_of=set(self.upstream.heard_of),
            told=list(self.subscriber.heard),
            left=self.leftovers(),
            ours=list(self.ours),
            balances={
                name: client.hgetall(name) for name in sorted(client.keys(f"{PREFIX}tenant:*:balance:*"))
            },
            ledger=self._ledger(),
            suspense=set(client.zrange(keys.SUSPENSE, 0, -1)),
        )

    def _ledger(self) -> list[Entry]:
        """Without the time, which is the real one."""
        client = self.server.client
        return [
            replace(ledger.load(name, fields), at=0)
            for stream in sorted(client.keys(f"{PREFIX}ledger:2*"))
            for name, fields in client.xrange(stream)
        ]

    async def bury(self) -> None:
        """Ends every task that is left, also those of the dead: now they may be cancelled."""
        self.server.over = True
        for machine in self.machines:
            machine.process.bury()
        for _ in range(100):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.5)
        raise AssertionError("some tasks will not end")


def run(server: Server, scenario: Scenario, faults: Sequence[Fault] = (), seed: int = 1) -> Report:
    """The same for the same arguments."""
    loop = VirtualLoop()
    loop.set_exception_handler(ignore_unawaited)
    plan = Plan(faults)
    world = World(server, scenario, plan, seed, loop)
    server.begin(loop, world.wake)

    async def whole() -> Report:
        await world.live()
        report = world.report(faults)
        await world.bury()
        return report

    try:
        with structlog.testing.capture_logs() as logs:
            report = loop.run_until_complete(whole())
    finally:
        loop.close()
    report.ours.extend(str(entry) for entry in logs if entry["event"] in _OURS)
    return report


def without_real_time(record: dict[str, str]) -> dict[str, str]:
    """Ids of streams are times of the server's own clock, which no simulation can turn."""
    return {name: value for name, value in record.items() if not name.startswith("told:")}


def _said(event: dict[str, str]) -> dict[str, str]:
    """What the event says, and of which job."""
    body = orjson.loads(event_bodies.load(event) or b"")
    return {"type": body["type"], "job_id": body["data"]["id"]}
