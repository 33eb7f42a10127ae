from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from gateway.sandbox.pool import RenderPool
from gateway.sandbox.refusals import TaskFailed
from tests.gateway.sandbox.render.films import script


async def test_no_process_is_started_before_it_is_needed() -> None:
    pool = RenderPool(2)
    assert pool.pids() == []
    await pool.close()


async def test_a_process_is_used_again(tmp_path: Path) -> None:
    pool = RenderPool(1)
    news: list[float] = []
    for name in ("a", "b"):
        async with pool.acquire() as child:
            await child.render(script(tmp_path, name), news.append)
    assert len(pool.pids()) == 1
    assert news == pytest.approx([n / 6 for n in range(1, 7)] * 2)
    await pool.close()


async def test_a_killed_process_fails_its_task_and_no_other(tmp_path: Path) -> None:
    pool = RenderPool(1)
    started = asyncio.Event()

    async def long_render() -> None:
        async with pool.acquire() as child:
            await child.render(script(tmp_path, "long", seconds=60), lambda share: started.set())

    doomed = asyncio.create_task(long_render())
    await asyncio.wait_for(started.wait(), 20)
    os.kill(pool.pids()[0], signal.SIGKILL)
    with pytest.raises(TaskFailed) as caught:
        await doomed
    assert caught.value.code == "InternalServiceFailure"
    async with pool.acquire() as child:
        await child.render(script(tmp_path, "next"), lambda share: None)
    assert (tmp_path / "next.mp4").exists()
    await pool.close()


async def test_a_process_that_was_killed_while_idle_is_replaced(tmp_path: Path) -> None:
    pool = RenderPool(1)
    async with pool.acquire() as child:
        os.kill(child.pid, signal.SIGKILL)
    async with pool.acquire() as child:
        await asyncio.sleep(0)
        if child.is_alive:
            with pytest.raises(TaskFailed):
                await child.render(script(tmp_path, "a"), lambda share: None)
    async with pool.acquire() as child:
        await child.render(script(tmp_path, "b"), lambda share: None)
    await pool.close()


async def test_a_script_that_cannot_be_rendered_fails_and_the_process_stays(tmp_path: Path) -> None:
    pool = RenderPool(1)
    async with pool.acquire() as child:
        with pytest.raises(TaskFailed) as caught:
            await child.render(script(tmp_path, "a", images=[b"no image"]), lambda share: None)
        assert caught.value.code == "ImageFormatInvalid"
        assert child.is_alive
    await pool.close()


async def test_a_cancelled_render_ends_its_process(tmp_path: Path) -> None:
    pool = RenderPool(1)
    started = asyncio.Event()

    async def long_render() -> None:
        async with pool.acquire() as child:
            await child.render(script(tmp_path, "long", seconds=60), lambda share: started.set())

    doomed = asyncio.create_task(long_render())
    await asyncio.wait_for(started.wait(), 20)
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert pool.pids() == []
    await pool.close()
