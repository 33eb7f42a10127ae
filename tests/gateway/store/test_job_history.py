"""What happened to a job: the beginning and the end are kept, whatever happens in between."""

from __future__ import annotations

import orjson
from redis.asyncio import Redis

from gateway.lifecycle import JobEvent
from gateway.store import keys
from gateway.store.job_history import audit_of
from gateway.store.jobs import RedisJobStore
from gateway.store.transitions import Transition
from tests.gateway.store.conftest import Accept

_MOST = 500


async def test_a_job_that_waits_has_no_list_and_an_audit_all_the_same(redis: Redis, accept: Accept) -> None:
    job = await accept()
    assert not await redis.exists(keys.job_audit(job.id))
    assert audit_of(job.created_at, []) == [{"at": str(job.created_at), "event": "accepted", "to": "queued"}]


async def test_a_job_that_was_rebuilt_was_never_accepted() -> None:
    noted = [orjson.dumps({"at": 7, "event": "rebuilt", "to": "submitted", "epoch": 1}).decode()]
    assert audit_of(1, noted) == [{"at": "7", "event": "rebuilt", "to": "submitted", "epoch": "1"}]


async def test_what_is_left_out_of_a_long_audit_is_neither_its_beginning_nor_its_end(
    redis: Redis, jobs: RedisJobStore, accept: Accept
) -> None:
    job = await accept()
    many = [orjson.dumps({"at": n, "event": "looked", "n": n}) for n in range(_MOST)]
    await redis.rpush(keys.job_audit(job.id), *many)  # type: ignore[misc]
    await jobs.apply(job, Transition(JobEvent.CANCEL_REQUESTED))
    audit = audit_of(job.created_at, await redis.lrange(keys.job_audit(job.id), 0, -1))  # type: ignore[misc]
    assert len(audit) == _MOST + 1
    assert [entry["event"] for entry in (audit[0], audit[1], audit[-1])] == [
        "accepted",
        "looked",
        "cancel_requested",
    ]
    assert {"n": str(_MOST // 2 - 1)}.items() <= audit[_MOST // 2].items()
    assert {"n": str(_MOST // 2 + 1)}.items() <= audit[_MOST // 2 + 1].items()
