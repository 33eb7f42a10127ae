from __future__ import annotations

from pathlib import Path

from gateway.sandbox.signing import signature
from tests.gateway.sandbox.running import KEY, listening, running


async def test_every_change_is_sent_with_the_id_of_the_task(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, task_seconds=0.1, concurrency=1) as up:
        first = await up.vidu_made(callback_url=listener.url)
        second = await up.vidu_made(callback_url=listener.url, payload="job_2")
        await listener.heard(5)
        told: dict[str, list[str]] = {first: [], second: []}
        for body in listener.bodies:
            told[body["id"]].append(body["state"])
        # Each is a request of its own, so on a busy machine one may overtake another.
        assert sorted(told[first]) == ["processing", "success"]
        assert sorted(told[second]) == ["processing", "queueing", "success"]
        assert {body["id"]: body["payload"] for body in listener.bodies}[second] == "job_2"
        [last] = [one for one in await up.ledger("callback", second) if one["status"] == "completed"]
        assert (last["dialect"], last["style"]) == ("vidu", "vidu")
        assert (last["callback_token"], last["reply"], last["mutation"]) == ("token-1", 200, None)


async def test_a_callback_is_signed_with_the_key_that_created_the_task(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path) as up:
        await up.vidu_made(callback_url=listener.url)
        await listener.heard(2)
        for headers, _ in listener.calls:
            signed = [(name, headers[name]) for name in headers["X-HMAC-SIGNED-HEADERS"].split(";")]
            expected = signature(KEY, "POST", "/callbacks/token-1", "", headers["Date"], signed)
            assert headers["X-HMAC-SIGNATURE"] == expected


async def test_the_start_has_one_attempt_and_the_end_four(tmp_path: Path) -> None:
    async with listening(*[500] * 9) as listener, running(tmp_path, task_seconds=0.1) as up:
        task_id = await up.vidu_made(callback_url=listener.url)
        await up.sandbox.tasks[task_id].ended.wait()
        await up.sandbox.callbacks.wait_for(up.sandbox.tasks[task_id])
        states = [body["state"] for body in listener.bodies]
        assert states == ["processing"] + ["success"] * 4


async def test_the_callback_of_a_cancelled_task_says_failed(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, concurrency=0) as up:
        task_id = await up.vidu_made(callback_url=listener.url)
        await listener.heard(1)
        await up.vidu_cancel(task_id)
        await listener.heard(2)
        told = listener.bodies[-1]
        assert (told["state"], told["err_code"], told["creations"]) == ("failed", "UserCancelled", [])
