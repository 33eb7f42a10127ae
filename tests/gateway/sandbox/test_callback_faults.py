from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway.sandbox.callback_plan import forged_urls
from tests.gateway.sandbox.running import Listener, Running, listening, running

TOKEN = "k1.acme.job_1.3.Abcdef"


async def reported(up: Running, listener: Listener, fault: str, *, vidu: bool = False) -> str:
    """Everything that a struck task had to say has been said: its id."""
    url = listener.url.replace("token-1", TOKEN)
    prompt = f"[[fault:{fault}]] fox"
    if vidu:
        task_id = await up.vidu_made(callback_url=url, prompt=prompt)
    else:
        task_id = (await up.create(callback_url=url, prompt=prompt)).json()["id"]
    await up.sandbox.tasks[task_id].ended.wait()
    await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
    return task_id


async def mutations(up: Running, task_id: str) -> list[str | None]:
    return [line["mutation"] for line in await up.ledger("callback", task_id)]


async def test_a_reordered_callback_sends_the_start_after_the_end(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = await reported(up, listener, "reordered_callback")
        assert [body["status"] for body in listener.bodies] == ["completed", "in_progress"]
        assert await mutations(up, task_id) == [None, "reordered_callback"]
        assert "output" not in listener.bodies[1]
        await reported(up, listener, "reordered_callback", vidu=True)
        assert [body["state"] for body in listener.bodies[2:]] == ["success", "processing"]


async def test_a_crossed_callback_shows_the_newest_other_task(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        other = (await up.create()).json()["id"]
        await up.vidu_made()
        task_id = await reported(up, listener, "crossed_callback")
        assert [body["id"] for body in listener.bodies] == [other]
        assert listener.tokens == [TOKEN]
        assert await mutations(up, task_id) == ["crossed_callback"]
        assert (await up.ledger("callback", task_id))[0]["crossed_with"] == other
        applied = (await up.ledger("fault", task_id))[0]
        assert (applied["fault"], applied["callback_token"]) == ("crossed_callback", TOKEN)


async def test_a_single_task_cannot_be_crossed(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = await reported(up, listener, "crossed_callback")
        assert [body["id"] for body in listener.bodies] == [task_id]
        assert (await mutations(up, task_id), await up.ledger("fault")) == ([None], [])


@pytest.mark.parametrize("vidu", [False, True])
async def test_forged_callbacks_are_sent_before_the_genuine_one_and_recorded(
    tmp_path: Path, vidu: bool
) -> None:
    replies = [200, 404, 404, 404] if vidu else [404, 404, 404]
    async with listening(*replies) as listener, running(tmp_path, style="vtrix", task_seconds=0.1) as up:
        task_id = await reported(up, listener, "forged_callback", vidu=vidu)
        lines = [line for line in await up.ledger("callback", task_id) if line["status"] == "completed"]
        assert {(line["forgery"], line["reply"]) for line in lines[:3]} == {
            ("broken_mac", 404),
            ("other_epoch", 404),
            ("unknown_key", 404),
        }
        assert [line["mutation"] for line in lines] == ["forged_callback"] * 3 + [None]
        assert len({*listener.tokens}) == 4
        assert listener.tokens[-1] == TOKEN
        assert all(b"forged.invalid" in body for _, body in listener.calls[-4:-1])
        assert b"forged.invalid" not in listener.calls[-1][1]


def test_a_forged_token_differs_in_one_part_only() -> None:
    assert dict(forged_urls(f"http://g.example/callbacks/{TOKEN}")) == {
        "broken_mac": "http://g.example/callbacks/k1.acme.job_1.3.Bbcdef",
        "other_epoch": "http://g.example/callbacks/k1.acme.job_1.4.Abcdef",
        "unknown_key": "http://g.example/callbacks/forged.acme.job_1.3.Abcdef",
    }


async def test_an_oversize_callback_replaces_the_genuine_one(tmp_path: Path) -> None:
    async with listening(*[413] * 4) as listener, running(tmp_path, style="vtrix") as up:
        task_id = await reported(up, listener, "oversize_callback")
        assert all(len(body) > 300_000 for _, body in listener.calls)
        lines = await up.ledger("callback", task_id)
        assert [(line["mutation"], line["reply"]) for line in lines] == [("oversize_callback", 413)] * 4
        assert lines[0]["bytes"] > 300_000


async def test_a_garbled_callback_is_not_json(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = await reported(up, listener, "garbled_callback")
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(listener.calls[0][1])
        assert await mutations(up, task_id) == ["garbled_callback"]


@pytest.mark.parametrize("vidu", [False, True])
async def test_a_callback_without_an_id_has_all_other_fields(tmp_path: Path, vidu: bool) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        await reported(up, listener, "callback_without_id", vidu=vidu)
        body = listener.bodies[-1]
        assert "id" not in body
        assert ("creations" if vidu else "output") in body


async def test_a_callback_fault_is_recorded_only_when_it_applies(tmp_path: Path) -> None:
    async with running(tmp_path, style="vtrix") as up:
        task_id = (await up.create(prompt="[[fault:duplicate_callback]] fox")).json()["id"]
        await up.ended(task_id)
        assert await up.ledger("fault") == []


async def test_forged_and_duplicate_callbacks_can_be_combined(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, style="vtrix") as up:
        task_id = await reported(up, listener, "forged_callback]] [[fault:duplicate_callback")
        assert len(listener.calls) == 5
        applied = {line["fault"] for line in await up.ledger("fault", task_id)}
        assert applied == {"forged_callback", "duplicate_callback"}
