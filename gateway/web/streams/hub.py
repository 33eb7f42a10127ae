"""The event streams of one process: each tenant's events are read once and passed to all its listeners here.

A notification only triggers a read of the tenant's stream from the last position (`read`), so a lost
notification never loses an event. The bytes of each event are built once and shared by all listeners.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple

import orjson
import structlog

from gateway.background import cancel_all
from gateway.errors import LimitReached, Unavailable
from gateway.local.shared_memory import Held, Shared
from gateway.store.event_log import START, Entry, RedisTenantEvents, event_position
from gateway.store.notifications import Notifications, WakeSignal
from gateway.telemetry.logs import Outage

#: Maximum number of messages queued for one client.
QUEUE_MAX: Final = 1000
PAGE: Final = 100
#: Size of one write to a client, and of what is buffered for one that catches up, unless a message is larger.
CHUNK_BYTES: Final = 65_536
#: Maximum number of a tenant's streams that read missed events at the same time.
_CATCH_UP_AT_ONCE: Final = 4
_FEEDS_AT_ONCE: Final = 8
_RETRY_SECONDS: Final = 0.5
_FULL_RETRY_SECONDS: Final = 15


class Message(NamedTuple):
    """What is sent for one event. `position`: in the tenant's stream, comparable. `gap`: it reports missing
    events instead."""

    position: tuple[int, int]
    type: str
    block: bytes
    gap: bool = False


def message(entry: Entry, body: bytes) -> Message:
    block = b"id: %s\nevent: %s\ndata: %s\n\n" % (entry.id.encode(), entry.type.encode(), body)
    return Message(event_position(entry.id), entry.type, block)


def gap(after: str, oldest: str) -> Message:
    """Reports that events between `after` and `oldest` are no longer kept. It has no id, because a client
    cannot continue from it."""
    detail = "events are missing here because they are no longer kept; check your jobs with GET /v1/jobs"
    data = {"type": "gap", "data": {"after": after, "oldest": oldest, "message": detail}}
    return Message(event_position(oldest), "gap", b"event: gap\ndata: %s\n\n" % orjson.dumps(data), gap=True)


class Chunk(NamedTuple):
    """One write with the first `taken` of the given entries."""

    block: bytes
    taken: int


class Listener:
    """The queue of one open stream. `types`: None for all. `job_id`: None for all jobs of the tenant.
    `closed`: the reason why it accepts no more messages."""

    __slots__ = ("_queue", "closed", "job_id", "signal", "types")

    def __init__(self, types: frozenset[str] | None = None, job_id: str | None = None) -> None:
        self.types = types
        self.job_id = job_id
        self.signal = WakeSignal()
        self.closed: str | None = None
        self._queue: list[Message] = []

    def wants(self, kind: str) -> bool:
        return self.types is None or kind in self.types

    def offer(self, offered: Message) -> None:
        if self.closed is None:
            if len(self._queue) < QUEUE_MAX:
                self._queue.append(offered)
                self.signal.notify()
            else:
                self.close("the client reads too slowly")

    def close(self, why: str) -> None:
        self.closed = self.closed or why
        self._queue = []
        self.signal.notify()

    def take(self) -> list[Message]:
        """Remove and return all queued messages."""
        taken, self._queue = self._queue, []
        return taken


class Feed:
    """A tenant's events in this process.

    `read`: position up to which its stream was read; None at first. `offered`: position up to which events
    were passed to the listeners. `users`: number of open streams, including those that are still catching up.
    `catch_up_slots`: held by a stream that catches up while it reads, but never while it waits for a client.
    """

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.read: str | None = None
        self.offered = START
        self.users = 0
        self.catch_up_slots = asyncio.Semaphore(_CATCH_UP_AT_ONCE)
        self._of_all: set[Listener] = set()
        self._of_job: dict[str, set[Listener]] = {}

    @contextlib.contextmanager
    def joined(self, listener: Listener) -> Iterator[None]:
        """Within the block the listener gets every event that is read."""
        if listener.job_id is None:
            self._of_all.add(listener)
        else:
            self._of_job.setdefault(listener.job_id, set()).add(listener)
        try:
            yield
        finally:
            self._of_all.discard(listener)
            if listener.job_id is not None:
                self._of_job[listener.job_id].discard(listener)
                if not self._of_job[listener.job_id]:
                    del self._of_job[listener.job_id]

    def listeners(self, entry: Entry | None = None) -> list[Listener]:
        """The listeners that want this entry; without an entry, all listeners."""
        if entry is None:
            return [*self._of_all, *(one for some in self._of_job.values() for one in some)]
        return [
            *(listener for listener in self._of_all if listener.wants(entry.type)),
            *self._of_job.get(entry.job_id, ()),
        ]


class Streams:
    """`async with streams:` reads for all feeds. `limit`: maximum number of open streams per tenant, which
    are counted in `held`."""

    def __init__(
        self, notifications: Notifications, events: RedisTenantEvents, limit: int, held: Held | None = None
    ) -> None:
        self._notifications = notifications
        self._events = events
        self._limit = limit
        self._held = held or Shared().held
        self._feeds: dict[str, Feed] = {}
        self._updated: dict[str, None] = {}  # tenants with new events, in order of notification
        self._signal = WakeSignal()
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> int:
        return sum(feed.users for feed in list(self._feeds.values()))

    async def __aenter__(self) -> Streams:
        self._task = asyncio.create_task(self._run(), name="event streams")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await cancel_all(self._task)

    @contextlib.asynccontextmanager
    async def feed(self, tenant: str) -> AsyncIterator[Feed]:
        """The tenant's feed, which is read while it has users. Raises LimitReached or Unavailable."""
        detail = f"{self._limit} event streams of this tenant are open; close one, or use one for all jobs"
        too_many = LimitReached(detail, _FULL_RETRY_SECONDS, limit="open_streams")
        with self._held.one(f"streams {tenant}", self._limit, too_many):
            feed = self._feeds.get(tenant)
            if feed is None:
                feed = self._feeds[tenant] = Feed(tenant)
                self._notifications.follow(tenant, lambda: self._mark_updated(tenant))
            feed.users += 1
            try:
                if feed.read is None:
                    tail = await self._events.tail(tenant)
                    if feed.read is None:
                        feed.read = feed.offered = tail
                yield feed
            finally:
                feed.users -= 1
                if feed.users == 0:
                    del self._feeds[tenant]
                    self._notifications.unfollow(tenant)

    async def chunk(self, entries: Sequence[Entry]) -> Chunk:
        """As many of these as fit into `CHUNK_BYTES`, at least one. Events of deleted jobs are skipped."""
        bodies = await self._events.bodies(entries)
        blocks: list[bytes] = []
        size = taken = 0
        for entry, body in zip(entries, bodies, strict=True):
            if body is not None:
                block = message(entry, body).block
                size += len(block)
                if blocks and size > CHUNK_BYTES:
                    break
                blocks.append(block)
            taken += 1
        return Chunk(b"".join(blocks), taken)

    def _mark_updated(self, tenant: str) -> None:
        self._updated[tenant] = None
        self._signal.notify()

    async def _run(self) -> None:
        outage = Outage("event_streams_stalled", "event_streams_go_on")
        while True:
            await self._signal.wait()
            self._signal.was_notified()
            while self._updated:
                names = list(self._updated)[:_FEEDS_AT_ONCE]
                for name in names:
                    del self._updated[name]
                feeds = [feed for name in names if (feed := self._feeds.get(name)) and feed.read is not None]
                try:
                    await self._advance_all(feeds)
                    outage.recovered()
                except Unavailable as error:
                    outage.failed(str(error))
                    self._updated.update(dict.fromkeys(names))
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _advance_all(self, feeds: Sequence[Feed]) -> None:
        """Read new events. If that fails unexpectedly for a tenant, close the streams of that tenant."""
        try:
            await self._advance(feeds)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001  # no client may wait silently for events that never come
            if len(feeds) > 1:  # find the one that fails, so that the others are not affected
                for feed in feeds:
                    await self._advance_all([feed])
                return
            for feed in feeds:
                structlog.get_logger().exception("event_streams_failed", tenant=feed.tenant)
                for listener in feed.listeners():
                    listener.close("internal error")

    async def _advance(self, feeds: Sequence[Feed]) -> None:
        """Read new events and pass them to the listeners. A listener that joins meanwhile either gets them
        here or has read them already."""
        if not feeds:
            return
        before = [(feed.tenant, feed.read or START) for feed in feeds]
        pages = await self._events.after(before, PAGE)
        wanted: list[tuple[Feed, Entry]] = []
        for feed, page in zip(feeds, pages, strict=True):
            if page:
                feed.read = page[-1].id
                wanted += ((feed, entry) for entry in page if feed.listeners(entry))
        try:
            bodies = await self._events.bodies([entry for _, entry in wanted])
            for feed, page, (_, last) in zip(feeds, pages, before, strict=True):
                if len(page) == PAGE:
                    await self._report_gap(feed, last)
        except Exception as error:
            # Read these again later. But skip entries that cannot be read: they would close every stream of
            # their tenant.
            if isinstance(error, Unavailable) or len(feeds) > 1:
                for feed, (_, last) in zip(feeds, before, strict=True):
                    feed.read = last
            raise
        for (feed, entry), body in zip(wanted, bodies, strict=True):
            if body is not None:
                made = message(entry, body)
                for listener in feed.listeners(entry):
                    listener.offer(made)
        for feed in feeds:
            feed.offered = feed.read or START

    async def _report_gap(self, feed: Feed, last: str) -> None:
        """After a full page: read again, and report a gap if events were trimmed before we could read
        them."""
        self._mark_updated(feed.tenant)
        oldest = await self._events.missing_after(feed.tenant, last)
        if oldest is not None:
            for listener in feed.listeners():
                listener.offer(gap(last, oldest))
