"""The job history: what happened to a job, as the scripts store it beside its record."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.jobs import Job
from gateway.lifecycle import JOB_STARTS, JobEvent
from gateway.store import keys
from gateway.store.archive_reader import NO_ARCHIVE, Archived
from gateway.store.script_runner import Scripts


class RedisJobHistory:
    def __init__(self, scripts: Scripts, archived: Archived = NO_ARCHIVE) -> None:
        self._scripts = scripts
        self._archived = archived

    async def read(self, job: Job) -> list[dict[str, str]]:
        """Everything that happened to the job, oldest first: at (ms), event, from, to, epoch, ... Raises
        MediaStoreUnavailable."""
        [(_, _, digest, found)] = await self._scripts.run("job_histories", [keys.job(job.id)], [])
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
