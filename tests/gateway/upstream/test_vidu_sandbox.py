"""The vidu dialect and the door to the network against the sandbox, which knows nothing of either."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from gateway.upstream.base import (
    Accepted,
    AccountRefused,
    CancelDone,
    CancelRefused,
    Found,
    Hint,
    Listing,
    Missing,
    Rejected,
    Snapshot,
    SubmitOutcome,
    TaskStatus,
)
from gateway.upstream.http import HttpUpstream
from gateway.upstream.vidu import ViduDialect
from tests.gateway.sandbox.running import KEY, listening, running
from tests.gateway.upstream.submitting import CountingGate

IMAGES = ["http://127.0.0.1:9/one.png"]


@asynccontextmanager
async def meeting(
    folder: Path, *, key: str = KEY, task_seconds: float = 0.0, concurrency: int | None = None
) -> AsyncIterator[HttpUpstream]:
    async with (
        running(folder, task_seconds=task_seconds, concurrency=concurrency, list_payload=True) as sandbox,
        HttpUpstream(ViduDialect(), sandbox.url, SecretStr(key)) as upstream,
    ):
        yield upstream


async def submit(upstream: HttpUpstream, reference: str = "ref", **params: object) -> SubmitOutcome:
    return await upstream.submit(
        {"images": IMAGES, "prompt": "a fox", "duration": 5, **params},
        model="viduq2_pro_reference",
        callback_url=None,
        reference=reference,
        gate=CountingGate(),
    )


async def made(upstream: HttpUpstream, reference: str = "ref", **params: object) -> str:
    outcome = await submit(upstream, reference, **params)
    assert isinstance(outcome, Accepted), outcome
    return outcome.task_id


async def seen(upstream: HttpUpstream, task_id: str, like: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(20):
        while True:
            outcome = await upstream.query(task_id)
            assert isinstance(outcome, Found), outcome
            if like(outcome.snapshot):
                return outcome.snapshot
            await asyncio.sleep(0.01)


async def test_a_task_is_created_and_its_video_found(tmp_path: Path) -> None:
    async with meeting(tmp_path) as upstream:
        task_id = await made(upstream)
        snapshot = await seen(upstream, task_id, lambda task: task.status is not TaskStatus.IN_PROGRESS)
    assert (snapshot.status, snapshot.reference) == (TaskStatus.COMPLETED, "ref")
    assert snapshot.metadata is not None
    assert set(snapshot.metadata) == {"credits"}
    content = snapshot.output[0]["content"]
    assert isinstance(content, list)
    assert content[0]["type"] == "video"
    assert content[0]["url"].startswith("http://127.0.0.1:")


async def test_refusals_are_distinguished(tmp_path: Path) -> None:
    async with meeting(tmp_path) as upstream:
        assert isinstance(await submit(upstream, duration=99), Rejected)
        assert await upstream.query("1") == Missing()
        assert await upstream.cancel("1") == Missing()
    async with meeting(tmp_path, key="sk-other") as upstream:
        refused = await submit(upstream)
    assert isinstance(refused, AccountRefused)
    assert (refused.status, refused.error.code) == (401, "Unauthorized")


async def test_a_waiting_task_is_canceled_and_a_finished_one_is_not(tmp_path: Path) -> None:
    async with meeting(tmp_path, concurrency=0) as upstream:
        task_id = await made(upstream)
        assert await upstream.cancel(task_id) == CancelDone()
        snapshot = await seen(upstream, task_id, lambda task: task.status is not TaskStatus.IN_PROGRESS)
        assert (snapshot.status, snapshot.error and snapshot.error.code) == (
            TaskStatus.CANCELED,
            "UserCancelled",
        )
    async with meeting(tmp_path) as upstream:
        task_id = await made(upstream)
        await seen(upstream, task_id, lambda task: task.status is TaskStatus.COMPLETED)
        assert isinstance(await upstream.cancel(task_id), CancelRefused)


async def test_every_task_of_the_time_range_is_listed_with_our_mark(tmp_path: Path) -> None:
    async with meeting(tmp_path, concurrency=0) as upstream:
        tasks = {f"ref-{number}": await made(upstream, f"ref-{number}") for number in range(103)}
        now = int(time.time() * 1000)
        listing = await upstream.list_tasks(now - 600_000, now + 60_000)
        assert isinstance(listing, Listing)
        assert {task.reference: task.task_id for task in listing.tasks} == tasks
        assert {(task.model, task.prompt) for task in listing.tasks} == {("viduq2_pro_reference", "a fox")}
        assert all(abs((task.created_at or 0) - now) < 600_000 for task in listing.tasks)
        assert await upstream.list_tasks(now - 1_200_000, now - 600_000) == Listing([])


async def test_its_callbacks_are_read_as_native(tmp_path: Path) -> None:
    async with meeting(tmp_path) as upstream, listening() as listener:
        outcome = await upstream.submit(
            {"images": IMAGES, "prompt": "a fox"},
            model="viduq2_pro_reference",
            callback_url=listener.url,
            reference="ref",
            gate=CountingGate(),
        )
        assert isinstance(outcome, Accepted)
        async with asyncio.timeout(20):
            hints: list[Hint] = []
            while not any(hint.snapshot for hint in hints):
                await asyncio.sleep(0.01)
                hints = [ViduDialect().read_callback(body) for _, body in listener.calls]
    assert {(hint.task_id, hint.foreign) for hint in hints} == {(outcome.task_id, False)}
    [final] = [hint.snapshot for hint in hints if hint.snapshot]
    assert (final.status, final.reference) == (TaskStatus.COMPLETED, "ref")
    assert final.output
