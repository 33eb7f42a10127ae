from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.sandbox.vidu_answers import timestamp
from tests.gateway.sandbox.running import VIDU_TASKS, Params, Running, running


async def listed(up: Running, **query: Any) -> Params:
    reply = await up.vidu("GET", VIDU_TASKS, params=query)
    assert reply.status_code == 200, reply.text
    found: Params = reply.json()
    return found


def ids(page: Params) -> list[str]:
    return [row["id"] for row in page["tasks"]]


async def test_rows_are_the_newest_first_and_show_no_payload(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        made = [await up.vidu_made(payload="job_1", prompt="a fox") for _ in range(3)]
        page = await listed(up)
        assert (ids(page), page["next_page_token"]) == (made[::-1], "")
        row = page["tasks"][0]
        assert "payload" not in row
        assert (row["state"], row["model"], row["prompt"]) == ("success", "viduq2-pro", "a fox")
        assert row["created_at"].endswith("Z")
        assert (await up.ledger("list"))[0]["task_ids"] == made[::-1]


async def test_the_payload_is_shown_if_the_option_is_set(tmp_path: Path) -> None:
    async with running(tmp_path, list_payload=True) as up:
        await up.vidu_made(payload="job_1")
        assert (await listed(up))["tasks"][0]["payload"] == "job_1"


async def test_pages_stay_consistent_while_new_tasks_arrive(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        made = [await up.vidu_made() for _ in range(25)]
        seen: list[str] = []
        query: Params = {"pager.pagesz": 10}
        while True:
            page = await listed(up, **query)
            seen += ids(page)
            await up.vidu_made()
            if not page["next_page_token"]:
                break
            query["pager.page_token"] = page["next_page_token"]
        assert seen == made[::-1]


async def test_the_list_is_filtered_by_time_state_and_ids(tmp_path: Path) -> None:
    async with running(tmp_path, concurrency=0) as up:
        old, middle, new = [await up.vidu_made() for _ in range(3)]
        now = up.sandbox.environment.clock()
        up.sandbox.tasks[old].created_at = now - 8 * 24 * 3600
        up.sandbox.tasks[middle].created_at = now - 3600
        await up.vidu_cancel(new)
        assert ids(await listed(up)) == [new, middle]
        since, until = timestamp(now - 7200), timestamp(now - 1800)
        assert ids(await listed(up, **{"created_at.from": since, "created_at.to": until})) == [middle]
        assert ids(await listed(up, **{"created_at.from": timestamp(0)})) == [new, middle, old]
        assert ids(await listed(up, states="failed")) == [new]
        assert ids(await listed(up, states="failed,queueing")) == [new, middle]
        assert ids(await listed(up, states=["failed", "queueing"])) == [new, middle]
        assert ids(await listed(up, task_ids=[middle, "123"])) == [middle]
        assert ids(await listed(up, model_versions="q2-pro")) == [new, middle]
        assert ids(await listed(up, model_versions="q1")) == []


@pytest.mark.parametrize(
    "query",
    [
        {"pager.pagesz": "9"},
        {"pager.pagesz": "101"},
        {"pager.pagesz": "ten"},
        {"pager.pagesz": ["10", "20"]},
        {"pager.page_token": "???"},
        {"pager.page_token": "YWZ0ZXI6MQ=="},
        {"created_at.from": "yesterday"},
        {"created_at.from": "2026-01-20T06:52:02"},
        {"states": "done"},
        {"since": "0"},
    ],
)
async def test_an_invalid_query_is_refused(tmp_path: Path, query: Params) -> None:
    async with running(tmp_path) as up:
        reply = await up.vidu("GET", VIDU_TASKS, params=query)
        assert reply.status_code == 400
        assert reply.json()["reason"].startswith("Field")
