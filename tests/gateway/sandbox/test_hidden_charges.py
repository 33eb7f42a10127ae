"""A task is created and charged, and the caller does not get to see it; or the connection ends too early."""

from __future__ import annotations

from pathlib import Path

import httpx
import orjson
import pytest

from tests.gateway.sandbox.running import CREATE, KEY, Running, nested, running

BOTH = pytest.mark.parametrize("vidu", [False, True])


async def applied(up: Running, fault: str, vidu: bool) -> httpx.Response:
    prompt = f"[[fault:{fault}]] fox"
    return await (up.vidu_create(prompt=prompt) if vidu else up.create(prompt=prompt))


async def the_charge(up: Running, fault: str, reply: int | None) -> None:
    """One task, paid for, and the fault noted with it."""
    (line,) = await up.ledger("post")
    assert (line["charged"], line["reply"], line["complete"]) == ("0.2750", reply, True)
    assert line["task_id"] in up.sandbox.tasks
    (noted,) = await up.ledger("fault", line["task_id"])
    assert noted["fault"] == fault


@BOTH
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_error_after_the_charge(tmp_path: Path, status: int, vidu: bool) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, f"{status}_after", vidu)
        assert reply.status_code == status
        assert ("reason" in reply.json()) is vidu
        await the_charge(up, f"{status}_after", status)


@BOTH
async def test_an_answer_that_names_no_task_and_no_error(tmp_path: Path, vidu: bool) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, "no_id_after", vidu)
        assert reply.status_code == 200
        assert not {"id", "task_id", "error", "reason"} & reply.json().keys()
        await the_charge(up, "no_id_after", 200)


@BOTH
async def test_a_truncated_answer(tmp_path: Path, vidu: bool) -> None:
    async with running(tmp_path) as up:
        with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete message|complete message body"):
            await applied(up, "truncated", vidu)
        await the_charge(up, "truncated", 200)
        assert (await up.create()).status_code == 200


@BOTH
async def test_an_answer_of_random_bytes(tmp_path: Path, vidu: bool) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, "garbage", vidu)
        assert (reply.status_code, len(reply.content)) == (200, 256)
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(reply.content)
        await the_charge(up, "garbage", 200)


async def test_only_one_of_two_hiding_faults_applies(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, "500_after]] [[fault:garbage", False)
        assert reply.status_code == 200
        await the_charge(up, "garbage", 200)


@pytest.mark.parametrize(
    ("fault", "status"), [("400", 400), ("404", 404), ("408", 408), ("409", 409), ("422", 422)]
)
async def test_a_refusal_creates_nothing(tmp_path: Path, fault: str, status: int) -> None:
    async with running(tmp_path) as up:
        assert (await applied(up, fault, False)).status_code == status
        assert up.sandbox.tasks == {}
        assert [line["charged"] for line in await up.ledger("post")] == [None]
        assert [line["fault"] for line in await up.ledger("fault")] == [fault]


@pytest.mark.parametrize("size", [10, 19_000_000])
async def test_an_early_reset_happens_before_the_body_is_read(tmp_path: Path, size: int) -> None:
    async with running(tmp_path) as up:
        await up.client.post("/admin/faults", json={"fault": "reset_early", "count": 1})
        body = orjson.dumps(nested(meta_data="x" * size))
        with pytest.raises((httpx.ReadError, httpx.WriteError)):
            await up.client.post(CREATE, content=body)
        (line,) = await up.ledger("post")
        assert (line["complete"], line["bytes"], line["charged"], line["reply"]) == (False, 0, None, None)
        assert line["authorized"]
        (noted,) = await up.ledger("fault")
        assert (noted["fault"], noted["by"]) == ("reset_early", "order")
        assert up.sandbox.tasks == {}
        assert (await up.create()).status_code == 200


async def test_a_reset_by_a_marker_creates_nothing_either(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        with pytest.raises(httpx.ReadError):
            await applied(up, "reset_early", False)
        assert up.sandbox.tasks == {}
        assert [line["charged"] for line in await up.ledger("post")] == [None]


async def test_a_wrong_key_is_recorded_for_an_incomplete_body(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        await up.client.post("/admin/faults", json={"fault": "reset_early", "count": 1})
        with pytest.raises(httpx.TransportError):
            await up.client.post(CREATE, json=nested(), headers={"Authorization": f"Token {KEY}"})
        assert [line["authorized"] for line in await up.ledger("post")] == [False]
