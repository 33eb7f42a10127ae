"""A file that is handed over once reaches the upstream, byte by byte, in every job that names it."""

from __future__ import annotations

import hashlib
import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.generation.media_samples import clip, image
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, machine
from tests.promises.conftest import SHORT, eventually, job_of

pytestmark = pytest.mark.processes


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path, nursery, restricted=True) as made:
        made.environment |= SHORT
        made.start_sandbox(render="full", task_seconds="0.1")
        made.start_gateway(GATEWAY_LOG_LEVEL="debug")
        made.start_workers(GATEWAY_LOG_LEVEL="debug")
        yield made


def upload(service: Machine, raw: bytes) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {service.key}", "Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{service.gateway}/v1/uploads", raw, headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        made: dict[str, Any] = json.load(answer)
        return made


def test_the_upstream_fetches_what_was_handed_over(service: Machine) -> None:
    picture, film = image("png", (320, 200)), clip(2.0, (320, 240))
    made, moving = upload(service, picture), upload(service, film)
    by_id = {"images": [made["id"]], "videos": [moving["id"]]}
    by_url = {"images": [made["url"]], "videos": [moving["url"]]}
    for path, named in (("/v1/jobs", by_id), ("/v1/jobs", by_url), ("/model/v1/generation", by_url)):
        before = len(service.ledger("fetch"))
        status, posted, _ = call("POST", f"{service.gateway}{path}", service.key, {**ORDER, **named})
        assert status == (202 if path == "/v1/jobs" else 200), posted
        found = job_of(service, posted["id"], wait=60)
        assert found["status"] == "completed", found
        fetched = {fact["sha256"] for fact in service.ledger("fetch")[before:]}
        assert fetched == {hashlib.sha256(raw).hexdigest() for raw in (picture, film)}
    said = "".join(service.log(name) for name in ("gateway", "workers"))
    tokens = {one["url"].rpartition("/")[2] for one in (made, moving)}
    assert not [token for token in tokens if token in said]
    assert ".upl_" not in said  # nor those that only the upstream got


def test_a_killed_gateway_leaves_no_upload_and_only_scratch(service: Machine) -> None:
    folder = service.folder / "blobs"
    with socket.create_connection(("127.0.0.1", service.ports["gateway"])) as wire:
        wire.sendall(
            f"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.key}\r\n"
            "Content-Length: 50000000\r\n\r\n".encode()
            + clip(1.0)
            + bytes(3_000_000)
        )
        eventually(lambda: bool(list(folder.glob(".incoming/*"))))
        service.kill("gateway")
    assert [path for path in folder.rglob("upl_*") if path.parent.name != ".incoming"] == []
    service.start_gateway()
    status, listed, _ = call("GET", f"{service.gateway}/v1/uploads", service.key)
    assert (status, listed["data"]) == (200, [])
    assert upload(service, image())["id"].startswith("upl_")
