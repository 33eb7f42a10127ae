"""What one job costs the store, counted, so that nobody makes it dearer unnoticed."""

from __future__ import annotations

from dataclasses import replace

import orjson

from gateway.dispatch import Role, Ticket, queue_name
from gateway.lifecycle import DeliveryEvent, DeliveryState
from gateway.store import keys
from gateway.store.base import AdmissionLimits
from gateway.upstream.base import Accepted, Found
from tests.gateway.store.conftest import new_job
from tests.workers.conftest import Rig
from tests.workers.scripted import completed

MOST_SCRIPTS = 9
MOST_COMMANDS = 240
MOST_BYTES = 3250
#: What a job of a busy tenant takes in the indexes, whose entries are shared.
INDEX_BYTES = 600


async def claimed(rig: Rig, role: Role) -> Ticket:
    """The next work of the role, begun as a worker begins it."""
    terms = (rig.resources.jobs.terms() | rig.resources.deliveries.terms())[role]
    claim, names = (
        rig.resources.environment.new_job_id(),
        [queue_name(role), f"memory:{role}", keys.held_by("tester")],
    )
    found = await rig.resources.scripts.run("claim_arq_jobs", names, [claim, 1, 60_000, terms])
    _, record, begun = found
    text, number = orjson.loads(record)["a"]
    return Ticket.parse(role, text, number, begun)


async def live(rig: Rig, task: str) -> str:
    """A job from its acceptance to its delivered webhook; its id."""
    jobs, deliveries = rig.resources.jobs, rig.resources.deliveries
    job = new_job()
    limits = AdmissionLimits(queue_max=1000, bytes_max=10**9)
    await jobs.accept(job, None, "fingerprint", limits)
    rig.upstream.outcomes.append(Accepted(task))
    await rig.submitter.submit(await claimed(rig, Role.SUBMIT))
    await rig.callback(job, task)
    rig.upstream.polls.append(Found(completed(task_id=task)))
    await rig.confirmer.confirm(await claimed(rig, Role.CONFIRM))
    ticket = await claimed(rig, Role.DELIVER)
    begun = await deliveries.begin(ticket)
    assert begun is not None
    made = replace(begun[0], attempts=1, log=[{"number": 1, "outcome": "succeeded", "status": 204}])
    await deliveries.finish(
        ticket, made, DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=["ok"], health_ok=True
    )
    return job.id


async def counted(rig: Rig) -> tuple[int, int]:
    """Scripts, and commands inside them and out of them."""
    found = await rig.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): one["calls"] for name, one in found.items()}
    return calls.get("fcall", 0), sum(calls.values())


async def test_a_job_costs_few_scripts_and_commands(rig: Rig) -> None:
    await rig.endpoint("https://example.com/hook")
    await live(rig, "task_1")  # what is learned once
    scripts, commands = await counted(rig)
    job_id = await live(rig, "task_2")
    after = await counted(rig)
    assert after[0] - scripts <= MOST_SCRIPTS
    assert after[1] - commands <= MOST_COMMANDS
    [delivery] = await rig.resources.deliveries.of_job(job_id)
    assert delivery.state is DeliveryState.DELIVERED


async def test_a_finished_job_leaves_little(rig: Rig) -> None:
    await rig.redis.config_set("hash-max-listpack-value", 2048)  # as in deploy/redis.conf
    await rig.endpoint("https://example.com/hook")
    job_id = await live(rig, "task_1")
    [delivery] = await rig.resources.deliveries.of_job(job_id)
    job = keys.job(job_id)
    left = [job, keys.job_audit(job_id), keys.job_deliveries(job_id)]
    left += [keys.delivery(delivery.id), keys.event(delivery.event_id), keys.task("task_1")]
    sizes = [await rig.redis.memory_usage(key, samples=0) or 0 for key in left]
    assert sum(sizes) <= MOST_BYTES - INDEX_BYTES, dict(zip(left, sizes, strict=True))
