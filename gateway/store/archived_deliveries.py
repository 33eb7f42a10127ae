"""What the media store has of deliveries whose job is archived: their events, and earlier attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from gateway.errors import ArchiveLost, NotFound
from gateway.store import arguments, delivery_log, keys
from gateway.store.archive_reader import FIELD, Archived
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts


class ArchivedDeliveries:
    """Every call may raise StoreUnavailable and MediaStoreUnavailable."""

    def __init__(self, redis: Redis, scripts: Scripts, archived: Archived) -> None:
        self._redis = redis
        self._scripts = scripts
        self._archived = archived

    async def completed(self, job_id: str, names: Sequence[str]) -> list[tuple[str, Mapping[str, str]]]:
        """Those of these deliveries of the job that exist, with all attempts in their logs: the archived ones
        before those that are stored."""
        digest, *found = await self._scripts.run("job_deliveries", [keys.job(job_id)], names)
        logs: Mapping[str, str] = {}
        if digest is not None:
            try:
                logs = (await self._archived.document(job_id, digest)).logs
            except NotFound:  # forgotten, with its deliveries
                return []
        return [
            (name, {**fields, "log": delivery_log.joined(logs[name], fields.get("log"))})
            if name in logs
            else (name, fields)
            for name, fields in zip(names, map(arguments.pairs, found), strict=True)
            if fields
        ]

    async def event(self, job_id: str, event_id: str) -> Mapping[str, str]:
        """The fields of an event that Redis no longer has; empty if it is lost."""
        with store_errors():
            digest = await self._redis.hget(keys.job(job_id), FIELD)  # type: ignore[misc]
        if digest is None:
            return {}
        try:
            return (await self._archived.document(job_id, digest)).events.get(event_id, {})
        except (ArchiveLost, NotFound):  # the log says so, or it was forgotten
            return {}
