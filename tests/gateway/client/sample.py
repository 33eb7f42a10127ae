"""A program as users write it. `make check` finds that its types are those that the client promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, assert_type

from gateway.client import AsyncClient, Client, Endpoint, Event, Job, Upload, errors, webhooks


def blocking(client: Client) -> Job:
    job = client.jobs.submit("the fox", [Path("fox.png"), "https://x/y.png"], duration=5, wait=20)
    assert_type(job, Job)
    assert_type(client.jobs.wait(job, timeout=None, progress=print), Job)
    assert_type(client.jobs.download(job, "fox.mp4"), Path)
    assert_type(client.uploads.create(b"..."), Upload)
    assert_type(iter(client.jobs.list(status="failed")), Iterator[Job])
    assert_type([page.data for page in client.jobs.list().pages()], list[tuple[Job, ...]])
    assert_type(client.jobs.list().first(), Job | None)
    assert_type(iter(client.events(types=["job.completed"])), Iterator[Event])
    assert_type(client.endpoints.update("ep_1", disabled=True, slots=None), Endpoint)
    client.jobs.submit("the fox", [], duration="5")  # type: ignore[arg-type]
    client.jobs.submit("the fox", [], resolution="4k")  # type: ignore[arg-type]
    client.jobs.submit("the fox", [], seconds=5)  # type: ignore[call-arg]
    client.jobs.list(status="done")  # type: ignore[arg-type]
    try:
        return client.jobs.get(job.id)
    except errors.RateLimited as error:
        assert_type(error.retry_after, float | None)
        raise


async def asynchronous(client: AsyncClient) -> Job:
    waits: Coroutine[Any, Any, Job] = client.jobs.get("job_1")
    assert_type(await waits, Job)
    job = await client.jobs.submit("the fox", [Path("fox.png")], duration=5)
    assert_type(job, Job)
    assert_type(aiter(client.jobs.list()), AsyncIterator[Job])
    assert_type(await client.jobs.list().first(), Job | None)
    async for event in client.jobs.events(job):
        assert_type(event.job, Job | None)
    for _ in client.jobs.list():  # type: ignore[misc]
        pass
    return await client.jobs.wait(job)


def received(headers: dict[str, str], body: bytes) -> Event:
    return webhooks.verify(headers, body, secrets=["whsec_..."])
