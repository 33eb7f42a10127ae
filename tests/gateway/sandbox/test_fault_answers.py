from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateway.sandbox.running import CREATE, Running, running


async def applied(up: Running, fault: str) -> httpx.Response:
    return await up.create(prompt=f"a fox [[fault:{fault}]]")


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("401", 401, {"error": {"code": "Unauthorized", "message": "the API key is missing or not valid"}}),
        (
            "402",
            402,
            {"status": {"code": 402, "message": "Insufficient credits", "error_code": 40201}, "data": None},
        ),
        ("403", 403, {"message": "insufficient balance or permission denied"}),
        ("429", 429, {"error": {"code": "TooManyRequests", "message": "rate limit exceeded"}}),
        ("500", 500, {"error": "internal error"}),
        ("503", 503, {"detail": "temporarily overloaded"}),
        ("no_id", 200, {"error": {"code": 1015, "error_message": "the request was not accepted"}}),
        ("no_id=string", 200, {"error": "the request was not accepted"}),
    ],
)
async def test_a_refusing_fault_creates_nothing(tmp_path: Path, fault: str, status: int, body: Any) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, fault)
        assert (reply.status_code, reply.json()) == (status, body)
        assert up.sandbox.tasks == {}
        assert [line["charged"] for line in await up.ledger("post")] == [None]
        assert [line["fault"] for line in await up.ledger("fault")] == [fault.split("=")[0]]


async def test_retry_after_is_sent_only_when_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        assert "retry-after" not in (await applied(up, "429")).headers
        assert (await applied(up, "429=7")).headers["retry-after"] == "7"


async def test_an_unknown_marker_is_a_400_that_names_the_known_ones(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, "meteor")
        assert reply.status_code == 400
        assert "drop_after_accept" in reply.json()["error"]["message"]


async def test_a_drop_after_accepting_charges_and_does_not_answer(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        with pytest.raises(httpx.TransportError):
            await applied(up, "drop_after_accept*1")
        line = (await up.ledger("post"))[0]
        assert (line["reply"], line["charged"]) == (None, "0.2750")
        assert (await up.ended(line["task_id"]))["status"] == "completed"
        assert (await applied(up, "drop_after_accept*1")).status_code == 200


async def test_a_drop_before_accepting_does_neither(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        with pytest.raises(httpx.TransportError):
            await applied(up, "drop")
        assert [(line["task_id"], line["charged"]) for line in await up.ledger("post")] == [(None, None)]


async def test_the_task_of_a_slow_answer_exists_before_it(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        async with httpx.AsyncClient(base_url=up.url, headers=up.client.headers, timeout=0.1) as hasty:
            with pytest.raises(httpx.ReadTimeout):
                await Running(up.url, hasty, up.sandbox).create(prompt="[[fault:slow=0.4]] fox")
        assert len(up.sandbox.tasks) == 1
        assert (await applied(up, "slow=0.01")).json()["status"] == "in_progress"


async def test_an_instant_task_is_terminal_in_the_first_answer(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=60) as up:
        body = (await applied(up, "instant")).json()
        assert body["status"] == "completed"
        assert body["output"][0]["content"][0]["url"]


async def test_a_page_of_html_hides_a_charged_task(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        reply = await applied(up, "not_json")
        assert reply.text.startswith("<!doctype html>")
        assert (await up.ledger("post"))[0]["charged"] == "0.2750"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("failed_task", {"code": 1027, "error_message": "input did not pass the safety review"}),
        ("failed_task=002014001", {"code": "002014001", "message": "input did not pass the safety review"}),
    ],
)
async def test_a_failed_task_has_a_reason(tmp_path: Path, fault: str, error: dict[str, Any]) -> None:
    async with running(tmp_path, render="full") as up:
        failed = await up.ended((await applied(up, fault)).json()["id"])
        assert (failed["status"], failed["error"]) == ("failed", error)
        assert "output" not in failed


async def test_a_task_may_complete_without_a_result(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        done = await up.ended((await applied(up, "no_url")).json()["id"])
        assert (done["status"], done["output"]) == ("completed", [{"content": []}])


async def test_an_unpublished_status_is_shown_until_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, task_seconds=0.05) as up:
        body = (await applied(up, "unknown_status")).json()
        assert body["status"] == "processing"
        assert (await up.ended(body["id"]))["status"] == "completed"


async def test_a_hidden_task_appears_after_some_polls(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        task_id = (await applied(up, "hidden=2")).json()["id"]
        seen = [(await up.client.get(f"{CREATE}/task/{task_id}")).status_code for _ in range(3)]
        assert seen == [404, 404, 200]


async def test_faults_are_queued_listed_and_cleared_by_the_admin_route(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        ordered = await up.client.post("/admin/faults", json={"fault": "429", "count": 3})
        assert ordered.json()["queued"] == [{"fault": "429", "value": None, "count": 3}]
        assert [(await up.create()).status_code for _ in range(2)] == [429, 429]
        assert (await up.client.get("/admin/faults")).json()["queued"][0]["count"] == 1
        assert (await up.client.delete("/admin/faults")).json()["queued"] == []
        assert (await up.create()).status_code == 200


@pytest.mark.parametrize(
    "wish", [{"fault": "meteor"}, {"fault": "429", "count": 0}, {"count": 1}, [], {"fault": 429}]
)
async def test_an_invalid_fault_request_is_refused(tmp_path: Path, wish: Any) -> None:
    async with running(tmp_path) as up:
        assert (await up.client.post("/admin/faults", json=wish)).status_code == 400
        assert (await up.client.post("/admin/faults", content=b"{")).status_code == 400
