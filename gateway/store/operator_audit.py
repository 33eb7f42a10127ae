"""The operators' audit, by page or by time range, and the histories of jobs that finished in a time range."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from redis.asyncio import Redis

from gateway.errors import ArchiveLost, NotFound
from gateway.store import keys
from gateway.store.archive_reader import FIELD, NO_ARCHIVE, Archived
from gateway.store.client import store_errors
from gateway.store.job_history import history_of
from gateway.store.ops_log import Entries, newest
from gateway.store.script_runner import Scripts

#: Entries that an export reads at once and holds in memory.
BATCH: Final = 200


class RedisAudit:
    """Every call may raise StoreUnavailable, and that of the jobs MediaStoreUnavailable. Times: ms."""

    def __init__(self, redis: Redis, scripts: Scripts, archived: Archived = NO_ARCHIVE) -> None:
        self._redis = redis
        self._scripts = scripts
        self._archived = archived

    async def page(self, before: str | None, limit: int) -> Entries:
        """The audit entries earlier than the entry `before`, newest first; `more` when older ones follow."""
        found = await newest(self._redis, keys.AUDIT, before, limit + 1)
        rows = [_entry(name, fields) for name, fields in found]
        return Entries(rows[:limit], more=len(rows) > limit)

    async def between(self, since: int, until: int) -> AsyncIterator[list[dict[str, str]]]:
        """Batches of audit entries, oldest first."""
        first: str | int = since
        while True:
            with store_errors():
                found = await self._redis.xrange(keys.AUDIT, first, until, count=BATCH)
            if not found:
                return
            yield [_entry(name, fields) for name, fields in found]
            first = f"({found[-1][0]}"

    async def of_jobs(self, since: int, until: int) -> AsyncIterator[list[dict[str, str]]]:
        """Batches of history entries of the jobs that became final in that time, job by job, oldest first. Of
        a job whose archive is lost, only those that Redis has."""
        skip, start = 0, since
        while True:
            with store_errors():
                found = await self._redis.zrangebyscore(
                    keys.FINISHED, start, until, skip, BATCH, withscores=True
                )
            if not found:
                return
            yield await self._histories([name for name, _ in found])
            last = int(found[-1][1])
            # more jobs of the same millisecond may follow
            same = sum(int(at) == last for _, at in found)
            skip, start = (skip + same, last) if last == start else (same, last)

    async def _histories(self, names: Sequence[str]) -> list[dict[str, str]]:
        found = await self._scripts.run("job_histories", [keys.job(name) for name in names], [])
        documents = await self._archived.all_of(
            [(name, {FIELD: one[2]} if one[2] else {}) for name, one in zip(names, found, strict=True)]
        )
        lines: list[dict[str, str]] = []
        for name, (tenant, created, _, noted), document in zip(names, found, documents, strict=True):
            if tenant is not None and not isinstance(document, NotFound):
                earlier = () if document is None or isinstance(document, ArchiveLost) else document.history
                history = [*earlier, *noted]
                lines += [
                    {"job": name, "tenant": tenant, **entry} for entry in history_of(int(created), history)
                ]
        return lines


def _entry(name: str, fields: Mapping[str, str]) -> dict[str, str]:
    given = {field: value for field, value in fields.items() if value != ""}
    return {"id": name, "at": name.partition("-")[0], **given}
