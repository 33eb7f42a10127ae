"""While the bucket is away, jobs that need no file go on; the others get a 503 and cost nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
import pytest

from gateway.media.opening import open_store
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.state import State
from tests.buckets import S3Server
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.store.test_memory_watermark_gauge import until
from tests.gateway.web.conftest import BODY, MakeKey, app, client, connected, make_key, serving, state
from tests.gateway.web.ops.test_tenants import operator
from tests.processes import free_port

__all__ = ["app", "client", "connected", "make_key", "operator", "state"]

INLINE = BODY | {"images": [data_uri("image/png", image("png"))]}


@pytest.fixture
def variables(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def settings(settings: Settings, s3: S3Server, variables: None) -> Settings:
    place = {"media_url": f"s3://{s3.new_bucket()}/media", "blob_dir": Path("blobs")}
    return settings.model_copy(update=place)


@pytest.fixture
def unreachable(
    client: httpx.AsyncClient, state: State, monkeypatch: pytest.MonkeyPatch
) -> httpx.AsyncClient:
    """A client of a gateway whose bucket goes away."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    away = open_store(state.resources.settings.media_location())
    for name in ("put", "drop"):
        monkeypatch.setattr(state.resources.media, name, getattr(away, name))
    return client


async def test_inline_media_go_to_the_bucket(client: httpx.AsyncClient, resources: Resources) -> None:
    answer = await client.post("/v1/jobs", json=INLINE)
    assert answer.status_code == 202
    job = await resources.jobs.read(answer.json()["id"])
    assert job is not None
    assert await resources.inline_files.read(job.params["images"][0]) == image("png")


async def test_with_the_bucket_away_only_jobs_without_files_are_taken(
    unreachable: httpx.AsyncClient, resources: Resources
) -> None:
    refused = await unreachable.post("/v1/jobs", json=INLINE, headers={"Idempotency-Key": "one"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert "no connection to the bucket" in refused.json()["detail"]
    assert "127.0.0.1" not in refused.text
    assert (await unreachable.post("/v1/jobs", json=BODY)).status_code == 202
    taken = (await unreachable.get("/v1/jobs")).json()["data"]
    assert len(taken) == 1


async def test_the_same_request_is_taken_when_the_bucket_is_back(
    unreachable: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"Idempotency-Key": "one"}
    assert (await unreachable.post("/v1/jobs", json=INLINE, headers=key)).status_code == 503
    monkeypatch.undo()
    assert (await unreachable.post("/v1/jobs", json=INLINE, headers=key)).status_code == 202


async def test_a_bucket_has_no_disk_that_could_be_full(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    await state.disk.read()
    state.disk.check(inline=True)
    shown = (await operator.get("/ops/api/overview")).json()
    assert shown["disk"] is None
    assert "DiskNearlyFull" not in [one["code"] for one in shown["alarms"]]
    assert "gateway_disk" not in (await client.get("/metrics")).text


async def test_operators_see_that_the_bucket_is_away_and_the_gateway_is_as_ready_as_before(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, state: State
) -> None:
    await until(lambda: state.media.up is True)
    readiness = (await client.get("/readyz")).json()
    for up, shown in ((True, []), (False, ["MediaStoreAway"])):
        state.media.up = up
        assert f"gateway_media_up {float(up)}" in (await client.get("/metrics")).text
        alarms = (await operator.get("/ops/api/overview")).json()["alarms"]
        assert [one["code"] for one in alarms if one["code"] == "MediaStoreAway"] == shown
        again = (await client.get("/readyz")).json()
        assert again | {"request_id": ""} == readiness | {"request_id": ""}


async def test_a_gateway_starts_with_its_bucket_away(
    settings: Settings, empty_redis: None, make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    async with serving(settings) as started, connected(started, await make_key()) as opened:
        assert (await opened.post("/v1/jobs", json=BODY)).status_code == 202
        assert (await opened.post("/v1/jobs", json=INLINE)).status_code == 503
        await until(lambda: started.state.gateway.media.up is False)
        assert "gateway_media_up 0.0" in (await opened.get("/metrics")).text
