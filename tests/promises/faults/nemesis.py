"""Carries out a plan of faults against the world, looks after its processes, and notes everything it does."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.promises.faults.asking import ask
from tests.promises.faults.ledgers import Ledger
from tests.promises.faults.plan import Fault
from tests.promises.faults.proxy import Weather
from tests.promises.faults.world import GATEWAYS, WORKERS, World

_ON_PROCESSES = ("kill_worker", "kill_gateway", "freeze")
_STOP_SECONDS = 40.0  # how long a process may take to end after a SIGTERM
_TICK_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0  # how long a fault waits for its target to be up: a slow machine starts slowly
_UP_SECONDS = 1.5  # what a process gets to do something worth breaking
_ARMED_SECONDS = 4.0  # how long one with a crash point gets to reach it


@dataclass
class Nemesis:
    """Single-threaded: whoever runs it calls `tick` often, from the main thread.

    `kills`: processes ended by SIGKILL, by us or at a crash point. `jobs` gives ids to forge callbacks for.
    """

    world: World
    ledger: Ledger
    plan: list[Fault]
    seed: int
    jobs: Callable[[], list[str]]
    kills: int = 0
    partitions: int = 0
    power_losses: int = 0
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _armed: dict[str, str] = field(default_factory=dict)
    _down: set[str] = field(default_factory=set)
    _stopping: dict[str, float] = field(default_factory=dict)
    _up_since: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Until the last fault is over. A fault waits for its target to be up, and all later ones with it: a
        slow machine takes longer over the same plan."""
        began = time.monotonic()
        for fault in self.plan:
            self._tick_until(partial(_is_past, began + fault.at))
            waiting = time.monotonic()
            if fault.kind in _ON_PROCESSES:
                self._tick_until(partial(self._is_ripe, fault.target), _PATIENCE_SECONDS)
            began += time.monotonic() - waiting
            facts = {name: getattr(fault, name) for name in ("target", "seconds", "detail", "value")}
            self.ledger.write("fault", fault=fault.kind, **facts)
            getattr(self, f"_{fault.kind}")(fault)
        self._tick_until(lambda: not self._due and not self._stopping)

    def calm(self) -> None:
        """No more faults: every link passes, every process runs, none with a crash point left."""
        self.world.proxies.clear()
        for name in list(self._armed):
            self._kill(name, 0.0)
        self._tick_until(lambda: not (self._due or self._stopping or self._down))
        self.world.wait_until_up()
        self.ledger.write("calm")

    def tick(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()
        for name in (*GATEWAYS, *WORKERS):
            code = self.world.machine.processes[name].poll()
            if name not in self._down and code is not None:
                self._ended(name, code)
            elif time.monotonic() > self._stopping.get(name, float("inf")):
                self.ledger.write("did_not_stop", target=name)
                del self._stopping[name]
                self._kill(name, 0.0)

    def _tick_until(self, fact: Callable[[], bool], seconds: float = float("inf")) -> None:
        deadline = time.monotonic() + seconds
        while not fact() and time.monotonic() < deadline:
            self.tick()
            time.sleep(_TICK_SECONDS)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))

    def _is_ripe(self, name: str) -> bool:
        """It has taken up work for a while: killing what still starts would test nothing."""
        if name in self._down or not self.world.is_up(name):
            return False
        up_since = self._up_since.setdefault(name, time.monotonic())
        least = _ARMED_SECONDS if name in self._armed else _UP_SECONDS
        return time.monotonic() > up_since + least

    def _kill_worker(self, fault: Fault) -> None:
        self._kill(fault.target, fault.seconds, fault.detail)

    def _kill_gateway(self, fault: Fault) -> None:
        self._kill(fault.target, fault.seconds, fault.detail)

    def _kill(self, name: str, down: float, crash_points: str = "") -> None:
        if name in self._down:  # it is down already, at a crash point of its own
            return
        self._down.add(name)
        self._armed.pop(name, None)
        self._stopping.pop(name, None)
        self.world.machine.kill(name)
        self.kills += 1
        self._later(down, lambda: self._start(name, crash_points))

    def _start(self, name: str, crash_points: str = "") -> None:
        self._up_since.pop(name, None)
        self.world.start(name, crash_points)
        self._down.discard(name)
        if crash_points:
            self._armed[name] = crash_points
        if name in GATEWAYS:  # the upstream keeps its connections, and would never find the new process
            self._later(_UP_SECONDS, self.world.proxies.links["callbacks"].cut)

    def _ended(self, name: str, code: int) -> None:
        """A process is gone, and we did not kill it just now."""
        self._down.add(name)
        point = self._armed.pop(name, "")
        was_asked = self._stopping.pop(name, None) is not None
        if point and code == -signal.SIGKILL:
            self.kills += 1
            self.ledger.write("crashed", target=name, point=point.split(":")[0])
        elif was_asked:
            self.ledger.write("stopped", target=name, code=code)
        else:
            self.ledger.write("died", target=name, code=code, log=self.world.machine.log(name)[-2000:])
        self._later(
            random.Random(f"{self.seed} {name} {self.kills}").uniform(0, 1), lambda: self._start(name)
        )

    def _freeze(self, fault: Fault) -> None:
        child = self.world.machine.processes[fault.target]
        if fault.target in self._down or child.poll() is not None:
            return

        def thaw() -> None:
            if child.poll() is None:
                os.kill(child.pid, signal.SIGCONT)
                self.ledger.write("thawed", target=fault.target)

        os.kill(child.pid, signal.SIGSTOP)
        self._later(fault.seconds, thaw)

    def _kill_valkey(self, fault: Fault) -> None:
        if self.world.machine.valkey.exit_code() is not None:  # a busy machine is late: it is down already
            return
        self.world.machine.kill_valkey()
        self.kills += 1
        self._later(fault.seconds, self.world.machine.start_valkey)

    def _power_loss(self, fault: Fault) -> None:
        is_up = self.world.machine.valkey.exit_code() is None
        self._kill_valkey(fault)
        if self.world.power is not None and is_up:
            lost = self.world.power.cut(self.world.machine.folder / "valkey")
            self.power_losses += 1
            self.ledger.write("power_lost", bytes=lost)

    def _partition(self, fault: Fault) -> None:
        link = self.world.proxies.links[fault.target]
        link.set(Weather(fault.detail), fault.value)
        self.partitions += 1
        self._later(fault.seconds, lambda: link.set(Weather.PASS))

    def _restart(self, fault: Fault) -> None:
        """A rolling restart: one after the other is asked to end, and started again when it did."""
        names = WORKERS if fault.target == "workers" else GATEWAYS

        def stop(place: int) -> None:
            if place == len(names):
                return
            name = names[place]
            if name in self._stopping or name in self._down or not self.world.is_up(name):
                self._later(0.2, lambda: stop(place))
                return
            self.world.machine.processes[name].terminate()
            self._stopping[name] = time.monotonic() + _STOP_SECONDS
            self._later(0.2, lambda: follow(place))

        def follow(place: int) -> None:
            name = names[place]
            if name in self._stopping or name in self._down or not self.world.is_up(name):
                self._later(0.2, lambda: follow(place))
            else:
                stop(place + 1)

        stop(0)

    def _forge(self, fault: Fault) -> None:
        """A callback that nobody authenticated, for a real job: refused, and nothing comes of it."""
        known = self.jobs()
        if not known:
            return
        chance = random.Random(f"{self.seed} {fault.at}")
        job = chance.choice(known)
        token = f"k1.acme.{job}.{chance.randint(1, 2)}.{chance.randbytes(16).hex()[:22]}"
        body = b'{"id": "d758n65e878c73cmdg20", "status": "completed"}'
        for gateway in self.world.gateways:
            answer = ask("POST", f"{gateway}/callbacks/{token}", body=body, seconds=3)
            self.ledger.write("forged", job=job, status=answer.status, error=answer.error)


def _is_past(moment: float) -> bool:
    return time.monotonic() >= moment
