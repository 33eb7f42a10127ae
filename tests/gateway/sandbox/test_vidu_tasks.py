from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.gateway.sandbox.running import VIDU_TASKS, listening, running


async def test_a_finished_task_shows_its_film_and_its_payload(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        task_id = await up.vidu_made(payload="job_1")
        body = await up.vidu_poll(task_id)
        assert (body["id"], body["state"], body["err_code"]) == (task_id, "success", "")
        assert (body["payload"], body["credits"]) == ("job_1", 55)
        assert body["creations"][0]["url"] == f"{up.url}/files/placeholder.mp4"
        assert (await up.ledger("get", task_id))[0]["status"] == "success"


async def test_a_rendered_film_can_be_downloaded(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        task_id = await up.vidu_made(
            images=[f"{up.url}/samples/red-fox.jpg"], resolution="540p", duration=1, aspect_ratio="1:1"
        )
        await up.sandbox.tasks[task_id].ended.wait()
        creation = (await up.vidu_poll(task_id))["creations"][0]
        assert (await up.client.get(creation["url"])).content[4:8] == b"ftyp"
        assert creation["cover_url"].endswith(".jpg")


@pytest.mark.parametrize("task_id", ["abc", "12x", "-1", "1" * 30])
async def test_an_id_that_is_not_a_number_is_refused_before_the_key_is_checked(
    tmp_path: Path, task_id: str
) -> None:
    async with running(tmp_path) as up:
        for method, verb in (("GET", "creations"), ("POST", "cancel")):
            path = f"{VIDU_TASKS}/{task_id}/{verb}"
            reply = await up.client.request(method, path, headers={"Authorization": "none"})
            assert (reply.status_code, reply.json()["reason"]) == (400, "CODEC")


async def test_an_unknown_number_is_404(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await up.vidu("GET", f"{VIDU_TASKS}/123/creations")
        assert (reply.status_code, reply.json()["reason"]) == (404, "TaskNotFound")
        assert (await up.vidu_cancel("123")).status_code == 404
        assert (await up.ledger("get", "123"))[0]["reply"] == 404


async def test_tasks_over_the_limit_wait_and_run_in_order_of_arrival(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=0.5, concurrency=1) as up:
        made = [await up.vidu_made() for _ in range(3)]
        states = [(await up.vidu_poll(task_id))["state"] for task_id in made]
        assert states[1:] == ["queueing", "queueing"]
        for task_id in made:
            await up.sandbox.tasks[task_id].ended.wait()
        tasks = [up.sandbox.tasks[task_id] for task_id in made]
        assert tasks[0].finished_at is not None
        assert tasks[1].started_at is not None
        assert tasks[0].finished_at <= tasks[1].started_at
        assert [task.state for task in tasks] == ["success"] * 3
        begun = [task.started_at or 0.0 for task in tasks]
        assert begun == sorted(begun)


async def test_the_vtrix_dialect_has_no_queue(tmp_path: Path) -> None:
    async with running(tmp_path, concurrency=0) as up:
        task_id = (await up.create()).json()["id"]
        assert (await up.ended(task_id))["status"] == "completed"


async def test_a_waiting_task_is_cancelled_and_refunded(tmp_path: Path) -> None:
    async with running(tmp_path, concurrency=0) as up:
        task_id = await up.vidu_made(payload="job_1")
        reply = await up.vidu_cancel(task_id)
        assert (reply.status_code, reply.json()) == (200, {})
        body = await up.vidu_poll(task_id)
        assert (body["state"], body["err_code"], body["credits"]) == ("failed", "UserCancelled", 0)
        refund = (await up.ledger("refund", task_id))[0]
        assert (refund["refunded"], refund["payload"]) == ("0.2750", "job_1")
        again = await up.vidu_cancel(task_id)
        assert (again.status_code, again.json()["reason"]) == (400, "BadRequest")
        assert [line["reply"] for line in await up.ledger("cancel", task_id)] == [200, 400]
        assert len(await up.ledger("refund")) == 1


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """The address of a picture whose server never answers."""
    over = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/never.png"
    finally:
        over.set()
        server.close()


async def test_a_task_that_downloads_its_references_can_be_cancelled(tmp_path: Path) -> None:
    async with silent() as url, running(tmp_path, render="full", concurrency=1) as up:
        task_id = await up.vidu_made(images=[url])
        assert (await up.vidu_poll(task_id))["state"] == "created"
        assert (await up.vidu_cancel(task_id)).status_code == 200
        assert (await up.vidu_poll(task_id))["err_code"] == "UserCancelled"
        follower = await up.vidu_made(prompt="[[fault:failed_task]] x")
        assert (await up.vidu_poll(follower))["err_code"] == "CreationPolicyViolation"
        assert not (tmp_path / "work" / task_id).exists()


async def test_a_running_task_is_not_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60) as up:
        task_id = await up.vidu_made()
        reply = await up.vidu_cancel(task_id)
        assert (reply.status_code, reply.json()["reason"]) == (400, "BadRequest")
        assert reply.json()["message"] == "task state is scheduled, can not cancel"
        assert (await up.vidu_poll(task_id))["state"] == "processing"
        assert await up.ledger("refund") == []


async def test_a_cancel_must_repeat_the_id_in_its_body(tmp_path: Path) -> None:
    async with running(tmp_path, concurrency=0) as up:
        task_id = await up.vidu_made()
        for body in (b"", b"{}", b'{"id":"1"}', b"["):
            reply = await up.vidu("POST", f"{VIDU_TASKS}/{task_id}/cancel", content=body)
            assert reply.status_code == 400
        assert (await up.vidu_poll(task_id))["state"] == "queueing"


async def test_a_cancelled_task_leaves_the_queue(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60, concurrency=1) as up:
        first, second, third = [await up.vidu_made() for _ in range(3)]
        await up.vidu_cancel(second)
        up.sandbox.runner._end_simulated(up.sandbox.tasks[first])  # whatever the machine's load is
        assert [up.sandbox.tasks[one].state for one in (first, second, third)] == [
            "success",
            "failed",
            "processing",
        ]


async def test_credits_show_what_was_spent_and_who_waits(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60, concurrency=1) as up:
        before = (await up.vidu("GET", "/ent/v2/credits")).json()["remains"][0]
        made = [await up.vidu_made() for _ in range(3)]
        await up.vidu_cancel(made[2])
        after = (await up.vidu("GET", "/ent/v2/credits?show_detail=false")).json()["remains"][0]
        assert before["credit_remain"] - after["credit_remain"] == 110
        assert (after["concurrency_limit"], after["current_concurrency"], after["queue_count"]) == (1, 1, 1)


async def test_an_unpublished_state_is_shown_until_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=0.1) as up:
        task_id = await up.vidu_made(prompt="[[fault:unknown_status]] fox")
        assert (await up.vidu_poll(task_id))["state"] == "rendering"
        await up.sandbox.tasks[task_id].ended.wait()
        assert (await up.vidu_poll(task_id))["state"] == "success"


async def test_an_instant_task_is_finished_in_its_first_answer_even_if_others_wait(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60, concurrency=0) as up:
        body = (await up.vidu_create(prompt="[[fault:instant]] fox")).json()
        assert body["state"] == "success"
        assert (await up.vidu_poll(body["task_id"]))["state"] == "success"


async def test_an_early_callback_arrives_before_the_answer(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, task_seconds=60) as up:
        reply = await up.vidu_create(prompt="[[fault:early_callback]] fox", callback_url=listener.url)
        assert reply.json()["state"] == "created"
        assert "success" in [body["state"] for body in listener.bodies]


async def test_a_hidden_task_appears_after_some_polls(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        task_id = await up.vidu_made(prompt="[[fault:hidden=2]] fox")
        path = f"{VIDU_TASKS}/{task_id}/creations"
        assert [(await up.vidu("GET", path)).status_code for _ in range(3)] == [404, 404, 200]
