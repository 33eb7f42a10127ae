"""The job history: what happened to a job, as the scripts store it beside its record."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from redis.asyncio import Redis

from gateway.jobs import Job
from gateway.lifecycle import JOB_STARTS, JobEvent
from gateway.store import keys
from gateway.store.archive_reader import FIELD, NO_ARCHIVE, Archived
from gateway.store.client import store_errors


class RedisJobHistory:
    def __init__(self, redis: Redis, archived: Archived = NO_ARCHIVE) -> None:
        self._redis = redis
        self._archived = archived

    async def read(self, job: Job) -> list[dict[str, str]]:
        """Everything that happened to the job, oldest first: at (ms), event, from, to, epoch, ... Raises
        MediaStoreUnavailable."""
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hget(keys.job(job.id), FIELD)
                pipe.lrange(keys.job_audit(job.id), 0, -1)
                digest, found = await pipe.execute()
        if digest is not None:
            found = [*(await self._archived.document(job.id, digest)).history, *found]
        return history_of(job.created_at, found)


def history_of(created_at: int, noted: Sequence[str]) -> list[dict[str, str]]:
    """Entries, oldest first: at (ms), event, from, to, epoch, ... The acceptance is not stored, so this adds
    it; a job that was rebuilt from a callback begins with that instead. Nor is `from` stored: it is where the
    entry before led to."""
    entries = [
        {name: str(value) for name, value in orjson.loads(text).items() if value not in ("", None)}
        for text in noted
    ]
    if not entries or entries[0]["event"] != JobEvent.REBUILT:
        event = JobEvent.ACCEPTED
        entries.insert(0, {"at": str(created_at), "event": event, "to": JOB_STARTS[event]})
    phase = None
    for entry in entries:
        if "to" in entry:
            if phase is not None:
                entry.setdefault("from", phase)
            phase = entry["to"]
    return entries
