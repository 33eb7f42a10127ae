"""Several keys: each sees its own tasks alone, and can be without credit alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.sandbox import admin
from tests.gateway.sandbox.running import CREATE, KEY, VIDU_CREATE, VIDU_TASKS, Running, flat, nested, running

BEARER = {"Authorization": "Bearer second-key"}
TOKEN = {"Authorization": "Token second-key"}


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[Running]:
    async with running(folder, accounts={"second": "second-key"}) as up:
        yield up


async def refused(up: Running, account: object, fault: object) -> httpx.Response:
    return await up.client.post("/admin/accounts", json={"account": account, "refuse": fault})


async def test_a_task_is_visible_only_with_the_key_that_created_it(tmp_path: Path) -> None:
    async with two(tmp_path) as up:
        task = (await up.client.post(CREATE, json=nested(), headers=BEARER)).json()["id"]
        path = f"{CREATE}/task/{task}"
        assert (await up.client.get(path, headers=BEARER)).status_code == 200
        assert (await up.client.get(path)).status_code == 404
        assert [line["account"] for line in await up.ledger("post")] == ["second"]
        assert [line["account"] for line in await up.ledger("get")] == ["second", "main"]


async def test_the_vidu_dialect_separates_accounts_too(tmp_path: Path) -> None:
    async with two(tmp_path) as up:
        mine = await up.vidu_made()
        task = (await up.client.post(VIDU_CREATE, json=flat(), headers=TOKEN)).json()["task_id"]
        for method, what, more in (("GET", "creations", {}), ("POST", "cancel", {"json": {"id": task}})):
            assert (await up.vidu(method, f"{VIDU_TASKS}/{task}/{what}", **more)).status_code == 404
        listed = (await up.client.get(VIDU_TASKS, headers=TOKEN)).json()["tasks"]
        assert [found["id"] for found in listed] == [task]
        assert [found["id"] for found in (await up.vidu("GET", VIDU_TASKS)).json()["tasks"]] == [mine]
        assert [line["account"] for line in await up.ledger("list")] == ["second", "main"]


async def test_one_account_is_refused_until_that_is_removed_and_the_other_is_not(tmp_path: Path) -> None:
    async with two(tmp_path) as up:
        shown = (await refused(up, "second", "402")).json()
        assert shown == {"accounts": {"main": None, "second": "402"}}
        assert (await up.client.post(CREATE, json=nested(), headers=BEARER)).status_code == 402
        assert (await up.create()).status_code == 200
        assert (await refused(up, "second", None)).json() == {"accounts": {"main": None, "second": None}}
        assert (await up.client.post(CREATE, json=nested(), headers=BEARER)).status_code == 200
        assert [line["charged"] is None for line in await up.ledger("post")] == [True, False, False]


@pytest.mark.parametrize(
    ("account", "fault", "words"),
    [("third", "402", "one of main, second"), ("second", "slow=1", "refuse must be"), (7, None, "account")],
)
async def test_an_invalid_account_fault_is_refused(
    tmp_path: Path, account: object, fault: object, words: str
) -> None:
    async with two(tmp_path) as up:
        answer = await refused(up, account, fault)
        assert (answer.status_code, words in answer.text) == (400, True)
        assert (await up.client.post("/admin/accounts", json=[])).status_code == 400
        assert (await up.client.get("/admin/accounts")).json() == {"accounts": {"main": None, "second": None}}


async def test_an_unknown_key_has_no_account(tmp_path: Path) -> None:
    async with two(tmp_path) as up:
        stranger = {"Authorization": f"Bearer {KEY}x"}
        assert (await up.client.post(CREATE, json=nested(), headers=stranger)).status_code == 401
        assert [line["account"] for line in await up.ledger("post")] == [None]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Bearer second-key", f"Token {KEY}"]
)
async def test_only_the_key_of_the_main_account_opens_the_admin_routes(
    tmp_path: Path, authorization: str | None
) -> None:
    async with two(tmp_path) as up:
        await up.create(callback_url="http://127.0.0.1:9/callbacks/secret-token")
        given = {} if authorization is None else {"Authorization": authorization}
        async with httpx.AsyncClient(base_url=up.url, headers=given) as stranger:
            for route in admin.ROUTES:
                for method in route.methods or ():
                    answer = await stranger.request(
                        method, route.path, json={"account": "main", "refuse": "402"}
                    )
                    assert answer.status_code == 401, route.path
                    assert "secret-token" not in answer.text
        assert (await up.client.get("/admin/accounts")).json() == {"accounts": {"main": None, "second": None}}
        assert "secret-token" in (await up.client.get("/admin/tasks")).text
