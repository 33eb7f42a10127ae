"""What the media store has of deliveries whose job is archived: their events, and earlier attempts."""

from __future__ import annotations

from collections.abc import Mapping

from redis.asyncio import Redis

from gateway.errors import ArchiveLost
from gateway.store import keys
from gateway.store.archive_document import Document
from gateway.store.archived import FIELD, Archived
from gateway.store.client import store_errors


class PastDeliveries:
    """Every call may raise StoreUnavailable and MediaStoreUnavailable."""

    def __init__(self, redis: Redis, archived: Archived) -> None:
        self._redis = redis
        self._archived = archived

    async def document(self, job_id: str) -> Document | None:
        """What was archived of the job; None if it is not archived."""
        with store_errors():
            digest = await self._redis.hget(keys.job(job_id), FIELD)  # type: ignore[misc]
        return None if digest is None else await self._archived.document(job_id, digest)

    async def event(self, job_id: str, event_id: str) -> Mapping[str, str]:
        """The fields of an event that Redis no longer has; empty if it is lost."""
        try:
            document = await self.document(job_id)
        except ArchiveLost:  # its log says so
            return {}
        return document.events.get(event_id, {}) if document else {}
