"""What one tenant may ask of a process: so many requests, so many waits; and who it does not disturb."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway.errors import LimitReached
from gateway.local import shared_memory
from gateway.local.shared_memory import Shared
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web import app as web_app
from gateway.web.http import login_limits
from gateway.web.http.rates import Rate
from gateway.web.http.request_counts import RequestCounts
from gateway.web.state import State
from tests.gateway.web.api.hearing import SECONDS, Serving, cancel, post, serving
from tests.gateway.web.api.test_events_life import become
from tests.gateway.web.conftest import BODY, MakeKey, connected
from tests.gateway.web.conftest import serving as serving_here
from tests.gateway.web.hostile import OPERATIONS
from tests.gateway.web.pages.conftest import sign_in

KEYED = [operation for operation in OPERATIONS if operation.scopes]


@pytest.fixture
async def app(
    settings: Settings, empty_redis: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Starlette]:
    """With rates so slow that nothing comes back during a test."""
    monkeypatch.setattr(web_app, "_METRICS", (0.01, 3))
    slow = {"tenant_request_rate": 0.01, "tenant_request_burst": 20}
    async with serving_here(settings.model_copy(update=slow)) as started:
        yield started


def use_up(state: State, tenant: str) -> None:
    while not state.requests.wait(tenant):
        pass


async def test_every_operation_counts_for_its_tenant_except_new_jobs(
    app: Starlette, state: State, make_key: MakeKey
) -> None:
    use_up(state, "busy")
    async with connected(app, await make_key("busy", list(Scope))) as client:
        for operation in KEYED:
            path = operation.path.replace("{", "").replace("}", "")
            answer = await client.request(operation.method, path)
            assert answer.status_code == 429, operation.id  # POST /v1/jobs too, because its body is refused
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
        assert (await client.get("/livez")).status_code == 200
    async with connected(app, await make_key("calm")) as client:
        assert (await client.get("/v1/jobs")).status_code == 200


async def test_a_new_job_counts_only_when_it_is_refused_or_replayed(
    app: Starlette, state: State, make_key: MakeKey
) -> None:
    """Jobs have a rate of their own, but that meets only those that are accepted."""
    async with connected(app, await make_key("busy")) as client:
        again = {"Idempotency-Key": "one"}
        assert (await client.post("/v1/jobs", json=BODY, headers=again)).status_code == 202
        for _ in range(19):
            assert (await client.post("/v1/jobs", json={})).status_code == 422
        replayed = await client.post("/v1/jobs", json=BODY, headers=again)
        assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (202, "true")
        assert (await client.post("/v1/jobs", json={})).status_code == 429
        assert (await client.post("/v1/jobs", json=BODY, headers=again)).status_code == 429
        assert (await client.post("/v1/jobs", json=BODY)).status_code == 202


async def test_a_request_over_the_rate_is_refused_with_what_is_allowed(
    app: Starlette, state: State, make_key: MakeKey
) -> None:
    use_up(state, "busy")
    async with connected(app, await make_key("busy")) as client:
        answer = await client.get("/v1/jobs")
    assert answer.status_code == 429
    refused = answer.json()
    assert (refused["type"].rpartition("/")[2], refused["limit"]) == ("rate-limited", "requests")
    assert "20 requests at once, then 0.01 per second" in refused["detail"]


async def test_the_pages_count_for_the_tenant_of_the_operator(
    app: Starlette, state: State, make_key: MakeKey
) -> None:
    key = await make_key("platform", [Scope.OPS_READ])
    async with connected(app) as browser, connected(app, key) as script:
        await sign_in(browser, key)
        assert (await browser.get("/ops/jobs")).status_code == 200
        use_up(state, "platform")
        for client in (browser, script):
            refused = await client.get("/ops/jobs")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            assert refused.headers["content-type"].startswith("text/html")


async def test_the_metrics_are_bounded_for_each_address(app: Starlette) -> None:
    async def ask(address: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get("/metrics")

    assert [(await ask("192.0.2.1")).status_code for _ in range(3)] == [200] * 3
    refused = await ask("192.0.2.1")
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert (await ask("192.0.2.2")).status_code == 200
    own_network = [f"2001:db8::{number}" for number in range(4)]  # of one owner
    assert [(await ask(address)).status_code for address in own_network] == [200, 200, 200, 429]


def test_a_rate_of_zero_is_no_limit() -> None:
    free = Rate(0, 1, lambda: 0.0)
    assert [free.wait("a") for _ in range(1000)] == [0] * 1000


def test_a_burst_is_free_and_then_comes_the_rate() -> None:
    now = [1000.0]
    rate = Rate(2.0, 3, lambda: now[0])
    assert [rate.wait("a") for _ in range(5)] == [0, 0, 0, 1, 1]
    assert rate.wait("b") == 0
    now[0] += 0.5
    assert [rate.wait("a") for _ in range(2)] == [0, 1]
    now[0] += 60
    assert [rate.wait("a") for _ in range(4)] == [0, 0, 0, 1]
    slow = Rate(0.01, 1, lambda: now[0])
    assert [slow.wait("a") for _ in range(2)] == [0, 100]


def test_rates_with_the_same_times_are_one_and_those_of_another_kind_are_not() -> None:
    times, now = Shared().times, [1000.0]
    first, same, other = (Rate(1.0, 1, lambda: now[0], what, times) for what in ("a", "a", "b"))
    assert [one.wait("acme") for one in (first, same, other)] == [0, 1, 0]


def test_strangers_with_many_addresses_do_not_make_us_forget_our_own_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_memory, "_ROWS", 4)
    monkeypatch.setattr(login_limits, "OVERALL", (20, 0.001))
    shared, clock = Shared(), lambda: 1000.0
    requests = Rate(1.0, 1, clock, "requests", shared.times)  # its time is the earliest
    limits = login_limits.LoginLimits(clock, shared)
    assert requests.wait("acme") == 0
    for number in range(20):
        limits.count(f"192.0.2.{number}")
    rows = bytes(shared.times_of_strangers._table._names)
    with pytest.raises(LimitReached, match="everywhere"):
        limits.count("198.51.100.1")
    assert bytes(shared.times_of_strangers._table._names) == rows
    assert requests.wait("acme") > 0


def test_a_count_that_cannot_be_read_is_left_out() -> None:
    counts = Shared().counts
    for labels in ("request /v1/jobs 202", "request /v1/jobs", "request /v1/jobs 2x", "requ"):
        counts.add(*labels.split())
    for labels in ("callback applied", "callback"):
        counts.add(*labels.split())
    start = counts._table._names.find(b"requ\0")
    counts._table._names[start : start + 4] = b"re\xc3q"
    found = RequestCounts(counts)
    assert found.requests == {("/v1/jobs", 202): 1}
    assert found.callbacks == {"applied": 1}


@pytest.fixture
def narrow(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings.model_copy(update={"waits_max": 2})) as found:
        yield found


async def test_a_tenant_may_wait_for_so_many_jobs_at_once_and_no_more(
    narrow: Serving, resources: Resources, make_key: MakeKey
) -> None:
    def client_of(key: str) -> httpx.AsyncClient:
        theirs = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=narrow.url, headers=theirs, timeout=2 * SECONDS)

    async with client_of(await make_key()) as client, client_of(await make_key("other")) as other:
        job, theirs = await post(resources), await other.post("/v1/jobs", json=BODY)
        path = f"/v1/jobs/{job.id}?wait=60"
        waits = [asyncio.create_task(client.get(path)) for _ in range(2)]
        await become(lambda: narrow.state.held.sum("waits acme") == 2)
        refused = await client.get(f"/v1/jobs/{job.id}?wait=1")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
        assert refused.json()["limit"] == "open_waits"
        assert (await client.get(f"/v1/jobs/{job.id}")).status_code == 200
        posted = await client.post("/v1/jobs", json=BODY, headers={"Prefer": "wait=60"})
        assert (posted.status_code, "preference-applied" in posted.headers) == (202, False)
        assert await resources.jobs.read(posted.json()["id"]) is not None
        theirs_path = f"{theirs.headers['location']}?wait=1"
        assert (await other.get(theirs_path)).status_code == 200
        await cancel(resources, job)
        assert [(await wait).json()["status"] for wait in waits] == ["canceled"] * 2
        await become(lambda: not narrow.state.held.sum("waits acme"))
