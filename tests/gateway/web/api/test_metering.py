"""A tenant's rate meters every request of it that makes work, and no other tenant waits for it."""

from __future__ import annotations

import httpx
import pytest

from gateway.resources import Resources
from gateway.store import keys
from gateway.web.api.routes import API
from gateway.web.operation import Operation
from tests.gateway.web.conftest import BODY

METERED = [operation for operation in API if operation.metered]
_IDS = {
    "endpoint_id": "ep_" + "1" * 26,
    "delivery_id": "dlv_" + "0" * 26 + "_canceled_callback",
    "recovery_id": "rec_" + "0" * 26,
}


@pytest.fixture
async def slow(client: httpx.AsyncClient, resources: Resources) -> None:
    """The tenant acme may send one request of each kind, and then nothing for a quarter of an hour."""
    own = {"rate": "0.001", "burst": "1"}
    await resources.redis.hset(keys.tenant_settings("acme"), mapping=own)  # type: ignore[misc]


async def call(client: httpx.AsyncClient, operation: Operation) -> httpx.Response:
    return await client.request(operation.method, operation.path.format(**_IDS), json=BODY)


def test_everything_but_jobs_that_a_client_writes_is_metered() -> None:
    """Jobs are metered when they are accepted; a cancel and a deletion of files only take work away, and a
    link is only computed."""
    writes = {operation.id for operation in API if operation.scopes and operation.method != "GET"}
    assert writes - {operation.id for operation in METERED} == {
        *("createJob", "cancelJob", "createJobLink", "deleteJobContent", "deleteUpload"),
    }


@pytest.mark.parametrize("operation", METERED, ids=lambda one: one.id)
async def test_above_its_rate_a_tenant_gets_a_429_that_says_when_and_others_do_not(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient, slow: None, operation: Operation
) -> None:
    first = await call(client, operation)
    assert first.status_code != 429
    late = await call(client, operation)
    assert late.status_code == 429
    assert operation.metered is not None
    assert late.json()["type"].endswith(":rate-limited")
    assert late.json()["limit"] == operation.metered.replace(" ", "_")
    assert 900 < int(late.headers["retry-after"]) <= 1000
    assert late.headers["ratelimit"].startswith(f'"{operation.metered}";r=0;')
    assert (await call(stranger, operation)).status_code != 429


async def test_dry_runs_leave_the_rate_of_jobs_alone_and_show_their_own(
    client: httpx.AsyncClient, slow: None
) -> None:
    checked = await client.post("/v1/jobs/check", json=BODY)
    assert checked.status_code == 200
    assert checked.headers["ratelimit-policy"] == '"checks";q=1;w=1000'
    assert (await client.post("/v1/jobs", json=BODY)).status_code == 202
    late = await client.post("/v1/jobs", json=BODY)
    assert (late.status_code, late.json()["limit"]) == (429, "jobs")
