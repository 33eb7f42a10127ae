from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path

import httpx
import orjson
import pytest

from tests.gateway.sandbox.running import CREATE, KEY, listening, nested, picture, running, until


async def test_a_creation_is_answered_and_charged_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60) as up:
        body = (await up.create(payload="job_1", duration=5, callback_url="http://127.0.0.1:9/c/tok")).json()
        assert set(body) == {"id", "created_at", "status", "model", "progress"}
        assert re.fullmatch(r"[0-9a-v]{20}", body["id"])
        assert (body["status"], body["model"]) == ("in_progress", "viduq2_pro_reference")
        line = (await up.ledger("post", body["id"]))[0]
        assert (line["charged"], line["reply"], line["complete"]) == ("0.2750", 200, True)
        assert (line["payload"], line["callback_token"]) == ("job_1", "tok")


async def test_a_simulated_task_completes_with_the_published_fields(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        done = await up.ended((await up.create(duration=0, seed=9, aspect_ratio="9:16")).json()["id"])
        content = done["output"][0]["content"][0]
        assert (content["type"], content["url"]) == ("video", f"{up.url}/files/placeholder.mp4")
        assert content["jobId"].isdigit()
        assert isinstance(done["usage"]["cost"], str)
        assert (done["metadata"]["seed"], done["metadata"]["width"], done["metadata"]["height"]) == (
            9,
            720,
            1280,
        )
        assert "progress" not in done
        film = await up.client.get(content["url"])
        assert film.content[4:8] == b"ftyp"


async def test_progress_of_a_simulated_task_follows_the_clock(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=1000) as up:
        task_id = (await up.create()).json()["id"]
        up.sandbox.tasks[task_id].created_at -= 500
        assert 0.5 <= (await up.poll(task_id))["progress"] < 0.6


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Token {KEY}", KEY, "Bearer \xe9"])
async def test_another_key_is_refused(tmp_path: Path, header: str | None) -> None:
    async with running(tmp_path) as up, httpx.AsyncClient(base_url=up.url) as stranger:
        headers = {b"Authorization": header.encode("latin-1")} if header else {}
        created = await stranger.post(CREATE, json=nested(), headers=headers)
        polled = await stranger.get(f"{CREATE}/task/x", headers=headers)
        assert (created.status_code, polled.status_code) == (401, 401)
        assert created.json()["error"]["code"] == "Unauthorized"
        assert [line["charged"] for line in await up.ledger("post")] == [None]


async def test_a_creation_that_breaks_a_limit_is_refused_and_not_charged(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        flat = await up.client.post(CREATE, json=nested()["input"][0]["params"])
        unknown = await up.create(audio=True)
        assert (flat.status_code, unknown.status_code) == (400, 400)
        assert unknown.json()["error"] == {
            "code": "FieldUnwanted",
            "message": "unknown field 'audio' in params",
        }
        assert unknown.json()["request_id"]
        assert [(line["reply"], line["charged"]) for line in await up.ledger("post")] == [(400, None)] * 2
        assert up.sandbox.tasks == {}


async def test_a_body_over_twenty_megabytes_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await up.client.post(CREATE, content=b" " * 20_000_001)
        assert reply.status_code == 413


async def test_a_large_inline_image_is_accepted(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        image = picture("teal") + b"\0" * 100_000
        uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        assert (await up.create(images=[uri])).status_code == 200


async def test_an_incomplete_body_is_recorded_and_creates_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        whole = orjson.dumps(nested(payload="job_7"))
        _, writer = await asyncio.open_connection("127.0.0.1", int(up.url.rsplit(":", 1)[1]))
        head = f"POST {CREATE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        head += f"Content-Length: {len(whole)}\r\n\r\n"
        writer.write(head.encode() + whole[:-1])
        await writer.drain()
        writer.close()
        await until(lambda: bool(up.sandbox.ledger.read("post")))
        lines = await up.ledger("post")
        assert (lines[0]["complete"], lines[0]["payload"], lines[0]["task_id"]) == (False, "job_7", None)
        assert up.sandbox.tasks == {}


async def test_an_unknown_task_is_404(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await up.client.get(f"{CREATE}/task/nobody")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "TaskNotFound")
        assert (await up.ledger("get", "nobody"))[0]["reply"] == 404


async def test_admin_lists_tasks_with_what_they_cost(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        await up.create(payload="job_1", resolution="540p", duration=1)
        listed = (await up.client.get("/admin/tasks")).json()
        assert [(task["payload"], task["charged"]) for task in listed] == [("job_1", "0.0500")]


async def test_results_have_the_configured_public_url(tmp_path: Path) -> None:
    async with running(tmp_path) as up, listening() as listener:
        assert listener.url
        reply = await up.client.post(CREATE, json=nested(), headers={"Host": "sandbox.example:81"})
        done = await up.ended(reply.json()["id"])
        assert done["output"][0]["content"][0]["url"].startswith("http://sandbox.example:81/files/")
