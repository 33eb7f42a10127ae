"""Reads a page of jobs from the index of each state, and at most one job more than it shows."""

from __future__ import annotations

import heapq

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.archive_reader import Archived
from gateway.store.client import store_errors
from gateway.store.job_fields import from_fields
from gateway.store.paging import JobQuery, Page


async def read_page(redis: Redis, archived: Archived, query: JobQuery) -> Page:
    """As of `JobStore.page`."""
    low, high = query.bounds
    limit = query.limit
    with store_errors():
        async with redis.pipeline(transaction=False) as pipe:
            for state in query.states:
                index = keys.tenant_jobs(query.tenant, state)
                if query.oldest_first:
                    pipe.zrangebylex(index, low, high, 0, limit + 1)
                else:
                    pipe.zrevrangebylex(index, high, low, 0, limit + 1)
            lists: list[list[str]] = await pipe.execute()
        names = list(heapq.merge(*lists, reverse=not query.oldest_first))[: limit + 1]
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
