"""Prices over HTTP: shown, replaced, refused; and what a job costs by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from gateway.money.price_document import read
from gateway.resources import Resources
from gateway.sandbox import prices as sandbox_prices
from gateway.settings import Settings
from gateway.store.prices import StoredPrices
from gateway.tenants import Scope
from gateway.web.schemas import prices
from gateway.web.schemas.jobs import JobCheck
from gateway.web.state import State
from tests.gateway.money.books import document, row
from tests.gateway.web.conftest import BODY, MakeKey, add_key, connected, serving
from tests.gateway.web.parsing import parsed

PATH = "/ops/api/prices"


@pytest.fixture
async def operator(app: Starlette, make_key: MakeKey) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(app, await make_key("platform", [Scope.OPS_READ, Scope.OPS_WRITE])) as opened:
        yield opened


async def cost(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post("/v1/jobs/check", json=BODY | changes)
    assert answer.status_code == 200
    return dict(parsed(JobCheck, answer.content)["cost"])


async def test_no_prices_are_shipped(operator: httpx.AsyncClient) -> None:
    shown = parsed(prices.Prices, (await operator.get(PATH)).content)
    assert (shown["source"], shown["version"], shown["prices"], shown["currency"]) == ("store", 0, [], "USD")
    [process] = shown["processes"]
    assert (process["digest"], process["fault"]) == (shown["digest"], False)


async def test_new_prices_count_at_once_and_are_audited(
    operator: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    assert await cost(client) == {"estimate": None, "upper_bound": False, "currency": "USD"}
    changed = await operator.put(PATH, json=document(row()))
    shown = parsed(prices.Prices, changed.content)
    assert (shown["version"], shown["prices"]) == (1, [row(with_clips=False, off_peak=False, surcharges={})])
    assert [one["digest"] for one in shown["processes"]] == [shown["digest"]]
    assert await cost(client) == {"estimate": "0.2750", "upper_bound": False, "currency": "USD"}
    assert await cost(client, duration=0) == {"estimate": "0.5000", "upper_bound": True, "currency": "USD"}
    [entry] = (await operator.get("/ops/api/audit")).json()["data"]
    assert (entry["act"], entry["prices"]) == ("prices_changed", "0 -> 1")
    assert entry["by"] == shown["changed_by"]
    assert "720p from 2026-01-01: none -> 0.0750 + 0.0650 + 0.0450" in entry["changes"]


async def test_a_job_keeps_the_estimate_of_its_day(
    operator: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    await operator.put(PATH, json=document(row()))
    made = await client.post("/v1/jobs", json=BODY)
    assert made.json()["cost"]["estimate"] == "0.2750"
    await operator.put(PATH, json=document(row(first_second="9")))
    path = f"/v1/jobs/{made.json()['id']}"
    shown = (await client.get(path)).json()["cost"]
    assert (shown["estimate"], shown["currency"]) == ("0.2750", "USD")
    assert (await client.get("/v1/jobs")).json()["data"][0]["cost"] == shown
    assert (await operator.get(f"/ops/api{path.removeprefix('/v1')}")).json()["job"]["cost"] == shown


async def test_wrong_prices_are_refused_with_their_fields_and_change_nothing(
    operator: httpx.AsyncClient,
) -> None:
    await operator.put(PATH, json=document(row()))
    wrong = document(row(first_second="-1"), row(first_second="1e3"), row(resolution="4K"), currency="EUR")
    answer = await operator.put(PATH, json=wrong)
    assert answer.status_code == 422
    assert [error["param"] for error in answer.json()["errors"]] == [
        "currency",
        "prices[0].first_second",
        "prices[1].first_second",
        "prices[2].resolution",
    ]
    for body, param in (
        (b"[]", ""),
        (b'{"currency": "USD"}', "prices"),
        (b'{"currency": "USD", "prices": [], "version": -1}', "version"),
        (b'{"currency": "USD", "prices": [], "prices": []}', ""),
    ):
        answer = await operator.put(PATH, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        assert answer.json()["errors"][0]["param"] == param
    assert (await operator.get(PATH)).json()["version"] == 1


async def test_prices_that_somebody_else_changed_are_not_overwritten(operator: httpx.AsyncClient) -> None:
    await operator.put(PATH, json=document(row()))
    stale = await operator.put(PATH, json=document() | {"version": 0})
    assert (stale.status_code, "version 0" in stale.json()["detail"]) == (409, True)
    assert (await operator.put(PATH, json=document() | {"version": 1})).status_code == 200


async def test_stored_prices_that_this_version_cannot_read_can_be_replaced(
    operator: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await operator.put(PATH, json=document(row()))
    store = state.resources.prices
    newer = (await store.read())._replace(document=document(row(resolution="4K")))

    async def read() -> StoredPrices:
        return newer

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "read", lambda _: read())
        assert (await operator.put(PATH, json=document(row(first_second="0.08")))).status_code == 200
        late = await operator.put(PATH, json=document(row()))
    assert (late.status_code, "while these were sent" in late.json()["detail"]) == (409, True)


async def test_all_processes_get_new_prices(
    operator: httpx.AsyncClient, app: Starlette, settings: Settings, make_key: MakeKey
) -> None:
    async with serving(settings) as other, connected(other, await make_key()) as client:
        await operator.put(PATH, json=document(row()))
        await other.state.gateway.price_watch.look()  # as it does every two seconds
        assert (await cost(client))["estimate"] == "0.2750"
        processes = (await operator.get(PATH)).json()["processes"]
        assert len({one["process"] for one in processes}) == 2
        assert len({one["digest"] for one in processes}) == 1
    assert len((await operator.get(PATH)).json()["processes"]) == 1


async def test_prices_of_another_currency_are_not_used_and_it_is_said(
    operator: httpx.AsyncClient, settings: Settings, make_key: MakeKey
) -> None:
    await operator.put(PATH, json=document(row()))
    key = await make_key("platform", [Scope.OPS_READ])
    async with (
        serving(settings.model_copy(update={"currency": "EUR"})) as other,
        connected(other, key) as reader,
    ):
        shown = (await reader.get(PATH)).json()
    assert (shown["prices"], shown["currency"]) == ([], "EUR")
    assert 'currency: is "USD", but this gateway counts in "EUR"' in shown["fault"]


async def test_only_operators_see_and_change_prices(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH)).status_code == 403
    assert (await client.put(PATH, json=document())).status_code == 403


async def test_prices_are_found_when_the_process_began_without_the_store(
    state: State, resources: Resources, client: httpx.AsyncClient
) -> None:
    await resources.prices.change(read(document(row()), "USD"), 0, "key1", {"changes": ""})
    state.price_watch._version = None  # as at the start
    assert (await cost(client))["estimate"] is None  # a check needs no store
    assert (await client.post("/v1/jobs", json=BODY)).json()["cost"]["estimate"] == "0.2750"


async def test_a_price_file_is_the_only_source(
    settings: Settings, empty_redis: None, resources: Resources
) -> None:
    path = Path(sandbox_prices.__file__).with_suffix(".toml")
    async with serving(settings.model_copy(update={"prices_file": path})) as app:
        key = await add_key(resources, "platform", [*Scope])
        async with connected(app, key) as operator:
            shown = parsed(prices.Prices, (await operator.get(PATH)).content)
            assert (shown["source"], shown["file"], shown["version"]) == ("file", str(path), None)
            assert len(shown["prices"]) == 24
            refused = await operator.put(PATH, json=document())
            assert refused.status_code == 409
            assert f"in the file {path} (GATEWAY_PRICES_FILE): change it there" in refused.json()["detail"]
            assert (await cost(operator))["estimate"] == "0.2750"
            assert (await cost(operator, videos=["https://cdn.example.com/a.mp4"]))["estimate"] == "0.3250"
