"""Event streams that are not opened, and why not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from gateway.resources import Resources
from gateway.settings import Settings
from gateway.tenants import Scope
from tests.gateway.web.api.hearing import Serving, post, serving
from tests.gateway.web.conftest import MakeKey

MISSING = "job_" + "0" * 26


@pytest.fixture
def server(settings: Settings, empty_redis: None) -> Iterator[Serving]:
    with serving(settings) as found:
        yield found


@pytest.fixture
async def key(make_key: MakeKey) -> str:
    return await make_key()


@pytest.fixture
async def client(server: Serving, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=10) as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "headers", "param"),
    [
        ("/v1/events?types=job.done", {}, "types"),
        ("/v1/events?types=", {}, "types"),
        ("/v1/events?type=job.failed", {}, "type"),
        ("/v1/events?after=yesterday", {}, "after"),
        ("/v1/events", {"Last-Event-ID": "abc"}, "Last-Event-ID"),
        ("/v1/events", {"Last-Event-ID": "1-2-3"}, "Last-Event-ID"),
        (f"/v1/jobs/{MISSING}/events?types=job.failed", {}, "types"),
    ],
)
async def test_a_wrong_question_is_answered_with_what_is_wrong(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], param: str
) -> None:
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 400
    assert [problem["param"] for problem in answer.json()["errors"]] == [param]


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/events", f"/v1/jobs/{MISSING}/events"])
async def test_a_stream_is_only_to_be_had_by_get(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"].replace("HEAD, ", "").replace(", HEAD", "") == "GET"


async def test_a_stream_needs_a_key_that_may_read_and_a_job_that_is_one_s_own(
    server: Serving, resources: Resources, client: httpx.AsyncClient, make_key: MakeKey
) -> None:
    theirs = await post(resources, "other")
    assert (await client.get(f"/v1/jobs/{theirs.id}/events")).status_code == 404
    assert (await client.get(f"/v1/jobs/{MISSING}/events")).status_code == 404
    assert (await client.get("/v1/jobs/1/events")).status_code == 404
    assert server.state.streams.open == 0
    writer = {"Authorization": f"Bearer {await make_key('acme', [Scope.JOBS_WRITE])}"}
    for path in ("/v1/events", f"/v1/jobs/{theirs.id}/events"):
        assert (await client.get(path, headers=writer)).status_code == 403
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401
