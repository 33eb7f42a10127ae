"""One run: the world, the load, the faults, the calm, and everything that can be asked for afterwards."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import UPSTREAM_KEY
from tests.promises.faults import plan
from tests.promises.faults.asking import ask
from tests.promises.faults.check_end import leftovers
from tests.promises.faults.client import Client
from tests.promises.faults.ledgers import Ledger
from tests.promises.faults.nemesis import Nemesis
from tests.promises.faults.operator import Operator
from tests.promises.faults.orders import STORMY, Mix
from tests.promises.faults.plan import Fault
from tests.promises.faults.world import World, world

JOBS_PER_SECOND = 3.0
#: Something must be settled in so long: lease, grace and its witness, probes, polls; the webhooks' schedule.
JOBS_BOUND_SECONDS = 45.0
WEBHOOKS_BOUND_SECONDS = 75.0
SILENCE_BOUND_SECONDS = 40.0
_TOKEN = re.compile(r"\.job_[0-9A-Z]{26}\.[0-9]+\.[A-Za-z0-9_-]{22}")
_FINAL = ("completed", "failed", "canceled")


@dataclass(frozen=True)
class Figures:
    jobs: int
    kills: int
    partitions: int
    power_losses: int


@dataclass(frozen=True)
class Load:
    """`gone_seconds`: how long some webhooks go to nobody."""

    per_second: float
    mix: Mix = STORMY
    gone_seconds: float = 0.0


def run(folder: Path, scale: float, seed: int, say: Callable[[str], None]) -> Figures:
    """The ledgers and `final.json` are in `folder` afterwards."""
    with world(folder, seed) as made:
        faults = plan.draw(scale, seed)
        say(f"{len(faults)} faults in {faults[-1].at:.0f} s")
        load = Load(JOBS_PER_SECOND, gone_seconds=faults[-1].at * 0.6)
        nemesis, client = drive(made, folder, seed, faults, load, Nemesis, say, scale=scale)
        return Figures(len(client.jobs), nemesis.kills, nemesis.partitions, nemesis.power_losses)


def drive(
    made: World,
    folder: Path,
    seed: int,
    faults: list[Fault],
    load: Load,
    nemesis_of: Callable[..., Nemesis],
    say: Callable[[str], None],
    **told: Any,
) -> tuple[Nemesis, Client]:
    """The load, the faults, the calm, and the questions. `told`: what the checker knows of the plan."""
    notes, events = Ledger(folder / "client.jsonl"), Ledger(folder / "nemesis.jsonl")
    operator = Operator(made, notes)
    client = Client(notes, seed, made.gateways, made.keys, made.hooks, operator.attend, load.mix)
    nemesis = nemesis_of(made, events, faults, seed, lambda: list(client.jobs))
    events.write("plan", seed=seed, faults=len(faults), power=made.power is not None, **told)
    client.begin(load.per_second, load.gone_seconds)
    try:
        nemesis.run()
        nemesis.calm()
        say(f"the faults are over; {len(client.jobs)} jobs")
        client.finish()
        client.replay()
        _wait_for_jobs(made, client, nemesis, say)
        _wait_for_webhooks(made, client, nemesis, say)
        final = _everything_at_rest(made, client, nemesis)
    finally:
        client.close()
    (folder / "final.json").write_text(json.dumps(final))
    for ledger in (notes, events):
        ledger.close()
    return nemesis, client


def _wait_for_jobs(made: World, client: Client, nemesis: Nemesis, say: Callable[[str], None]) -> None:
    def is_final(job: str, tenant: str) -> bool:
        answer = ask("GET", f"{made.gateways[0]}/v1/jobs/{job}", key=made.keys[tenant])
        if answer.status != 200:
            return answer.status == 404  # it is lost, and the checker says so
        client.note(job, answer.document)
        return answer.document["status"] in _FINAL

    left = _settle(client.jobs, is_final, nemesis, JOBS_BOUND_SECONDS)
    nemesis.ledger.write("jobs_settled", left=left)
    say(f"{len(left)} jobs are not final")


def _wait_for_webhooks(made: World, client: Client, nemesis: Nemesis, say: Callable[[str], None]) -> None:
    def is_told(job: str, tenant: str) -> bool:
        owed = _deliveries(made, job, tenant)
        return bool(owed) and all(delivery["state"] != "pending" for delivery in owed)

    there = {job: tenant for job, tenant in client.jobs.items() if _is_there(made, job, tenant)}
    left = _settle(there, is_told, nemesis, WEBHOOKS_BOUND_SECONDS)
    nemesis.ledger.write("webhooks_settled", left=left)
    say(f"the webhooks of {len(left)} jobs are not settled")


def _settle(
    jobs: dict[str, str], is_settled: Callable[[str, str], bool], nemesis: Nemesis, bound: float
) -> list[str]:
    """The jobs that are not settled when for `bound` seconds none was settled any more."""
    left = dict(jobs)
    deadline = time.monotonic() + bound
    while left and time.monotonic() < deadline:
        nemesis.tick()
        settled = [job for job, tenant in left.items() if is_settled(job, tenant)]
        for job in settled:
            del left[job]
        if settled:
            deadline = time.monotonic() + bound
        time.sleep(0.3)
    return sorted(left)


def _wait_for_silence(made: World, nemesis: Nemesis) -> None:
    """Until nothing is under way: the tasks of jobs that were given up are watched for a while longer."""
    deadline = time.monotonic() + SILENCE_BOUND_SECONDS
    while time.monotonic() < deadline:
        nemesis.tick()
        state = ask("GET", f"{made.gateways[0]}/ops/api/state", key=made.ops_key)
        if state.status == 200 and not any(number for _, number in leftovers(state.document)):
            return
        time.sleep(0.5)


def _everything_at_rest(made: World, client: Client, nemesis: Nemesis) -> dict[str, Any]:
    """What all of them say when nothing is under way. A callback that is sent again may come while they are
    asked: then they are asked again."""
    deadline = time.monotonic() + SILENCE_BOUND_SECONDS
    while True:
        _wait_for_silence(made, nemesis)
        found = _everything(made, client)
        state = found["state"]
        quiet = bool(state) and "counts" in state and not any(number for _, number in leftovers(state))
        if quiet or time.monotonic() > deadline:
            return found


def _is_there(made: World, job: str, tenant: str) -> bool:
    return ask("GET", f"{made.gateways[0]}/v1/jobs/{job}", key=made.keys[tenant]).status != 404


def _deliveries(made: World, job: str, tenant: str) -> list[dict[str, Any]]:
    answer = ask("GET", f"{made.gateways[0]}/v1/jobs/{job}/deliveries", key=made.keys[tenant])
    return list(answer.document["data"]) if answer.status == 200 else []


def _everything(made: World, client: Client) -> dict[str, Any]:
    """What the gateway and the sandbox say at the end; `jobs`: {id: {public, deliveries, ops}}."""
    listed = {job: tenant for tenant in made.keys for job in _listed(made, tenant)}
    with ThreadPoolExecutor(4) as pool:
        all_of_them = listed | client.jobs
        told = pool.map(lambda job: _all_of(made, job, all_of_them[job]), all_of_them)
        jobs = dict(zip(all_of_them, told, strict=True))
    api = f"{made.gateways[0]}/ops/api"
    return {
        "jobs": jobs,
        "listed": sorted(listed),
        "tasks": ask("GET", f"{made.machine.sandbox}/admin/tasks", key=UPSTREAM_KEY, seconds=20).document,
        "state": ask("GET", f"{api}/state", key=made.ops_key, seconds=20).document,
        "events": ask("GET", f"{api}/events?limit=1000", key=made.ops_key, seconds=20).document,
        "quarantine": ask("GET", f"{api}/quarantine?limit=1000", key=made.ops_key, seconds=20).document,
        "leaks": _leaks(made),
        "money": made.money(),
        "links": {name: dict(proxy.counts) for name, proxy in made.proxies.links.items()},
    }


def _all_of(made: World, job: str, tenant: str) -> dict[str, Any]:
    """The job as its owner sees it, as operators see it, and what was owed for it. None: not to be had."""
    public = ask("GET", f"{made.gateways[0]}/v1/jobs/{job}", key=made.keys[tenant], seconds=20)
    ops = ask("GET", f"{made.gateways[0]}/ops/api/jobs/{job}", key=made.ops_key, seconds=20)
    return {
        "public": public.document if public.status == 200 else None,
        "deliveries": _deliveries(made, job, tenant),
        "ops": ops.document if ops.status == 200 else None,
    }


def _listed(made: World, tenant: str) -> list[str]:
    found: list[str] = []
    following = "/v1/jobs?limit=100"
    while following:
        page = ask("GET", made.gateways[0] + following, key=made.keys[tenant]).document
        found += [job["id"] for job in page["data"]]
        following = page["next"]
    return found


def _leaks(made: World) -> list[str]:
    """Logs that hold a secret: a key of ours, of a client or of the upstream, or a callback's whole token."""
    secrets = [UPSTREAM_KEY, made.machine.secret_keys, made.ops_key]
    secrets += [*made.keys.values(), *made.subscriber.secrets.values()]
    found = []
    for path in sorted(made.machine.folder.glob("*.log")):
        text = path.read_text(errors="replace")
        if any(secret in text for secret in secrets) or _TOKEN.search(text):
            found.append(path.name)
    return found
