"""The whole service as real processes, with short leases, and a subscriber that notes what it hears."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from standardwebhooks import Webhook

from gateway.delivery.secrets import tenant_secret
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine

_PATIENCE_SECONDS = 120.0  # no promise: a machine may be busy
SHORT = {
    "GATEWAY_LEASE_SECONDS": "2",
    "GATEWAY_POLL_FIRST_SECONDS": "0.5",
    "GATEWAY_POLL_MIN_SECONDS": "0.3",
    "GATEWAY_POLL_MAX_SECONDS": "0.5",
    "GATEWAY_BUSY_RETRY_SECONDS": "0.2",
    "GATEWAY_ACCOUNT_RETRY_SECONDS": "1",
    "GATEWAY_UNKNOWN_GRACE_SECONDS": "8",
    "GATEWAY_CLAIM_WAIT_SECONDS": "2",
    "GATEWAY_FAILOVER_HOLD_SECONDS": "2",
    "GATEWAY_DELIVERY_SCHEDULE_SECONDS": "0.2,0.2,0.5,1,1,1,1,1,1",
    "GATEWAY_DELIVERY_OVERLOAD_SECONDS": "0.2",
    "GATEWAY_DELIVERY_TIMEOUT_SECONDS": "2",
    "GATEWAY_UPSTREAM_SLOTS": "20",
    "GATEWAY_UPSTREAM_TENANT_SLOTS": "20",
}


@dataclass
class Subscriber:
    """Notes (webhook-id, body) of what it believes; answers what `answers` says, then 204."""

    secret: str
    url: str = ""
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0
    answers: list[int] = field(default_factory=list)

    def take(self, headers: dict[str, str], body: bytes) -> int:
        event = Webhook(self.secret).verify(body, headers)
        if self.answers:
            self.refused += 1
            return self.answers.pop(0)
        self.heard.append((headers["webhook-id"], event))
        return 204

    def events_of(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, event) for name, event in self.heard if event["data"]["id"] == job_id]


@pytest.fixture
def configured() -> dict[str, str]:
    """What a module's processes are given besides; it is there to be overridden."""
    return {}


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery, configured: dict[str, str]) -> Iterator[Machine]:
    """Processes of the test's own, which it may kill. Each test starts the sandbox as it needs it."""
    with machine(tmp_path, nursery, restricted=True) as made:
        made.environment |= SHORT | configured
        made.start_gateway()
        made.start_workers()
        yield made


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("kept"), nursery, restricted=True) as made:
        made.environment |= SHORT
        made.start_gateway()
        made.start_workers()
        yield made


@pytest.fixture
def shared(kept: Machine) -> Iterator[Machine]:
    """As `service`, for tests that leave its processes as they are: theirs alone is what is stored, and the
    sandbox."""
    with redis.Redis.from_url(kept.url) as client:
        client.flushall()
    kept.key = kept.make_key()
    yield kept
    kept.kill("sandbox")
    shutil.rmtree(kept.folder / "sandbox")


@pytest.fixture
def subscriber(service: Machine) -> Iterator[Subscriber]:
    noted = Subscriber(tenant_secret(service.keyring, service.keyring.active_kid, "acme"))

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = noted.take({name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    port = free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    noted.url = f"http://127.0.0.1:{port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield noted
    server.shutdown()
    server.server_close()


def post(service: Machine, subscriber: Subscriber, **fields: object) -> str:
    """The id of an accepted job."""
    order = {**ORDER, "callback_url": subscriber.url, **fields}
    status, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, order)
    assert status == 202, job
    return str(job["id"])


def job_of(service: Machine, job_id: str, wait: int = 0) -> dict[str, Any]:
    """The job, at once; or when it is finished, for which it waits so many seconds at a time, and long."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        status, job, _ = call("GET", f"{service.gateway}/v1/jobs/{job_id}?wait={wait}", service.key)
        assert status == 200, job
        if not wait or job["status"] not in ("queued", "in_progress") or time.monotonic() > deadline:
            return job


def eventually(fact: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Waits for something that must become true."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)


def assert_delivered_once_under_one_id(subscriber: Subscriber, job_id: str, kind: str) -> None:
    """At least once, always under the same id and with the same bytes."""
    eventually(lambda: bool(subscriber.events_of(job_id)))
    told = subscriber.events_of(job_id)
    assert {event["type"] for _, event in told} == {kind}
    assert len({name for name, _ in told}) == 1
    assert all(event == told[0][1] for _, event in told)
