"""One open event stream: what its client missed, then what happens, until one side ends it.

The task of the request is the only one of a stream: it sleeps by its listener's bell, or to the next beat.
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
from gateway.store.event_log import START, Entry, Story, place
from gateway.tenants import Key
from gateway.web.state import state_of
from gateway.web.streams.hub import CHUNK_BYTES, PAGE, Feed, Listener, Message, gap

RETRY_MS: Final = 2000
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # nginx would keep it until there is more
]
_FINAL_EVENTS: Final = frozenset(EVENT_OF.values())
#: Made at once, at most, of what a client missed: what does not fit into the piece is made again.
_MAX_BATCH: Final = 32


class _StreamEnded(Exception):
    """The stream is over; says why, for the client's eyes, unless nobody is there any more."""


class _Stream(Response, abc.ABC):
    """One open stream. Raises before its answer began what becomes an error answer."""

    def __init__(self, request: Request, key: Key, listener: Listener, after: str | None) -> None:
        self._request = request
        self._key = key
        self._listener = listener
        self._after = after
        self._state = state_of(request)
        self._last = START
        self._keepalives = 0
        self._batch_size = 1  # so many events went into a piece
        self._send: Send

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send = send
        if self._state.stopping.is_set():
            raise Unavailable("this process is about to end; ask again")
        async with self._state.streams.feed(self._key.tenant) as feed:
            with self._state.keep_alive.include(self._listener.bell):
                await self._run(feed)

    @abc.abstractmethod
    async def _run(self, feed: Feed) -> None:
        """All that the client gets."""

    async def _begin(self, status: int = 200) -> None:
        headers = list(_HEADERS) if status == 200 else []
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    @contextlib.asynccontextmanager
    async def _closing_cleanly(self) -> AsyncIterator[None]:
        """Ends the answer as it should end, so that its client sees an end and comes back for the rest."""
        why = ""
        try:
            yield
        except _StreamEnded as ended:
            why = str(ended)
        except Unavailable:
            why = "the service cannot go on just now"
        body = f": {why}; come back with Last-Event-ID\n\n".encode() if why else b""
        await self._send({"type": "http.response.body", "body": body})

    async def _write(self, block: bytes) -> None:
        await self._send({"type": "http.response.body", "body": block, "more_body": True})

    async def _send_messages(self, messages: Sequence[Message]) -> None:
        """Those that the client did not have yet, not too many at once: it may read slowly."""
        blocks: list[bytes] = []
        size = 0
        for one in messages:
            if one.place <= place(self._last) and not one.gap:
                continue
            if not one.gap:
                self._last = f"{one.place[0]}-{one.place[1]}"
            blocks.append(one.block)
            size += len(one.block)
            if size >= CHUNK_BYTES:
                await self._write(b"".join(blocks))
                blocks, size = [], 0
        if blocks:
            await self._write(b"".join(blocks))

    async def _send_missed(self, feed: Feed, entries: list[Entry]) -> None:
        """The first of what the client missed, which leave the list. It may be slow: no turn is held then."""
        batch = entries[: self._batch_size]
        async with (
            feed.catch_up_slots,
            self._state.keep_alive.reading,
        ):  # so that it queues nobody but its own tenant
            block, taken = await self._state.streams.chunk(batch)
        self._batch_size = taken if taken < len(batch) else min(2 * self._batch_size, _MAX_BATCH)
        if block:
            await self._write(block)
        self._last = max(self._last, entries[taken - 1].id, key=place)
        del entries[:taken]

    async def _live(self, feed: Feed) -> None:
        bell = self._listener.bell
        while True:
            bell.was_rung()
            messages = self._listener.taken()
            await self._send_messages(messages)
            if self._listener.job_id and any(one.type in _FINAL_EVENTS for one in messages):
                return
            if bell.was_beaten():
                await self._keep_alive(feed.offered)
            self._check_open()
            await bell.wait()

    def _check_open(self) -> None:
        if self._listener.closed is not None:
            raise _StreamEnded(self._listener.closed)
        if self._state.stopping.is_set():
            raise _StreamEnded("this process is about to end")

    async def _keep_alive(self, offered: str) -> None:
        """Sees to client and key, and tells the client how far it is although nothing may have been for it:
        all up to `offered` was put into the queue, if it was meant to be."""
        if await self._request.is_disconnected():
            raise _StreamEnded
        self._keepalives += 1
        if self._keepalives % 2 == 0:
            await self._check_key()
        if not self._listener.bell.rung:  # so that the queue is empty
            self._last = max(self._last, offered, key=place)
        await self._write(f": {self._keepalives}\nid: {self._last}\n\n".encode())

    async def _check_key(self) -> None:
        with contextlib.suppress(Unavailable):
            async with self._state.keep_alive.reading:
                key = await self._state.resources.client_keys.find(self._key.id)
            if key is None or key.revoked_at is not None or tenants.Scope.JOBS_READ not in key.scopes:
                raise _StreamEnded("the key was revoked")


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
        """Finds where to begin; returns word of a gap when what came after is not all kept."""
        events, tenant = self._state.resources.tenant_events, self._key.tenant
        async with self._state.keep_alive.reading:
            if self._after is None:
                self._last = await events.tail(tenant)
                return None
            self._last = self._after
            if place(self._after) == place(START):
                return None
            oldest = await events.missing_after(tenant, self._after)
            if oldest is None:
                return None
            if place(oldest) < place(self._after):
                self._last = oldest  # of a future that this Redis does not have
            return gap(self._after, oldest)

    async def _replay(self, feed: Feed) -> None:
        """Until the feed is no further than its client. Nothing waits meanwhile, however slowly it reads."""
        while place(self._last) < place(feed.read or START):
            async with feed.catch_up_slots, self._state.keep_alive.reading:
                [page] = await self._state.resources.tenant_events.after([(feed.tenant, self._last)], PAGE)
            if not page:
                return
            missed = [entry for entry in page if self._listener.wants(entry.type)]
            while missed:
                await self._send_missed(feed, missed)
                await self._maintain()
            self._last = max(self._last, page[-1].id, key=place)
            await self._maintain()

    async def _maintain(self) -> None:
        self._check_open()
        if self._listener.bell.was_beaten():
            await self._keep_alive(self._last)


class JobStream(_Stream):
    async def _run(self, feed: Feed) -> None:
        with feed.joined(self._listener):
            story = await self._story(feed)
            entries = _not_yet_sent(story, self._after, feed.offered)
            if story.job.final and not entries:
                await self._begin(204)  # which tells an EventSource not to come back
                await self._send({"type": "http.response.body"})
                return
            await self._begin()
            async with self._closing_cleanly():
                await self._write(b"retry: %d\n\n" % RETRY_MS)
                while entries:
                    await self._send_missed(feed, entries)
                if story.told:
                    self._last = story.told[-1].id
                if not story.job.final:
                    await self._live(feed)

    async def _story(self, feed: Feed) -> Story:
        name = self._listener.job_id or ""
        async with feed.catch_up_slots, self._state.keep_alive.reading:
            story = await self._state.resources.tenant_events.story(feed.tenant, name)
        if story is None:
            raise NotFound("job", name)
        return story


def _not_yet_sent(story: Story, after: str | None, tail: str) -> list[Entry]:
    """What the client did not hear of the job yet. Of one that ended when nobody was told, its end."""
    entries = [entry for entry in story.told if after is None or place(entry.id) > place(after)]
    job = story.job
    if after is None and job.final and not any(entry.type in _FINAL_EVENTS for entry in entries):
        entries.append(Entry(tail, EVENT_OF[job.state], job.id))
    return entries
