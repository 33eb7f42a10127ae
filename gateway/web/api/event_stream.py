"""One open event stream: first the events that the client missed, then new ones, until either side ends it.

A stream needs only the task of its request, which sleeps until its listener's signal wakes it.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import tenants
from gateway.errors import NotFound, Unavailable
from gateway.events import EVENT_OF
from gateway.store.event_log import START, Entry, JobEvents, event_position
from gateway.tenants import Key
from gateway.web.key_watch import Watched
from gateway.web.state import state_of
from gateway.web.streams.hub import CHUNK_BYTES, PAGE, Feed, Listener, Message, gap

RETRY_MS: Final = 2000
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # keeps nginx from buffering
]
_FINAL_EVENTS: Final = frozenset(EVENT_OF.values())
#: Maximum number of missed events rendered at once. Those that do not fit into a chunk are rendered again.
_MAX_BATCH: Final = 32


class _StreamEnded(Exception):
    """The stream ends. The message tells the client why; empty if the client has disconnected."""


class _Stream(Response, abc.ABC):
    """One open stream. An exception before the first byte becomes an error response."""

    def __init__(self, request: Request, key: Key, listener: Listener, after: str | None) -> None:
        self._request = request
        self._key = key
        self._listener = listener
        self._after = after
        self._state = state_of(request)
        self._last = START
        self._keepalives = 0
        self._batch_size = 1  # number of events that fit into a chunk
        self._send: Send
        self._watched: Watched

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        if self._state.stopping.is_set():
            raise Unavailable("this process is shutting down; try again")
        async with self._state.streams.feed(self._key.tenant) as feed:
            signal, keys = self._listener.signal, self._state.key_watch
            with (
                self._state.keep_alive.include(signal),
                keys.watching(self._key, tenants.Scope.JOBS_READ, signal) as self._watched,
            ):
                await self._run(feed)

    @abc.abstractmethod
    async def _run(self, feed: Feed) -> None:
        """Send everything that the client gets."""

    async def _begin(self, status: int = 200) -> None:
        headers = list(_HEADERS) if status == 200 else []
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    @contextlib.asynccontextmanager
    async def _closing_cleanly(self) -> AsyncIterator[None]:
        """Complete the response in any case, so that the client sees its end and reconnects."""
        why = ""
        try:
            yield
        except _StreamEnded as ended:
            why = str(ended)
        except Unavailable:
            why = "the service is temporarily unavailable"
        body = f": {why}; reconnect with Last-Event-ID\n\n".encode() if why else b""
        await self._send({"type": "http.response.body", "body": body})

    async def _write(self, block: bytes) -> None:
        self._check_open()
        await self._send({"type": "http.response.body", "body": block, "more_body": True})

    async def _send_messages(self, messages: Sequence[Message]) -> None:
        """Send those that the client does not have yet, in limited writes, because it may read slowly."""
        blocks: list[bytes] = []
        size = 0
        for one in messages:
            if one.position <= event_position(self._last) and not one.gap:
                continue
            if not one.gap:
                self._last = f"{one.position[0]}-{one.position[1]}"
            blocks.append(one.block)
            size += len(one.block)
            if size >= CHUNK_BYTES:
                await self._write(b"".join(blocks))
                blocks, size = [], 0
        if blocks:
            await self._write(b"".join(blocks))

    async def _send_missed(self, feed: Feed, entries: list[Entry]) -> None:
        """Send the first of the missed events and remove them from the list. No slot is held while writing,
        because the client may read slowly."""
        batch = entries[: self._batch_size]
        async with (
            feed.catch_up_slots,
            self._state.keep_alive.reading,
        ):
            block, taken = await self._state.streams.chunk(batch)
        self._batch_size = taken if taken < len(batch) else min(2 * self._batch_size, _MAX_BATCH)
        if block:
            await self._write(block)
        self._last = max(self._last, entries[taken - 1].id, key=event_position)
        del entries[:taken]

    async def _live(self, feed: Feed) -> None:
        signal = self._listener.signal
        while True:
            signal.was_notified()
            messages = self._listener.take()
            await self._send_messages(messages)
            if self._listener.job_id and any(one.type in _FINAL_EVENTS for one in messages):
                return
            if signal.was_reminded():
                await self._keep_alive(feed.offered)
            self._check_open()
            await signal.wait()

    def _check_open(self) -> None:
        if self._listener.closed is not None:
            raise _StreamEnded(self._listener.closed)
        if self._watched.ended is not None:
            raise _StreamEnded(str(self._watched.ended))
        if self._state.stopping.is_set():
            raise _StreamEnded("this process is shutting down")

    async def _keep_alive(self, offered: str) -> None:
        """Check the client, and send the current position even if there was no event for the client: all
        events up to `offered` that it wants have been queued."""
        if await self._request.is_disconnected():
            raise _StreamEnded
        self._keepalives += 1
        if not self._listener.signal.notified:  # the queue is empty
            self._last = max(self._last, offered, key=event_position)
        await self._write(f": {self._keepalives}\nid: {self._last}\n\n".encode())


class TenantStream(_Stream):
    async def _run(self, feed: Feed) -> None:
        lost = await self._start()
        await self._begin()
        async with self._closing_cleanly():
            await self._write(f"retry: {RETRY_MS}\nid: {self._last}\n\n".encode())
            if lost is not None:
                await self._write(lost.block)
            await self._replay(feed)
            with feed.joined(self._listener):
                await self._live(feed)

    async def _start(self) -> Message | None:
        """Find the position to start from. Returns a gap message if later events are no longer kept."""
        events, tenant = self._state.resources.tenant_events, self._key.tenant
        async with self._state.keep_alive.reading:
            if self._after is None:
                self._last = await events.tail(tenant)
                return None
            self._last = self._after
            if event_position(self._after) == event_position(START):
                return None
            oldest = await events.missing_after(tenant, self._after)
            if oldest is None:
                return None
            if event_position(oldest) < event_position(self._after):
                self._last = oldest  # an id from the future, which this Redis never assigned
            return gap(self._after, oldest)

    async def _replay(self, feed: Feed) -> None:
        """Send missed events until the client has caught up with the feed. Nothing is queued meanwhile."""
        while event_position(self._last) < event_position(feed.read or START):
            async with feed.catch_up_slots, self._state.keep_alive.reading:
                [page] = await self._state.resources.tenant_events.after([(feed.tenant, self._last)], PAGE)
            if not page:
                return
            missed = [entry for entry in page if self._listener.wants(entry.type)]
            while missed:
                await self._send_missed(feed, missed)
                await self._maintain()
            self._last = max(self._last, page[-1].id, key=event_position)
            await self._maintain()

    async def _maintain(self) -> None:
        self._check_open()
        if self._listener.signal.was_reminded():
            await self._keep_alive(self._last)


class JobStream(_Stream):
    async def _run(self, feed: Feed) -> None:
        with feed.joined(self._listener):
            job_events = await self._job_events(feed)
            entries = _not_yet_sent(job_events, self._after, feed.offered)
            if job_events.job.final and not entries:
                await self._begin(204)  # tells an EventSource not to reconnect
                await self._send({"type": "http.response.body"})
                return
            await self._begin()
            async with self._closing_cleanly():
                await self._write(b"retry: %d\n\n" % RETRY_MS)
                while entries:
                    await self._send_missed(feed, entries)
                if job_events.entries:
                    self._last = job_events.entries[-1].id
                if not job_events.job.final:
                    await self._live(feed)

    async def _job_events(self, feed: Feed) -> JobEvents:
        name = self._listener.job_id or ""
        async with feed.catch_up_slots, self._state.keep_alive.reading:
            job_events = await self._state.resources.tenant_events.job_events(feed.tenant, name)
        if job_events is None:
            raise NotFound("job", name, expires=True)
        return job_events


def _not_yet_sent(job_events: JobEvents, after: str | None, tail: str) -> list[Entry]:
    """The events of the job that the client does not have yet. If the job finished without an event in the
    log, its final event."""
    first = event_position(START if after is None else after)
    entries = [entry for entry in job_events.entries if event_position(entry.id) > first]
    job = job_events.job
    if after is None and job.final and not any(entry.type in _FINAL_EVENTS for entry in entries):
        entries.append(Entry(tail, EVENT_OF[job.state], job.id))
    return entries
