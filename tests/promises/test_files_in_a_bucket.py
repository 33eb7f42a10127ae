"""P1, P2 with files in a bucket: while it is away nothing is lost or paid twice, and other jobs go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from gateway.media.location import Bucket
from gateway.media.opening import open_store
from tests.buckets import S3Server
from tests.gateway.generation.media_samples import data_uri, image
from tests.processes import Machine
from tests.promises.conftest import Subscriber, eventually, job_of, post
from tests.promises.faults.proxy import Proxies, Proxy, Weather

pytestmark = pytest.mark.processes

INLINE = [data_uri("image/png", image("png"))]


@pytest.fixture
def way(s3: S3Server) -> Iterator[Proxy]:
    """The way from the service to its bucket."""
    proxies = Proxies()
    yield proxies.open("bucket", ("127.0.0.1", urlsplit(s3.url).port or 0))
    proxies.close()


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return Bucket(s3.new_bucket(), "media")


@pytest.fixture
def configured(s3: S3Server, way: Proxy, bucket: Bucket) -> dict[str, str]:
    return {
        **s3.environment,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}",
        "GATEWAY_MEDIA_URL": bucket.url,
        "GATEWAY_BLOB_DIR": "blobs",  # as if it were not set
        "GATEWAY_PROCESSES": "2",
    }


def files_in(bucket: Bucket, s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return [entry.name for entry in asyncio.run(open_store(bucket).entries(""))]


def test_a_job_with_a_file_waits_for_the_bucket_and_is_paid_for_once(
    service: Machine,
    subscriber: Subscriber,
    way: Proxy,
    bucket: Bucket,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service.start_sandbox()
    for log in ("gateway", "workers"):
        eventually(lambda log=log: service.log(log).count("media_ready") == 2)  # type: ignore[misc]
    service.stop("workers")
    waiting = post(service, subscriber, images=INLINE)
    assert files_in(bucket, s3, monkeypatch) == [waiting]
    way.set(Weather.REFUSE)
    service.start_workers()
    other = post(service, subscriber)
    assert job_of(service, other, wait=30)["status"] == "completed"
    eventually(lambda: "no connection to the bucket" in service.log("workers"))
    assert job_of(service, waiting)["status"] in ("queued", "in_progress")
    way.set(Weather.PASS)
    assert job_of(service, waiting, wait=30)["status"] == "completed"
    assert service.charges() == {waiting: 1, other: 1}
    eventually(lambda: files_in(bucket, s3, monkeypatch) == [])
    for log in ("gateway", "workers"):
        assert "secret-canary" not in service.log(log)
        assert f"127.0.0.1:{way.port}" not in service.log(log)
