"""Event streams over real connections: what is published, to whom, and from where on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.jobs import Job
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.store import keys, notifications
from gateway.web.schemas import jobs as schemas
from tests.gateway.store.conftest import stored_body
from tests.gateway.web.api.hearing import Serving, cancel, events_of, fail, hearing, post, serving, submit
from tests.gateway.web.conftest import MakeKey
from tests.gateway.web.parsing import parsed


@pytest.fixture
def server(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


@pytest.fixture
async def key(make_key: MakeKey) -> str:
    return await make_key()


async def test_a_tenant_hears_of_every_step_of_its_jobs_as_it_is_taken(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key) as ear:
        assert ear.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert ear.response.headers["cache-control"] == "no-store"
        job = await post(resources)
        first = await ear.message()
        assert events_of([first]) == [("job.queued", job.id)]
        submitted = await submit(resources, job)
        second = await ear.message()
        await fail(resources, submitted)
        third = await ear.message()
    assert events_of([second, third]) == [("job.submitted", job.id), ("job.failed", job.id)]
    for block in (first, second, third):
        event = parsed(schemas.Event, block.raw)
        assert event["type"] == block.event
    assert first.data["data"]["status"] == "queued"
    assert third.data["data"]["error"]["code"] == "made_up"


async def test_the_end_is_published_with_the_very_bytes_that_webhooks_carry(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key) as ear:
        job = await post(resources, payload_characters=None)
        await cancel(resources, job)
        _, end = await ear.messages(2)
    event = f"evt_{job.id.removeprefix('job_')}_canceled"
    assert end.raw == await stored_body(resources.redis, event)


async def test_who_comes_back_hears_what_it_missed_and_then_what_happens(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key) as ear:
        await post(resources)
        await ear.message()
        seen = ear.last_id
    missed = [await post(resources) for _ in range(250)]  # more than one page
    async with hearing(server.url, key, last_id=seen) as ear:
        late = await post(resources)
        heard = await ear.messages(251)
        await cancel(resources, late)
        end = await ear.message()
    assert events_of(heard) == [("job.queued", job.id) for job in [*missed, late]]
    assert events_of([end]) == [("job.canceled", late.id)]


async def test_nothing_is_lost_or_sent_twice_where_replay_and_news_meet(
    server: Serving, resources: Resources, key: str
) -> None:
    async def go_on_posting() -> list[Job]:
        return [await post(resources) for _ in range(400)]

    first = [await post(resources) for _ in range(50)]
    posting = asyncio.create_task(go_on_posting())
    ears = []
    for _ in range(8):
        async with hearing(server.url, key, last_id="0-0") as ear:
            ears.append(events_of(await ear.messages(60)))
    async with hearing(server.url, key, last_id="0") as ear:
        whole = events_of(await ear.messages(450))
    assert whole == [("job.queued", job.id) for job in [*first, *await posting]]
    for heard in ears:
        assert heard == whole[:60]


async def test_the_query_says_where_to_begin_and_the_header_where_to_go_on(
    server: Serving, resources: Resources, key: str
) -> None:
    jobs = [await post(resources) for _ in range(3)]
    async with hearing(server.url, key, "/v1/events?after=0") as ear:
        heard = await ear.messages(3)
    assert events_of(heard) == [("job.queued", job.id) for job in jobs]
    async with hearing(server.url, key, f"/v1/events?after={heard[1].id}") as ear:
        assert events_of([await ear.message()]) == [("job.queued", jobs[2].id)]
    async with hearing(server.url, key, "/v1/events?after=0", last_id=heard[1].id) as ear:
        assert events_of([await ear.message()]) == [("job.queued", jobs[2].id)]


async def test_who_got_nothing_yet_can_come_back_all_the_same(
    server: Serving, resources: Resources, key: str
) -> None:
    await post(resources)
    async with hearing(server.url, key) as ear:
        seen = ear.last_id
    missed = await post(resources)
    async with hearing(server.url, key, last_id=seen) as ear:
        assert events_of([await ear.message()]) == [("job.queued", missed.id)]


async def test_only_the_types_that_are_asked_for_are_published(
    server: Serving, resources: Resources, key: str
) -> None:
    async with (
        hearing(server.url, key, "/v1/events?types=job.canceled,job.failed") as some,
        hearing(server.url, key, "/v1/events?types=job.*") as every,
    ):
        job = await post(resources)
        await cancel(resources, job)
        assert events_of([await some.message()]) == [("job.canceled", job.id)]
        assert events_of(await every.messages(2)) == [("job.queued", job.id), ("job.canceled", job.id)]
    async with hearing(server.url, key, "/v1/events?types=job.canceled", last_id="0") as some:
        assert events_of([await some.message()]) == [("job.canceled", job.id)]


async def test_events_that_are_kept_no_longer_are_a_gap_and_the_rest_follows(
    server: Serving, resources: Resources, key: str
) -> None:
    jobs = [await post(resources) for _ in range(5)]
    ids = [name for name, _ in await resources.redis.xrange(keys.tenant_events("acme"))]
    await resources.redis.xtrim(keys.tenant_events("acme"), maxlen=2, approximate=False)
    async with hearing(server.url, key, last_id=ids[1]) as ear:
        gap, *rest = await ear.messages(3)
        assert gap.event == "gap"
        assert gap.data["data"]["after"] == ids[1]
        assert gap.data["data"]["oldest"] == ids[3]
        assert gap.id == ""
        assert events_of(rest) == [("job.queued", job.id) for job in jobs[3:]]
    async with hearing(server.url, key, last_id=ids[3]) as ear:
        assert events_of([await ear.message()]) == [("job.queued", jobs[4].id)]
    async with hearing(server.url, key, last_id="0") as ear:  # asks for what there is
        assert events_of(await ear.messages(2)) == [("job.queued", job.id) for job in jobs[3:]]


async def test_an_id_that_this_redis_never_gave_is_a_gap_and_does_not_silence_the_stream(
    server: Serving, resources: Resources, key: str
) -> None:
    await post(resources)
    async with hearing(server.url, key, last_id="99999999999999-0") as ear:
        assert (await ear.message()).event == "gap"
        job = await post(resources)
        assert events_of([await ear.message()]) == [("job.queued", job.id)]


async def test_a_stream_of_a_tenant_of_which_nothing_is_known_begins_with_the_first_event(
    server: Serving, resources: Resources, key: str
) -> None:
    async with hearing(server.url, key) as ear:
        job = await post(resources)
        assert events_of([await ear.message()]) == [("job.queued", job.id)]


async def test_no_tenant_hears_of_another_s_jobs(
    server: Serving, resources: Resources, key: str, make_key: MakeKey
) -> None:
    theirs = await post(resources, "other")
    async with (
        hearing(server.url, key) as mine,
        hearing(server.url, await make_key("other"), last_id="0") as other,
    ):
        assert events_of([await other.message()]) == [("job.queued", theirs.id)]
        await cancel(resources, theirs)
        assert events_of([await other.message()]) == [("job.canceled", theirs.id)]
        job = await post(resources)
        assert events_of([await mine.message()]) == [("job.queued", job.id)]


async def test_a_forgotten_job_is_passed_over(server: Serving, resources: Resources, key: str) -> None:
    gone, kept = await post(resources), await post(resources)
    await resources.redis.delete(keys.job(gone.id))
    async with hearing(server.url, key, last_id="0") as ear:
        assert events_of([await ear.message()]) == [("job.queued", kept.id)]


async def test_a_subscription_that_breaks_costs_no_event(
    settings: Settings, resources: Resources, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "CHECK_SECONDS", 3600)
    with serving(settings) as server:
        async with hearing(server.url, key) as ear:
            [listening] = [one["id"] for one in await resources.redis.client_list() if one["sub"] == "1"]
            await resources.redis.client_kill_filter(_id=listening)
            job = await post(resources)
            assert events_of([await ear.message()]) == [("job.queued", job.id)]
