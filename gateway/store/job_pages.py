"""Reads lists of jobs, page by page."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from gateway.jobs import from_fields
from gateway.lifecycle import JobState
from gateway.store import keys
from gateway.store.archive_reader import Archived
from gateway.store.base import Page
from gateway.store.client import store_errors


class Wanted(NamedTuple):
    """As for `JobStore.page`."""

    tenant: str
    states: Sequence[JobState]
    after: str | None
    limit: int
    oldest_first: bool


async def read_page(redis: Redis, archived: Archived, wanted: Wanted) -> Page:
    first, last = ("-", "+") if wanted.oldest_first else ("+", "-")
    if wanted.after:
        first = f"({wanted.after}"
    limit = wanted.limit
    with store_errors():
        async with redis.pipeline(transaction=False) as pipe:
            ranged = pipe.zrangebylex if wanted.oldest_first else pipe.zrevrangebylex
            for state in wanted.states:
                ranged(keys.tenant_jobs(wanted.tenant, state), first, last, 0, limit + 1)
            lists: list[list[str]] = await pipe.execute()
        names = list(heapq.merge(*lists, reverse=not wanted.oldest_first))[: limit + 1]
        async with redis.pipeline(transaction=False) as pipe:
            for name in names[:limit]:
                pipe.hgetall(keys.job(name))
            found: list[dict[str, str]] = await pipe.execute()
    kept = [(name, fields) for name, fields in zip(names[:limit], found, strict=True) if fields]
    documents = await archived.all_of(kept)
    jobs = [
        from_fields(name, {**document.job, **fields} if document else fields)
        for (name, fields), document in zip(kept, documents, strict=True)
        if not isinstance(document, Exception)
    ]
    return Page(jobs, names[limit - 1] if len(names) > limit else None)
