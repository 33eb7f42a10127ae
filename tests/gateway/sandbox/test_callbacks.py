from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from gateway.sandbox.signing import signature
from tests.gateway.sandbox.running import listening, running


async def test_the_vtrix_style_sends_the_end_with_the_envelope_of_the_task(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url=listener.url)).json()["id"]
        await listener.heard(1)
        assert orjson.loads(listener.calls[0][1]) == await up.poll(task_id)
        line = (await up.ledger("callback", task_id))[0]
        assert (line["callback_token"], line["status"], line["reply"]) == ("token-1", "completed", 200)


async def test_the_vidu_style_sends_each_change_with_a_foreign_id_and_a_signature(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vidu", task_seconds=0.05) as up:
        task_id = (await up.create(callback_url=listener.url, payload="job_1")).json()["id"]
        await listener.heard(2)
        first, last = (orjson.loads(body) for _, body in listener.calls)
        assert (first["state"], first["creations"]) == ("processing", [])
        assert (last["state"], last["payload"], last["credits"]) == ("success", "job_1", 55)
        assert last["id"] == up.sandbox.tasks[task_id].foreign_id != task_id
        assert last["creations"][0]["url"].endswith(".mp4")
        headers = listener.calls[1][0]
        signed = [(name, headers[name]) for name in headers["X-HMAC-SIGNED-HEADERS"].split(";")]
        expected = signature(
            "sandbox-callback-key", "POST", "/callbacks/token-1", "", headers["Date"], signed
        )
        assert headers["X-HMAC-SIGNATURE"] == expected


async def test_the_final_callback_has_four_attempts(tmp_path: Path) -> None:
    async with listening(500, 503, 302, 500) as listener, running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url=listener.url)).json()["id"]
        await listener.heard(4)
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        replies = [line["reply"] for line in await up.ledger("callback", task_id)]
        assert replies == [500, 503, 302, 500]


async def test_a_successful_callback_is_not_repeated(tmp_path: Path) -> None:
    async with listening(500) as listener, running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url=listener.url)).json()["id"]
        await listener.heard(2)
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        assert len(listener.calls) == 2


async def test_a_failed_connection_is_recorded(tmp_path: Path) -> None:
    async with running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url="http://127.0.0.1:9/c/t")).json()["id"]
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        lines = await up.ledger("callback", task_id)
        assert [(line["reply"], line["error"]) for line in lines] == [(None, "ClientConnectorError")] * 4


async def test_no_callback_is_sent_in_style_none_or_without_a_url(tmp_path: Path) -> None:
    async with (
        listening() as listener,
        running(tmp_path / "a") as silent,
        running(tmp_path / "b", style="vtrix") as up,
    ):
        await silent.ended((await silent.create(callback_url=listener.url)).json()["id"])
        task_id = (await up.create()).json()["id"]
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        assert (listener.calls, await silent.ledger("callback"), await up.ledger("callback")) == ([], [], [])


async def test_a_lost_callback_is_never_sent(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url=listener.url, prompt="[[fault:lost_callback]] x")).json()[
            "id"
        ]
        await up.ended(task_id)
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        assert listener.calls == []
        assert (await up.ledger("fault", task_id))[0]["fault"] == "lost_callback"


async def test_a_duplicate_callback_is_the_same_bytes_twice(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        await up.create(callback_url=listener.url, prompt="[[fault:duplicate_callback]] x")
        await listener.heard(2)
        assert listener.calls[0][1] == listener.calls[1][1]


async def test_an_early_callback_arrives_before_the_answer(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix", task_seconds=60) as up:
        reply = await up.create(callback_url=listener.url, prompt="[[fault:early_callback]] x")
        assert len(listener.calls) == 1
        assert reply.json()["status"] == "in_progress"
        assert (await up.poll(reply.json()["id"]))["status"] == "completed"


async def test_a_late_callback_comes_after_the_end_is_visible(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(callback_url=listener.url, prompt="[[fault:late_callback=0.1]] x")).json()[
            "id"
        ]
        await up.ended(task_id)
        assert listener.calls == []
        await listener.heard(1)


async def test_stopping_the_sandbox_stops_all_callbacks(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with listening(*[500] * 9) as listener:
        async with running(tmp_path, style="vtrix", retry_seconds=60) as up:
            await up.create(callback_url=listener.url)
            await listener.heard(1)
        assert len(listener.calls) == 1
    assert asyncio.all_tasks() <= before
