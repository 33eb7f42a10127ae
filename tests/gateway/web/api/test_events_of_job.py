"""The event stream of one job: its past events, what happens to it, and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys
from tests.gateway.web.api.hearing import Serving, cancel, events_of, fail, hearing, post, serving, submit
from tests.gateway.web.conftest import MakeKey


@pytest.fixture
def server(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


@pytest.fixture
async def key(make_key: MakeKey) -> str:
    return await make_key()


@pytest.fixture
async def client(server: Serving, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10) as opened:
        yield opened


async def test_a_job_s_stream_has_its_past_events_then_what_happens_and_ends_with_the_job(
    server: Serving, resources: Resources, key: str
) -> None:
    job = await post(resources)
    other = await post(resources)
    submitted = await submit(resources, job)
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events") as ear:
        heard = await ear.messages(2)
        await cancel(resources, other)
        await fail(resources, submitted)
        heard += await ear.to_the_end()
        seen = ear.last_id
    assert events_of(heard) == [("job.queued", job.id), ("job.submitted", job.id), ("job.failed", job.id)]
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events", heard[1].id) as ear:
        rest = await ear.to_the_end()
    assert events_of(rest) == [("job.failed", job.id)]
    assert rest[0].id == seen


async def test_who_heard_all_of_a_job_is_asked_not_to_come_back(
    server: Serving, resources: Resources, key: str, client: httpx.AsyncClient
) -> None:
    job = await post(resources)
    await cancel(resources, job)
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events") as ear:
        await ear.to_the_end()
    answer = await client.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": ear.last_id})
    assert answer.status_code == 204
    assert answer.content == b""


async def test_a_late_result_is_published_after_the_end(
    server: Serving, resources: Resources, key: str
) -> None:
    job = await submit(resources, await post(resources))
    await fail(resources, job)
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events") as ear:
        await ear.to_the_end()
    async with hearing(server.url, key) as whole:
        await resources.redis.xadd(keys.tenant_events("acme"), {"type": "job.late_result", "job": job.id})
        newest = await resources.tenant_events.tail("acme")
        await resources.redis.hset(keys.job(job.id), "told:job.late_result", newest)  # type: ignore[misc]
        event = f"evt_{job.id.removeprefix('job_')}_late_result"
        await resources.redis.hset(keys.event(event), "body", '{"type":"x","data":{"id":"y"}}')  # type: ignore[misc]
        await resources.redis.publish(keys.CHANGES, f"acme {job.id} job.late_result {newest}")
        assert (await whole.message()).event == "job.late_result"
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events", ear.last_id) as ear:
        assert [block.event for block in await ear.to_the_end()] == ["job.late_result"]


async def test_a_job_that_finished_before_events_existed_has_its_end_in_the_stream(
    server: Serving, resources: Resources, key: str
) -> None:
    job = await post(resources)
    await cancel(resources, job)
    await resources.redis.delete(keys.tenant_events("acme"))
    await resources.redis.hdel(keys.job(job.id), "told:job.queued", "told:job.canceled")  # type: ignore[misc]
    async with hearing(server.url, key, f"/v1/jobs/{job.id}/events") as ear:
        assert events_of([await ear.message()]) == [("job.canceled", job.id)]
        assert await ear.to_the_end() == []
