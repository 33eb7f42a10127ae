"""What an address may do instead of sending the file, and what becomes of the copy then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.assets import Asset, AssetState, Reason, Variant
from gateway.delivery.download import MAX_REDIRECTS
from gateway.delivery.guard import Guard
from gateway.dispatch import Role
from gateway.errors import DiskFull, MediaStoreUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.media.base import Space
from gateway.media.folder import FolderStore
from gateway.media.inline import InlineFiles
from gateway.store import keys
from gateway.upstream.base import Found, Inconclusive, Missing
from tests.workers.conftest import Rig
from tests.workers.mirroring import LIFE_SECONDS, Handler, MirrorRig, mirroring, movie, sends
from tests.workers.scripted import completed


@pytest.fixture
async def mirror(rig: Rig) -> AsyncIterator[MirrorRig]:
    async with mirroring(rig, max_bytes=1_000_000, stall=0.3, total=2) as made:
        yield made


def raw(answer: bytes) -> Handler:
    """Exactly these bytes, then the end of the connection."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(answer)
        request.transport.close()
        await asyncio.sleep(0.05)
        return web.Response()

    return handler


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(movie()[:64].ljust(65_536, b"\0"))


async def stalls(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(len(movie()))})
    await response.prepare(request)
    await response.write(movie()[:100])
    await asyncio.sleep(30)
    return response


async def drips(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(movie()[:100])
    while True:
        await response.write(b"\0")
        await asyncio.sleep(0.05)


HALF = len(movie()) // 2
TWICE_DECLARED = f"HTTP/1.1 200 OK\r\nContent-Length: {2 * len(movie())}\r\n\r\n".encode() + movie()
CUT = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + movie()[:HALF]

PASSING: list[tuple[str, Handler, Reason]] = [
    ("empty", sends(b""), Reason.EMPTY),
    ("html", sends(b"<!DOCTYPE html><title>gone</title>" * 9, content_type="text/html"), Reason.NOT_A_VIDEO),
    ("short html", sends(b"<html>"), Reason.NOT_A_VIDEO),
    ("shorter than declared", raw(TWICE_DECLARED), Reason.WRONG_LENGTH),
    ("cut without a length", raw(CUT), Reason.WRONG_LENGTH),
    ("an error of the server", sends(b"", 503), Reason.HTTP_STATUS),
    ("a part", sends(movie(), 206), Reason.HTTP_STATUS),
    ("no HTTP", raw(b"SSH-2.0-OpenSSH\r\n"), Reason.UNREACHABLE),
    ("stalls", stalls, Reason.TOO_SLOW),
    ("drips", drips, Reason.TOO_SLOW),
]


@pytest.mark.parametrize(
    ("handler", "reason"), [case[1:] for case in PASSING], ids=[case[0] for case in PASSING]
)
async def test_a_bad_answer_is_no_copy_and_is_asked_for_again(
    mirror: MirrorRig, handler: Handler, reason: Reason
) -> None:
    mirror.results.handlers["/v.mp4"] = handler
    job = await mirror.completed()
    asset = await mirror.copy(job)
    assert (asset.state, asset.reason, asset.tries) == (AssetState.PENDING, reason, 1)
    assert 4 < (await mirror.due_in(job) or 0) < 6
    assert await mirror.scratch() == []
    assert await mirror.rig.resources.media.entries("results") == []
    assert (await mirror.usage(), (await mirror.rig.tally())[f"copies|{reason}"]) == (0, "1")
    mirror.results.handlers["/v.mp4"] = sends(movie())
    good = await mirror.copy(job)
    assert (good.state, good.reason, good.tries) == (AssetState.STORED, None, 2)


FINAL: list[tuple[str, Handler, Reason]] = [
    ("declared too large", sends(movie().ljust(1_000_001, b"\0")), Reason.TOO_LARGE),
    ("endless", endless, Reason.TOO_LARGE),
    (
        "a redirect to the metadata",
        sends(b"", 302, location="http://169.254.169.254/latest"),
        Reason.ADDRESS_REFUSED,
    ),
    (
        "a redirect to a private address",
        sends(b"", 307, location="http://10.0.0.1/v.mp4"),
        Reason.ADDRESS_REFUSED,
    ),
    ("a redirect to a file", sends(b"", 302, location="file:///etc/passwd"), Reason.ADDRESS_REFUSED),
    ("a redirect to no URL", sends(b"", 302, location="//[bad"), Reason.ADDRESS_REFUSED),
    ("redirects in a circle", sends(b"", 302, location="/v.mp4"), Reason.REDIRECTS),
]


@pytest.mark.parametrize(("handler", "reason"), [case[1:] for case in FINAL], ids=[case[0] for case in FINAL])
async def test_what_would_end_in_the_same_way_is_given_up_at_once(
    mirror: MirrorRig, handler: Handler, reason: Reason
) -> None:
    mirror.results.handlers["/v.mp4"] = handler
    job = await mirror.completed()
    asset = await mirror.copy(job)
    assert (asset.state, asset.reason) == (AssetState.FAILED, reason)
    assert await mirror.due_in(job) is None
    assert await mirror.scratch() == []
    after = await mirror.rig.read(job)
    assert (after.state, after.output) == (JobState.COMPLETED, job.output)
    assert (await mirror.rig.tally())[f"copies_given_up|{reason}"] == "1"
    assert len(mirror.results.asked) <= MAX_REDIRECTS + 1


async def test_a_redirect_to_an_allowed_address_is_followed(mirror: MirrorRig) -> None:
    mirror.results.handlers |= {
        "/v.mp4": sends(b"", 302, location="/real.mp4?x=%2F&y"),
        "/real.mp4": sends(movie()),
    }
    asset = await mirror.copy(await mirror.completed())
    assert asset.state is AssetState.STORED
    assert mirror.results.asked == ["/v.mp4", "/real.mp4?x=%2F&y"]


async def test_a_private_address_is_refused_and_not_dialled(rig: Rig) -> None:
    async with mirroring(rig, Guard([], public=True)) as mirror:
        mirror.results.handlers["/v.mp4"] = sends(movie())
        asset = await mirror.copy(await mirror.completed())
        assert (asset.state, asset.reason) == (AssetState.FAILED, Reason.ADDRESS_REFUSED)
        assert mirror.results.asked == []


async def test_the_last_attempt_is_made_when_the_address_is_taken_to_be_dead(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"", 500)
    job = await mirror.completed()
    waits: list[float] = []
    while (await mirror.copy(job)).state is AssetState.PENDING:
        wait = await mirror.due_in(job)
        assert wait is not None
        waits.append(wait)
        mirror.rig.clock.ahead += wait
    assert abs(sum(waits) - LIFE_SECONDS) < 60
    steps = [5, 30, 120, 600, 600, 600, 600, 600]
    assert all(step * 0.95 <= wait <= step * 1.11 for step, wait in zip(steps[:4], waits, strict=False))


async def test_a_dead_address_is_replaced_by_the_one_that_the_task_names_now(mirror: MirrorRig) -> None:
    mirror.results.handlers |= {"/v.mp4": sends(b"", 403), "/new.mp4": sends(movie())}
    job = await mirror.completed()
    mirror.rig.clock.ahead = 1000
    fresh = mirror.results.output(url="/new.mp4")
    mirror.rig.upstream.polls.append(Found(completed(task_id=job.task_id, output=fresh)))
    asset = await mirror.copy(job)
    assert (asset.state, asset.url) == (AssetState.STORED, f"{mirror.results.url}/new.mp4")
    before = job.assets[Variant.VIDEO].dies_at
    assert asset.dies_at is not None
    assert before is not None
    assert asset.dies_at - before > 900_000
    assert mirror.rig.upstream.queried[-1] == job.task_id
    assert (await mirror.rig.read(job)).output == job.output


async def test_an_address_that_stays_dead_is_given_up_after_three_attempts(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"", 404)
    job = await mirror.completed()
    same = Found(completed(task_id=job.task_id, output=job.output))
    mirror.rig.upstream.polls.extend([same, Missing(), same])
    states = [(await mirror.copy(job)).state for _ in range(3)]
    assert states == [AssetState.PENDING, AssetState.PENDING, AssetState.FAILED]
    assert (await mirror.rig.read(job)).assets[Variant.VIDEO].reason == Reason.GONE


async def test_other_failures_do_not_count_towards_an_address_that_is_gone(mirror: MirrorRig) -> None:
    store = BrokenStore(mirror.rig.resources.settings.blob_dir)
    mirror.mirrorer = replace(mirror.mirrorer, media=store)
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    same = Found(completed(task_id=job.task_id, output=job.output))
    mirror.rig.upstream.polls.extend([same] * 4)
    store.broken = MediaStoreUnavailable("the bucket is away")
    for _ in range(4):
        await mirror.copy(job)
    store.broken, mirror.results.handlers["/v.mp4"] = None, sends(b"", 403)
    states = [(await mirror.copy(job)).state for _ in range(3)]
    assert states == [AssetState.PENDING, AssetState.PENDING, AssetState.FAILED]


async def test_a_task_that_always_names_another_dead_address_is_given_up_too(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"", 403)
    job = await mirror.completed()
    for number in range(3):
        output = mirror.results.output(url=f"/v.mp4?signature={number}")
        mirror.rig.upstream.polls.append(Found(completed(task_id=job.task_id, output=output)))
    states = [(await mirror.copy(job)).state for _ in range(3)]
    assert states == [AssetState.PENDING, AssetState.PENDING, AssetState.FAILED]


async def test_a_dead_address_is_not_given_up_while_the_upstream_does_not_answer(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(b"", 404)
    job = await mirror.completed()
    mirror.rig.upstream.polls.extend([Inconclusive("it is down")] * 5)
    assert {(await mirror.copy(job)).state for _ in range(5)} == {AssetState.PENDING}


class BrokenStore(FolderStore):
    """`broken`: what `put_file` raises; `room`: what `space` returns."""

    broken: Exception | None = None
    room: Space | None = None

    async def put_file(self, key: str, path: Any) -> None:
        if self.broken:
            raise self.broken
        await super().put_file(key, path)

    async def space(self) -> Space:
        return self.room or await super().space()


@pytest.mark.parametrize(
    "broken", [MediaStoreUnavailable("the bucket is away"), DiskFull(1, 2, inline=False)]
)
async def test_a_store_that_is_away_is_waited_for_however_long_it_takes(
    mirror: MirrorRig, broken: Exception
) -> None:
    store = BrokenStore(mirror.rig.resources.settings.blob_dir)
    mirror.mirrorer = replace(mirror.mirrorer, media=store)
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    store.broken = broken
    for _ in range(3):
        asset = await mirror.copy(job)
        assert (asset.state, asset.reason) == (AssetState.PENDING, Reason.MEDIA_AWAY)
        mirror.rig.clock.ahead += LIFE_SECONDS
    assert await mirror.scratch() == []
    store.broken = None
    assert (await mirror.copy(job)).state is AssetState.STORED


async def test_a_worker_without_the_volume_waits_for_it_and_marks_nothing(
    mirror: MirrorRig, tmp_path: Path
) -> None:
    """A marker there would turn each file that the worker misses into a lost one, and its job would fail."""
    unmounted = tmp_path / "unmounted"
    unmounted.mkdir()
    wrong = FolderStore(unmounted, makes_marker=False)
    right, mirror.mirrorer = mirror.mirrorer, replace(mirror.mirrorer, media=wrong)
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    asset = await mirror.copy(job)
    assert (asset.state, asset.reason) == (AssetState.PENDING, Reason.MEDIA_AWAY)
    assert mirror.results.asked == []
    assert list(unmounted.iterdir()) == []
    with pytest.raises(MediaStoreUnavailable):
        await InlineFiles(wrong).read(f"blob:job_1/{'0' * 64}.png")
    mirror.mirrorer = right
    assert (await mirror.copy(job)).state is AssetState.STORED


async def test_a_disk_without_room_is_not_written_to(mirror: MirrorRig) -> None:
    store = BrokenStore(mirror.rig.resources.settings.blob_dir)
    mirror.mirrorer = replace(mirror.mirrorer, media=store)
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    store.room = Space(free=100, needed=200)
    assert (await mirror.copy(job)).reason == Reason.MEDIA_AWAY
    assert mirror.results.asked == []
    store.room = Space(free=len(movie()) + 199, needed=200)  # the declared length does not fit
    assert (await mirror.copy(job)).reason == Reason.MEDIA_AWAY
    assert await mirror.scratch() == []
    assert (await mirror.rig.tally())["copies|media_away"] == "2"  # `store_away` is a log event about Redis
    store.room = Space(free=len(movie()) + 200, needed=200)
    assert (await mirror.copy(job)).state is AssetState.STORED


async def test_a_folder_that_cannot_be_written_is_a_store_that_is_away(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    scratch = mirror.rig.resources.media.scratch
    scratch.rmdir()
    scratch.write_text("not a folder")
    assert (await mirror.copy(job)).reason == Reason.MEDIA_AWAY
    os.unlink(scratch)
    assert (await mirror.copy(job)).state is AssetState.STORED


async def test_a_tenant_has_no_more_copies_than_it_may(mirror: MirrorRig) -> None:
    mirror.mirrorer.assets._most = 2 * len(movie()) - 1
    mirror.results.handlers["/v.mp4"] = sends(movie())
    first, second = await mirror.completed(), await mirror.completed()
    assert (await mirror.copy(first)).state is AssetState.STORED
    over = await mirror.copy(second)
    assert (over.state, over.reason) == (AssetState.PENDING, Reason.TENANT_FULL)
    assert await mirror.usage() == len(movie())
    assert await mirror.rig.resources.media.entries(f"results/{second.id}") == []
    mirror.mirrorer.assets._most = len(movie())
    asked = len(mirror.results.asked)
    assert (await mirror.copy(second)).reason == Reason.TENANT_FULL
    assert len(mirror.results.asked) == asked  # known before anything is fetched


async def test_an_asset_that_is_stored_is_not_copied_again(mirror: MirrorRig) -> None:
    mirror.results.handlers["/v.mp4"] = sends(movie())
    job = await mirror.completed()
    await mirror.copy(job)
    asset: Asset = (await mirror.rig.read(job)).assets[Variant.VIDEO]
    await again(mirror, job)
    assert (await mirror.rig.read(job)).assets[Variant.VIDEO] == asset
    assert mirror.results.asked == ["/v.mp4"]


async def again(mirror: MirrorRig, job: Job) -> None:
    """The ticket enters once more, as after a restart of Redis from an old file."""
    await mirror.rig.redis.zadd("{gw}:mirror:due", {f"{job.tenant}|{job.id}:video": 1})
    await mirror.rig.resources.lanes.dispatch()
    await mirror.mirrorer.copy(await mirror.rig.ticket(Role.MIRROR, f"{job.id}:video"))
    assert await mirror.rig.redis.zcard(keys.slots(Role.MIRROR)) == 0
