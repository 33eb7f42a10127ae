"""A result can be had after its address has died, whatever dies in between."""

from __future__ import annotations

import hashlib
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway import assets
from gateway.assets import Asset, AssetState, Variant
from gateway.store import keys
from tests.processes import ORDER, Machine, call
from tests.promises.conftest import eventually, job_of

pytestmark = pytest.mark.processes
FILM = (Path(assets.__file__).parent / "sandbox" / "samples" / "placeholder.mp4").read_bytes()


@pytest.fixture
def configured() -> dict[str, str]:
    return {"GATEWAY_MIRROR": "1", "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS": "1"}


def posted(service: Machine, **fields: Any) -> dict[str, Any]:
    status, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, {**ORDER, **fields})
    assert status == 202, job
    return job_of(service, str(job["id"]), wait=30)


def asset(service: Machine, job: dict[str, Any], variant: Variant = Variant.VIDEO) -> Asset:
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        return assets.load(client.hget(keys.job(job["id"]), f"{assets.FIELD}{variant}"))


def is_mirrored(service: Machine, job: dict[str, Any]) -> bool:
    """Its cover, too, which is made of the video."""
    with redis.Redis.from_url(service.url) as client:
        return bool(client.hexists(keys.job(job["id"]), "mirrored_at"))


def films(service: Machine) -> list[Path]:
    return list((service.folder / "blobs" / "results").rglob("*.mp4"))


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def assert_copied_once(service: Machine, job: dict[str, Any]) -> None:
    copy = asset(service, job)
    [path] = films(service)
    assert path.relative_to(service.folder / "blobs").as_posix() == copy.key
    assert path.read_bytes() == FILM
    assert (copy.sha256, copy.size) == (hashlib.sha256(FILM).hexdigest(), len(FILM))
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        found = client.hgetall(keys.job(job["id"])).items()
        stored = [assets.load(text) for name, text in found if name.startswith(assets.FIELD)]
        counted = sum(one.size or 0 for one in stored)
        assert client.hget(keys.tenant_usage("acme"), "results") == str(counted)
        events = [entry["type"] for _, entry in client.xrange(keys.tenant_events("acme"))]
    assert events.count("job.mirrored") == 1


def test_a_result_is_there_after_its_address_has_died(service: Machine) -> None:
    service.start_sandbox(result_seconds="3")
    job = posted(service)
    eventually(lambda: is_mirrored(service, job))
    url = job["output"][0]["content"][0]["url"]
    eventually(lambda: status_of(url) == 404)
    assert_copied_once(service, job)


@pytest.mark.parametrize(
    "point",
    ["mirror_get.after", "mirror_put.before", "mirror_put.after", "record_copy.before", "record_copy.after"],
)
def test_a_worker_that_is_killed_while_it_copies_leaves_no_half_file_and_one_copy(
    service: Machine, point: str
) -> None:
    service.start_sandbox()
    service.stop("workers")
    service.start_workers("doomed", GATEWAY_CRASH_POINTS=f"{point}:1:kill")
    job = posted(service)
    assert service.processes["doomed"].wait(60) != 0
    assert all(path.read_bytes() == FILM for path in films(service))
    service.start_workers("second")
    eventually(lambda: is_mirrored(service, job))
    assert_copied_once(service, job)


def test_a_worker_that_is_killed_in_the_middle_of_a_body_leaves_nothing_to_be_seen(service: Machine) -> None:
    service.start_sandbox()
    job = posted(service, prompt="[[fault:stalled_result]]")
    scratch = service.folder / "blobs" / ".incoming"
    eventually(lambda: scratch.exists() and any(path.name.startswith("copy-") for path in scratch.iterdir()))
    service.kill("workers")
    assert (films(service), asset(service, job).state) == ([], AssetState.PENDING)
    service.start_workers("second")
    eventually(lambda: len(list(scratch.iterdir())) > 1)  # the next attempt, which stalls as well
    assert job_of(service, job["id"])["status"] == "completed"


def test_a_worker_that_stops_leaves_a_long_copy_to_the_next(service: Machine) -> None:
    service.start_sandbox()
    job = posted(service, prompt="[[fault:stalled_result]]")
    scratch = service.folder / "blobs" / ".incoming"
    eventually(lambda: scratch.exists() and any(scratch.iterdir()))
    assert service.stop("workers") == 0
    assert "copy_failed" not in service.log("workers")
    assert list(scratch.iterdir()) == []
    assert asset(service, job).state is AssetState.PENDING
    service.start_workers("second")
    eventually(lambda: any(scratch.iterdir()))


def test_a_frozen_worker_that_wakes_up_does_not_spoil_the_copy_of_another(service: Machine) -> None:
    service.start_sandbox()
    service.stop("workers")
    service.start_workers("frozen", GATEWAY_CRASH_POINTS="mirror_get.after:1:freeze=8")
    job = posted(service)
    service.start_workers("second")
    eventually(lambda: is_mirrored(service, job))
    eventually(lambda: "copy_stale" in service.log("frozen"))
    time.sleep(0.1)
    assert_copied_once(service, job)


def test_a_dead_address_is_replaced_by_the_one_that_the_task_shows_now(service: Machine) -> None:
    service.start_sandbox()
    job = posted(service, prompt="[[fault:dead_result=2]]")
    eventually(lambda: is_mirrored(service, job))
    assert asset(service, job).url != job["output"][0]["content"][0]["url"]
    assert_copied_once(service, job)
