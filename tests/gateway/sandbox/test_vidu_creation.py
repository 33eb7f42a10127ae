from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.sandbox.checks import read_flat_spec
from gateway.sandbox.refusals import RequestRefused
from tests.gateway.sandbox.running import KEY, VIDU_CREATE, VIDU_TASKS, flat, nested, running


async def test_a_creation_is_answered_with_its_parameters_and_charged_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60) as up:
        reply = await up.vidu_create(payload="job_1", seed=7, callback_url="http://127.0.0.1:9/c/tok")
        body = reply.json()
        assert re.fullmatch(r"[0-9]{18}", body["task_id"])
        assert (body["state"], body["model"], body["credits"]) == ("created", "viduq2-pro", 55)
        assert (body["payload"], body["seed"], body["duration"]) == ("job_1", 7, 5)
        assert body["images"] == ["http://127.0.0.1:9/one.png"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created_at"])
        line = (await up.ledger("post", body["task_id"]))[0]
        assert (line["charged"], line["reply"], line["complete"]) == ("0.2750", 200, True)
        assert (line["dialect"], line["authorized"]) == ("vidu", True)
        assert (line["payload"], line["callback_token"]) == ("job_1", "tok")
        assert 0 < line["first_byte_ns"] <= line["last_byte_ns"] <= line["monotonic_ns"]


@pytest.mark.parametrize("header", [None, "Token wrong", f"Bearer {KEY}", KEY])
async def test_another_key_is_refused_in_vidus_envelope(tmp_path: Path, header: str | None) -> None:
    async with running(tmp_path) as up, httpx.AsyncClient(base_url=up.url) as stranger:
        headers = {"Authorization": header} if header else {}
        for method, path in (
            ("POST", VIDU_CREATE),
            ("GET", VIDU_TASKS),
            ("GET", f"{VIDU_TASKS}/1/creations"),
            ("POST", f"{VIDU_TASKS}/1/cancel"),
            ("GET", "/ent/v2/credits"),
        ):
            reply = await stranger.request(method, path, json=flat(), headers=headers)
            assert (reply.status_code, reply.json()["reason"]) == (401, "Unauthorized"), path
        line = (await up.ledger("post"))[0]
        assert (line["authorized"], line["charged"], line["reply"]) == (False, None, 401)


async def test_a_creation_that_breaks_a_limit_is_refused_and_not_charged(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await up.vidu_create(audio=True)
        body = reply.json()
        assert (reply.status_code, body["code"], body["reason"]) == (400, 400, "FieldUnwanted")
        assert set(body) == {"code", "reason", "message", "metadata"}
        assert body["metadata"]["trace_id"]
        assert "audio" in body["message"]
        assert up.sandbox.tasks == {}


@pytest.mark.parametrize(
    "document",
    [
        nested(),
        flat() | {"model": "viduq2_pro_reference"},
        flat() | {"subjects": []},
        flat() | {"movement_amplitude": "wild"},
        flat() | {"duration": 11},
        flat() | {"seed": None},
        flat(images=None),
        {name: value for name, value in flat().items() if name != "model"},
        [],
    ],
)
def test_an_invalid_body_is_refused(document: Any) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_flat_spec(orjson.dumps(document))
    assert caught.value.status == 400


def test_the_movement_amplitude_is_accepted_and_has_no_effect() -> None:
    assert read_flat_spec(orjson.dumps(flat(movement_amplitude="auto", duration=0))).duration == 0


async def test_the_two_dialects_do_not_see_each_others_tasks(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        ours = await up.vidu_made()
        theirs = (await up.create()).json()["id"]
        foreign = up.sandbox.tasks[theirs].foreign_id
        assert (await up.client.get(f"/model/v1/generation/task/{ours}")).status_code == 404
        assert (await up.vidu("GET", f"{VIDU_TASKS}/{foreign}/creations")).status_code == 404
        listed = (await up.vidu("GET", VIDU_TASKS)).json()["tasks"]
        assert [row["id"] for row in listed] == [ours]


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("400", 400, "BadRequest"),
        ("401", 401, "Unauthorized"),
        ("402", 402, "CreditInsufficient"),
        ("403", 403, "Forbidden"),
        ("404", 404, "NotFound"),
        ("408", 408, "RequestTimeout"),
        ("409", 409, "Conflict"),
        ("422", 422, "FieldInvalid"),
        ("429", 429, "TooManyRequests"),
        ("500", 500, "InternalServiceFailure"),
        ("503=3", 503, "SystemThrottling"),
        ("no_id", 200, "OperationInProcess"),
    ],
)
async def test_a_refusing_fault_creates_nothing(tmp_path: Path, fault: str, status: int, reason: str) -> None:
    async with running(tmp_path) as up:
        reply = await up.vidu_create(prompt=f"[[fault:{fault}]] fox", payload="job_1")
        assert (reply.status_code, reply.json()["reason"]) == (status, reason)
        assert reply.headers.get("retry-after") == ("3" if "=" in fault else None)
        assert up.sandbox.tasks == {}
        applied = (await up.ledger("fault"))[0]
        assert (applied["fault"], applied["by"]) == (fault.split("=")[0], "marker")
        assert (applied["payload"], applied["task_id"]) == ("job_1", None)
