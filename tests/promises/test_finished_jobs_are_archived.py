"""A finished job leaves Redis for the media store, whatever dies in between, and can be had as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.store import keys
from tests.processes import ORDER, Machine, call
from tests.promises.conftest import Subscriber, eventually, job_of, post
from tests.promises.faults.world import PRICES

pytestmark = pytest.mark.processes
_JOBS = 300
_PROMPT = "The hero walks along the shore at dusk, while the tide comes in and gulls cry above. " * 6
_MOST_BYTES = 1800


@pytest.fixture
def configured() -> dict[str, str]:
    return {"GATEWAY_ARCHIVE_AFTER_SECONDS": "0", "GATEWAY_PRICES_FILE": str(PRICES)}


def archiving(service: Machine, name: str, **more: str) -> None:
    service.start_workers(name, GATEWAY_ARCHIVE_AFTER_SECONDS="0.1", **more)


def seen(service: Machine, job_id: str) -> list[tuple[int, dict[str, Any]]]:
    """What its owner can read of the job."""
    path = f"{service.gateway}/v1/jobs/{job_id}"
    found = [call("GET", f"{path}{more}", service.key) for more in ("", "/timeline", "/deliveries")]
    [delivery] = found[2][1]["data"]
    found.append(call("GET", f"{service.gateway}/v1/deliveries/{delivery['id']}", service.key))
    found.append(call("GET", f"{service.gateway}/v1/jobs?limit=1", service.key))
    return [(status, body) for status, body, _ in found]


def is_archived(service: Machine, job_id: str) -> bool:
    with redis.Redis.from_url(service.url) as client:
        return bool(client.hexists(keys.job(job_id), "archived"))


def objects(service: Machine) -> list[Path]:
    return list((service.folder / "blobs" / "archive").rglob("*.json.gz"))


def delivered(service: Machine, subscriber: Subscriber, **fields: object) -> str:
    job_id = post(service, subscriber, **fields)
    assert job_of(service, job_id, wait=30)["status"] == "completed"
    with redis.Redis.from_url(service.url) as client:
        eventually(lambda: client.zcard(keys.lane_deliveries(_lane(service, job_id), "delivered")) >= 1)  # type: ignore[arg-type]
    return job_id


def _lane(service: Machine, job_id: str) -> str:
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        eventually(lambda: bool(client.scard(keys.job_deliveries(job_id))))
        [name] = client.smembers(keys.job_deliveries(job_id))
        return str(client.hget(keys.delivery(f"dlv_{name}"), "lane"))


@pytest.mark.parametrize(
    "point", ["archive_put.before", "archive_put.after", "archive.before", "archive.after"]
)
def test_a_worker_that_is_killed_while_it_archives_leaves_a_readable_job(
    service: Machine, subscriber: Subscriber, point: str
) -> None:
    service.start_sandbox()
    job_id = delivered(service, subscriber, prompt=_PROMPT[:480])
    before = seen(service, job_id)
    assert {status for status, _ in before} == {200}
    archiving(service, "doomed", GATEWAY_CRASH_POINTS=f"{point}:1:kill")
    assert service.processes["doomed"].wait(60) != 0
    assert seen(service, job_id) == before
    archiving(service, "second")
    eventually(lambda: is_archived(service, job_id))
    assert seen(service, job_id) == before
    assert len(objects(service)) == 1


def used_bytes(service: Machine) -> int:
    """Without the ledger of the day: it belongs to no job, and takes about 200 bytes for each."""
    with redis.Redis.from_url(service.url) as client:
        names = [name for name in client.scan_iter(count=1000) if not name.startswith(b"{gw}:ledger:")]
        return sum(client.memory_usage(name, samples=0) or 0 for name in names)


def test_at_most_1800_bytes_of_an_archived_job_stay_in_redis(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox()
    delivered(service, subscriber, prompt=_PROMPT[:480])  # what the first one leaves is no other's
    empty = used_bytes(service)
    ids = [post(service, subscriber, prompt=_PROMPT[:480]) for _ in range(_JOBS)]
    with redis.Redis.from_url(service.url) as client:
        eventually(lambda: int(client.hget(keys.COUNTS, "delivery:delivered") or 0) == _JOBS + 1)
        before = (used_bytes(service) - empty) / _JOBS
        archiving(service, "second")
        eventually(lambda: len(objects(service)) == _JOBS + 1)
        eventually(lambda: all(is_archived(service, job_id) for job_id in ids))
        after = (used_bytes(service) - empty) / _JOBS
    print(f"\n{before:.0f} bytes before, {after:.0f} after")
    assert after <= _MOST_BYTES < before


def archived(service: Machine, subscriber: Subscriber, **fields: object) -> str:
    job_id = delivered(service, subscriber, **fields)
    archiving(service, "second")
    eventually(lambda: is_archived(service, job_id))
    return job_id


def test_without_the_media_store_an_archived_job_is_an_outage_and_nothing_is_lost(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox()
    job_id = archived(service, subscriber)
    [first] = subscriber.heard
    [name] = _delivery_ids(service, job_id)
    blobs, away = service.folder / "blobs", service.folder / "away"
    blobs.rename(away)
    paths = [f"/v1/jobs/{job_id}", "/v1/jobs", f"/v1/jobs/{job_id}/deliveries", f"/v1/deliveries/{name}"]
    for path in paths:
        status, problem, headers = call("GET", f"{service.gateway}{path}", service.key)
        assert (status, int(headers["retry-after"]) > 0) == (503, True), problem
    away.rename(blobs)
    for path in paths:
        assert call("GET", f"{service.gateway}{path}", service.key)[0] == 200
    assert subscriber.heard == [first]


def _delivery_ids(service: Machine, job_id: str) -> list[str]:
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        return [f"dlv_{name}" for name in client.smembers(keys.job_deliveries(job_id))]


def test_an_archived_job_answers_as_before(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox()
    sent = {**ORDER, "callback_url": subscriber.url}
    _, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, sent, Idempotency_Key="once")
    job_id = str(job["id"])
    job_of(service, job_id, wait=30)
    eventually(lambda: len(subscriber.heard) == 1)
    archiving(service, "second")
    eventually(lambda: is_archived(service, job_id))

    status, again, headers = call(
        "POST", f"{service.gateway}/v1/jobs", service.key, sent, Idempotency_Key="once"
    )
    assert (status, again["id"], again["status"]) == (202, job_id, "completed")
    assert headers["idempotent-replayed"] == "true"
    assert call("POST", f"{service.gateway}/v1/jobs/{job_id}/cancel", service.key)[0] == 409

    [post_fact] = service.ledger("post")
    late = f"{service.gateway}/callbacks/{post_fact['callback_token']}"
    body = {"id": "task_of_nobody", "state": "success", "status": "completed"}
    assert call("POST", late, service.key, body)[0] == 200
    story = call("GET", f"{service.gateway}/v1/jobs/{job_id}/timeline", service.key)[1]["data"]
    assert [entry["kind"] for entry in story].count("callback") == 2

    [name] = _delivery_ids(service, job_id)
    status, _, _ = call("POST", f"{service.gateway}/v1/deliveries/{name}/redeliver", service.key)
    assert status == 202
    eventually(lambda: len(subscriber.heard) == 2)
    assert subscriber.heard[0] == subscriber.heard[1]
    path = f"{service.gateway}/v1/deliveries/{name}"
    eventually(lambda: len(call("GET", path, service.key)[1]["log"]) == 2)
    assert service.charges() == {job_id: 1}
