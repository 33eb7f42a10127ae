"""What happened to a job: the beginning and the end are kept, whatever happens in between."""

from __future__ import annotations

import orjson
from redis.asyncio import Redis

from gateway.dispatch import Role
from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.effects import BindTask, HoldSlot, RecordHistory
from gateway.store.job_history import RedisJobHistory, history_of
from gateway.store.jobs import RedisJobStore
from gateway.store.script_runner import Scripts
from gateway.store.transitions import Transition
from gateway.store.unknown_jobs import RedisUnknownJobs
from tests.gateway.store.conftest import Accept, held

_MOST = 500


async def test_a_job_that_waits_has_no_list_and_a_job_history_all_the_same(
    redis: Redis, accept: Accept
) -> None:
    job = await accept()
    assert not await redis.exists(keys.job_audit(job.id))
    assert history_of(job.created_at, []) == [
        {"at": str(job.created_at), "event": "accepted", "to": "queued"}
    ]


async def test_a_job_that_was_rebuilt_was_never_accepted() -> None:
    noted = [orjson.dumps({"at": 7, "event": "rebuilt", "to": "submitted", "epoch": 1}).decode()]
    assert history_of(1, noted) == [{"at": "7", "event": "rebuilt", "to": "submitted", "epoch": "1"}]


async def test_what_is_left_out_of_a_long_job_history_is_neither_its_beginning_nor_its_end(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    many = [orjson.dumps({"at": n, "event": "looked", "n": n}) for n in range(_MOST)]
    await redis.rpush(keys.job_audit(job.id), *many)  # type: ignore[misc]
    await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
    audit = history_of(job.created_at, await redis.lrange(keys.job_audit(job.id), 0, -1))  # type: ignore[misc]
    assert len(audit) == _MOST + 1
    assert [entry["event"] for entry in (audit[0], audit[1], audit[-1])] == [
        "accepted",
        "looked",
        "cancel_requested",
    ]
    assert {"n": str(_MOST // 2 - 1)}.items() <= audit[_MOST // 2].items()
    assert {"n": str(_MOST // 2 + 1)}.items() <= audit[_MOST // 2 + 1].items()


async def test_the_job_history_has_what_happened_to_the_job_in_order(
    jobs: RedisJobStore, redis: Redis, scripts: Scripts, accept: Accept
) -> None:
    job = await accept()
    claimed = await jobs.claim(await held(redis, Role.SUBMIT, job.id), "run-1")
    assert claimed
    await jobs.release(claimed)
    effects = [BindTask("task-1", "key1"), HoldSlot(), RecordHistory(by="key1")]
    await jobs.apply(claimed, Transition(JobEvent.UPSTREAM_ACCEPTED, effects=effects))
    audit = await RedisJobHistory(scripts).read(job)
    named = [(entry["event"], entry.get("from"), entry.get("to")) for entry in audit]
    assert ("claimed", "queued", "submitting") in named
    assert named[-3:] == [
        ("released", None, None),
        ("upstream_accepted", "submitting", "submitted"),
        ("task_named", None, None),
    ]
    assert audit[-1]["task"] == "task-1"
    assert [entry.get("by") for entry in audit[-3:]] == [None, "key1", "key1"]
    assert {entry["epoch"] for entry in audit[-2:]} == {"1"}
    assert await RedisUnknownJobs(redis).owner_of("task-1") == job.id
