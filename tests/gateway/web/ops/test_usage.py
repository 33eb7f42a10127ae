"""What operators are told about money: of all tenants, the suspense, and the ledger as it was written."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import date

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from gateway.store import balances, keys
from gateway.store.ledger_check import Checked
from gateway.tenants import Scope
from gateway.web.state import State
from tests.gateway.store.accounting import add_balance, day_of, write_entry
from tests.gateway.web.conftest import MakeKey, connected

RANGE = {"from": "2026-10-01", "to": "2026-10-31"}


@pytest.fixture
async def ops(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ])) as opened:
        yield opened


@pytest.fixture
async def spent(state: State) -> None:
    redis = state.resources.redis
    await add_balance(redis, "acme", "2026-10-05", charged=275_000, unsaid=275_000, jobs=1)
    await add_balance(redis, "other", "2026-10-06", charged=1_000_000, dearer=10_000, cheaper=200, jobs=2)


@pytest.mark.usefixtures("spent")
async def test_usage_is_told_by_tenant_or_as_is_asked(ops: httpx.AsyncClient) -> None:
    found = (await ops.get("/ops/api/usage", params=RANGE)).json()
    assert [(one["tenant"], one["day"], one["charged"]) for one in found["data"]] == [
        ("acme", None, "0.2750"), ("other", None, "1.0000")
    ]  # fmt: skip
    drift = {name: found["sum"][name] for name in ("unsaid", "dearer", "cheaper")}
    assert drift == {"unsaid": "0.2750", "dearer": "0.0100", "cheaper": "0.0002"}
    by_day = (await ops.get("/ops/api/usage", params={**RANGE, "group_by": "day"})).json()["data"]
    assert [(one["tenant"], one["day"]) for one in by_day] == [(None, "2026-10-05"), (None, "2026-10-06")]
    one = (await ops.get("/ops/api/usage", params={**RANGE, "tenant": "acme", "group_by": "key,day"})).json()
    assert [(line["key"], line["day"]) for line in one["data"]] == [("00000000000a", "2026-10-05")]
    text = (await ops.get("/ops/api/usage", params={**RANGE, "format": "csv"})).text
    assert [row["tenant"] for row in csv.DictReader(io.StringIO(text))] == ["acme", "other"]


@pytest.mark.usefixtures("spent")
async def test_a_report_of_too_many_tenants_says_how_to_narrow_it(
    ops: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balances, "MOST_READS", 40)
    answer = await ops.get("/ops/api/usage", params=RANGE)
    assert (answer.status_code, answer.json()["errors"][0]["param"]) == (400, "from")
    assert (await ops.get("/ops/api/usage", params={**RANGE, "tenant": "acme"})).status_code == 200


async def test_clients_see_none_of_it(client: httpx.AsyncClient) -> None:
    for path in ("usage", "suspense", "ledger", "ledger/check"):
        assert (await client.get(f"/ops/api/{path}")).status_code == 403


@pytest.mark.parametrize("kept", ["redis", "media"])
async def test_the_ledger_is_exported_oldest_first_wherever_its_days_are(
    ops: httpx.AsyncClient, state: State, kept: str
) -> None:
    r = state.resources
    old, day = day_of(9), day_of(3)
    await write_entry(r.redis, "reserve", 275_000, day=old)
    await write_entry(r.redis, "reserve", 275_000, day=day)
    await write_entry(r.redis, "adjust", 300_000, day=day, taken="275000", why="=HYPERLINK()")
    if kept == "media":
        for closed in await r.ledger_archive.closed():
            assert await r.ledger_archive.move(closed)
        assert not await r.redis.exists(keys.ledger(day))
    answer = await ops.get("/ops/api/ledger", params={"from": day})
    assert answer.headers["content-type"] == "application/jsonl"
    first, second = map(orjson.loads, answer.text.splitlines())
    assert {**first, "id": "", "job": ""} == {
        "id": "", "at": f"{day}T00:00:00.000Z", "kind": "reserve", "job": "", "tenant": "acme",
        "key": "00000000000a", "amount": "0.2750", "taken": "0.0000", "period": day, "priced": "2026-12-01",
        "why": "accepted",
    }  # fmt: skip
    assert (second["amount"], second["taken"], second["why"]) == ("0.3000", "0.2750", "=HYPERLINK()")
    text = (await ops.get("/ops/api/ledger", params={"from": day, "format": "csv"})).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["kind"] for row in rows] == ["reserve", "adjust"]
    assert rows[1]["why"] == "'=HYPERLINK()"  # no spreadsheet takes it for a formula
    everything = (await ops.get("/ops/api/ledger", params={"from": old})).text
    assert len(everything.splitlines()) == 3


async def test_the_check_names_what_differs(ops: httpx.AsyncClient, state: State) -> None:
    redis, today = state.resources.redis, day_of()
    await write_entry(redis, "reserve", 5)
    await add_balance(redis, "acme", today, reserved=5)
    found = (await ops.get("/ops/api/ledger/check")).json()
    assert (found["entries"], found["different"], found["differences"]) == (1, 0, [])
    assert found["balances"] > 0
    await redis.hset(keys.balance("acme", today), "*|reserved", "6")  # type: ignore[misc]
    found = (await ops.get("/ops/api/ledger/check", params={"from": today})).json()
    assert found["different"] == 1
    [one] = found["differences"]
    assert one == {
        "tenant": "acme", "key": None, "period": today, "field": "reserved",
        "ledger": "0.000005", "balance": "0.000006",
    }  # fmt: skip


async def test_a_check_that_would_read_too_many_days_is_refused(ops: httpx.AsyncClient) -> None:
    for asked in ({"from": day_of(100), "to": day_of(99)}, {"from": day_of(100)}):
        answer = await ops.get("/ops/api/ledger/check", params=asked)
        assert (answer.status_code, answer.json()["errors"][0]["param"]) == (400, "from")
    assert (await ops.get("/ops/api/ledger/check", params={"from": day_of(99)})).status_code == 200


async def test_a_second_check_is_refused_while_one_runs(
    ops: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, second, runs = state.resources.ledger_check.run, list[httpx.Response](), list[int]()

    async def busy(since: date, until: date) -> Checked:
        runs.append(1)
        if len(runs) == 1:
            second.append(await ops.get("/ops/api/ledger/check"))
        return await run(since, until)

    monkeypatch.setattr(type(state.resources.ledger_check), "run", lambda _, since, until: busy(since, until))
    assert (await ops.get("/ops/api/ledger/check")).status_code == 200
    assert (second[0].status_code, second[0].headers["retry-after"]) == (429, "10")
    assert "compares the balances with the ledger already" in second[0].json()["detail"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
async def test_an_export_whose_first_day_cannot_be_read_is_a_503(
    ops: httpx.AsyncClient, state: State, form: str
) -> None:
    r, day = state.resources, day_of(3)
    await write_entry(r.redis, "reserve", 275_000, day=day)
    assert await r.ledger_archive.move(day)
    await r.media.drop(f"ledger/{day}")
    answer = await ops.get("/ops/api/ledger", params={"from": day, "format": form})
    assert answer.status_code == 503
    assert f"part 0 of the ledger of {day}" in answer.json()["detail"]


async def test_an_export_of_no_entries_is_empty(ops: httpx.AsyncClient) -> None:
    answer = await ops.get("/ops/api/ledger", params={"from": day_of(3)})
    assert (answer.status_code, answer.text) == (200, "")


async def test_jobs_in_suspense_are_listed_with_what_may_have_been_paid(
    ops: httpx.AsyncClient, state: State
) -> None:
    names = [f"job_{digit * 26}" for digit in "12"]
    for at, name in enumerate(names, 1_700_000_000_000):
        record = {"tenant": "acme", "suspense": "275000"}
        await state.resources.redis.hset(keys.job(name), mapping=record)  # type: ignore[misc]
        await state.resources.redis.zadd(keys.SUSPENSE, {name: at})
    first = (await ops.get("/ops/api/suspense?limit=1")).json()
    assert first["data"] == [
        {
            "id": f"1700000000000-{names[0]}", "job": names[0], "tenant": "acme",
            "since": "2023-11-14T22:13:20.000Z", "suspense": "0.2750",
        }
    ]  # fmt: skip
    second = (await ops.get(first["next"])).json()
    assert [one["job"] for one in second["data"]] == [names[1]]
    assert (second["has_more"], second["next"]) == (False, None)
