"""Reading once for all who listen: whatever fails, nothing is lost, doubled or waited for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from gateway.errors import LimitReached, MediaStoreUnavailable, StoreUnavailable
from gateway.jobs import submit_ticket
from gateway.resources import Resources
from gateway.store import keys
from gateway.store.archive_reader import Archived
from gateway.store.archive_writer import Moved
from gateway.store.event_log import Entry, RedisTenantEvents
from gateway.web.schemas import jobs
from gateway.web.streams import hub as streams_module
from gateway.web.streams.hub import CHUNK_BYTES, PAGE, Chunk, Listener, Message, Streams, gap
from tests.gateway.web.api.hearing import SECONDS, post
from tests.gateway.web.parsing import parsed


class Failing(RedisTenantEvents):
    """`errors`: what the next readings end with, the last one first. `broken`: a job of which nothing can be
    told. `no_crash_point`: set, or nothing is read. `stalled`: set when the media store was away."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources.redis, archived=Archived(resources.media))
        self.errors: list[Exception] = []
        self.broken = ""
        self.stalled = asyncio.Event()
        self.no_crash_point = asyncio.Event()
        self.no_crash_point.set()

    async def after(self, places: Sequence[tuple[str, str]], count: int) -> list[list[Entry]]:
        await self.no_crash_point.wait()
        return await super().after(places, count)

    async def bodies(self, entries: Sequence[Entry]) -> list[bytes | None]:
        if entries and self.errors:
            raise self.errors.pop()
        if any(entry.job_id == self.broken for entry in entries):
            raise RuntimeError("a bug")
        try:
            return await super().bodies(entries)
        except MediaStoreUnavailable:
            self.stalled.set()
            raise


@pytest.fixture
def events(resources: Resources) -> Failing:
    return Failing(resources)


@asynccontextmanager
async def reading(resources: Resources, events: Failing, most: int = 10) -> AsyncIterator[Streams]:
    async with resources.notifications, Streams(resources.notifications, events, most) as streams:
        yield streams


async def heard(listener: Listener, number: int) -> list[Message]:
    """So many messages, at least."""
    found: list[Message] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < number:
            await listener.signal.wait()
            listener.signal.was_notified()
            found += listener.take()
    return found


async def test_what_could_not_be_read_is_read_again_and_published_once(
    resources: Resources, events: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_RETRY_SECONDS", 0.01)
    with capture_logs() as logged:
        async with reading(resources, events) as streams, streams.feed("acme") as feed:
            listener = Listener()
            with feed.joined(listener):
                events.errors = [StoreUnavailable("away"), StoreUnavailable("away")]
                jobs = [await post(resources) for _ in range(3)]
                found = await heard(listener, 3)
                await asyncio.sleep(0.05)
                found += listener.take()
    assert [message.type for message in found] == ["job.queued"] * 3
    assert all(job.id.encode() in one.block for job, one in zip(jobs, found, strict=True))
    assert [one["event"] for one in logged] == ["event_streams_stalled", "event_streams_go_on"]


async def test_a_feed_waits_for_the_media_store_of_an_archived_job_and_skips_nothing(
    resources: Resources, events: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "_RETRY_SECONDS", 0.01)
    folder = resources.settings.blob_dir
    with capture_logs() as logged:
        async with reading(resources, events) as streams, streams.feed("acme") as feed:
            listener = Listener()
            with feed.joined(listener):
                events.no_crash_point.clear()
                job = await post(resources)
                await resources.settlement.cancel(job, [submit_ticket(job)])
                assert await resources.archive.move(job.id) is Moved.ARCHIVED
                after = await post(resources)
                folder.rename(folder.with_name("away"))
                events.no_crash_point.set()
                async with asyncio.timeout(SECONDS):
                    await events.stalled.wait()
                assert (listener.take(), listener.closed) == ([], None)
                folder.with_name("away").rename(folder)
                found = await heard(listener, 3)
    assert [message.type for message in found] == ["job.queued", "job.canceled", "job.queued"]
    told = [job.id, job.id, after.id]
    assert all(name.encode() in one.block for name, one in zip(told, found, strict=True))
    seen = [line["event"] for line in logged if line["event"].startswith("event_streams")]
    assert seen == ["event_streams_stalled", "event_streams_go_on"]


async def test_a_fault_of_ours_ends_the_streams_that_it_strikes_instead_of_silencing_them(
    resources: Resources, events: Failing
) -> None:
    with capture_logs() as logged:
        async with reading(resources, events) as streams, streams.feed("acme") as feed:
            struck, later = Listener(), Listener()
            with feed.joined(struck):
                events.errors = [RuntimeError("a bug")]
                await post(resources)
                async with asyncio.timeout(SECONDS):
                    await struck.signal.wait()
                assert struck.closed is not None
            with feed.joined(later):
                await post(resources)
                assert await heard(later, 1)
    assert [one["event"] for one in logged] == ["event_streams_failed"]


async def test_a_fault_with_one_tenant_s_events_ends_no_stream_of_another_that_is_read_with_it(
    resources: Resources, events: Failing
) -> None:
    with capture_logs() as logged:
        async with (
            reading(resources, events) as streams,
            streams.feed("acme") as ours,
            streams.feed("other") as theirs,
        ):
            struck, spared, later = Listener(), Listener(), Listener()
            with ours.joined(struck), theirs.joined(spared):
                events.no_crash_point.clear()
                streams._mark_updated("acme")
                streams._mark_updated("other")  # so that both are read together
                events.broken = (await post(resources)).id
                jobs = [await post(resources, "other") for _ in range(3)]
                events.no_crash_point.set()
                found = await heard(spared, 3)
                async with asyncio.timeout(SECONDS):
                    await struck.signal.wait()
                assert struck.closed is not None
                assert spared.closed is None
            with ours.joined(later):
                await post(resources)
                assert len(await heard(later, 1)) == 1
    assert all(job.id.encode() in one.block for job, one in zip(jobs, found, strict=True))
    assert [(one["event"], one["tenant"]) for one in logged] == [("event_streams_failed", "acme")]


async def test_a_piece_is_as_many_messages_as_it_may_hold_and_one_at_least(
    resources: Resources, events: Failing
) -> None:
    large = [await post(resources, callback_url="x" * CHUNK_BYTES) for _ in range(2)]
    small = [await post(resources, callback_url="x" * (CHUNK_BYTES // 3)) for _ in range(3)]
    gone = Entry("1-0", "job.queued", "job_of_nobody")
    [page] = await events.after([("acme", "0-0")], PAGE)
    async with reading(resources, events) as streams:
        first = await streams.chunk(page)
        rest = await streams.chunk(page[2:])
        none = await streams.chunk([gone])
        around = await streams.chunk([gone, page[0], gone, page[1]])
    assert first.taken == 1
    assert large[0].id.encode() in first.block
    assert large[1].id.encode() not in first.block
    assert rest.taken == 2
    assert [job.id.encode() in rest.block for job in small] == [True, True, False]
    assert none == Chunk(b"", 1)
    assert around == Chunk(first.block, 3)


def test_a_gap_has_the_documented_body_and_no_id() -> None:
    event, data = gap("1-0", "5-0").block.decode().strip().split("\n")
    assert event == "event: gap"
    shown = parsed(jobs.Gap, data.removeprefix("data: "))
    assert (shown["data"]["after"], shown["data"]["oldest"]) == ("1-0", "5-0")


async def test_a_reading_that_was_overtaken_by_the_cut_is_a_gap(
    resources: Resources, events: Failing
) -> None:
    async with reading(resources, events) as streams, streams.feed("acme") as feed:
        listener = Listener()
        with feed.joined(listener):
            events.no_crash_point.clear()
            jobs = [await post(resources) for _ in range(PAGE + 50)]
            await resources.redis.xtrim(keys.tenant_events("acme"), maxlen=PAGE + 20, approximate=False)
            events.no_crash_point.set()
            gap, *rest = await heard(listener, 1 + PAGE + 20)
    assert (gap.gap, gap.type) == (True, "gap")
    assert len(rest) == PAGE + 20
    assert all(job.id.encode() in one.block for job, one in zip(jobs[30:], rest, strict=True))


async def test_a_queue_that_is_full_closes_its_listener_and_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams_module, "QUEUE_MAX", 2)
    listener = Listener()
    for number in range(4):
        listener.offer(Message((number, 0), "job.queued", b""))
    assert listener.closed is not None
    assert listener.take() == []


async def test_a_tenant_s_limit_is_its_own_and_what_is_closed_makes_room(
    resources: Resources, events: Failing
) -> None:
    async with reading(resources, events, most=1) as streams:
        async with streams.feed("acme"), streams.feed("other"):
            assert streams.open == 2
            with pytest.raises(LimitReached):
                async with streams.feed("acme"):
                    pass
        async with streams.feed("acme"):
            pass
        assert streams.open == 0
        assert streams._feeds == {}


async def test_only_what_somebody_wants_is_read(resources: Resources, events: Failing) -> None:
    wanted: list[str] = []

    async def bodies(entries: Sequence[Entry]) -> list[bytes | None]:
        wanted.extend(entry.type for entry in entries)
        return [b"{}" for _ in entries]

    async with reading(resources, events) as streams, streams.feed("acme") as feed:
        events.bodies = bodies  # type: ignore[method-assign]
        some, one = Listener(frozenset({"job.failed"})), Listener(job_id="job_of_nobody")
        every = Listener()
        with feed.joined(some), feed.joined(one):
            for _ in range(3):
                await post(resources)
            newest = await resources.tenant_events.tail("acme")
            async with asyncio.timeout(SECONDS):
                while feed.offered != newest:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert wanted == []
            with feed.joined(every):
                await post(resources)
                await heard(every, 1)
    assert wanted == ["job.queued"]
