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
    assert late.json()["type"].endswith("/rate-limited")
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


@pytest.fixture
async def rated(client: httpx.AsyncClient, resources: Resources) -> None:
    """The tenant acme may send five requests of each kind at once."""
    own = {"rate": "0.001", "burst": "5"}
    await resources.redis.hset(keys.tenant_settings("acme"), mapping=own)  # type: ignore[misc]


@pytest.mark.parametrize("path", ["/v1/jobs", "/model/v1/generation", "/ent/v2/reference2video"])
async def test_every_answer_to_a_post_of_a_job_tells_the_rest_of_its_rate(
    client: httpx.AsyncClient, rated: None, path: str
) -> None:
    body = {**BODY, "model": "viduq2-pro" if path.startswith("/ent") else BODY["model"]}
    refused = await client.post(path, json={})
    assert refused.status_code in (400, 422)
    assert refused.headers["ratelimit"].startswith('"jobs";r=5;')
    key = {"Idempotency-Key": "order-7"}
    posted = await client.post(path, json=body, headers=key)
    again = await client.post(path, json=body, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    mismatch = await client.post(path, json=body | {"duration": 7}, headers=key)
    not_json = await client.post(path, content=b"{", headers={"content-type": "text/plain"})
    for answer in (posted, again, mismatch, not_json):
        assert answer.headers["ratelimit"].startswith('"jobs";r=4;'), answer.text
        assert answer.headers["ratelimit-policy"] == '"jobs";q=5;w=5000'


@pytest.mark.parametrize("operation", METERED, ids=lambda one: one.id)
async def test_errors_of_a_metered_operation_tell_the_rest_too(
    client: httpx.AsyncClient, rated: None, operation: Operation
) -> None:
    answer = await client.request(operation.method, operation.path.format(**_IDS), content=b"{")
    assert answer.status_code >= 400
    assert answer.headers["ratelimit"].startswith(f'"{operation.metered}";r=4;')


async def test_without_a_rate_nothing_is_said(client: httpx.AsyncClient, resources: Resources) -> None:
    await resources.redis.hset(keys.tenant_settings("acme"), "rate", "0")  # type: ignore[misc]
    for answer in (await client.post("/v1/jobs", json={}), await client.post("/v1/jobs/check", json={})):
        assert answer.status_code == 422
        assert "ratelimit" not in answer.headers
