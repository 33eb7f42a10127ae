"""`python -m gateway` as a process: refuses wrong settings, outlives an outage of Redis, stops when asked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from gateway.__main__ import _configuration
from gateway.local.valkey import valkey
from gateway.store import keys
from gateway.tenants import digest_of
from tests.conftest import KEYRING, new_settings
from tests.gateway.web.conftest import BODY
from tests.nursery import Hatchling, Nursery

pytestmark = pytest.mark.processes

KEY_ID, SECRET = "0" * 12, "1" * 48


def environment(redis_url: str, port: int, folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    return inherited | {
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_PORT": str(port),
        "GATEWAY_SECRET_KEYS": KEYRING,
        "GATEWAY_UPSTREAM_KEY": "upstream-key",
        "GATEWAY_BLOB_DIR": str(folder / "blobs"),
        "GATEWAY_DURABILITY": "assume",
        "GATEWAY_DRAIN_SECONDS": "0",  # nothing balances between gateways here
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    nursery: Nursery, redis_url: str, folder: Path, **more: str
) -> Iterator[tuple[Hatchling, httpx.Client]]:
    port = free_port()
    headers = {"Authorization": f"Bearer vgw_{KEY_ID}_{SECRET}"}
    chosen = environment(redis_url, port, folder) | more
    process = nursery.spawn(["gateway"], chosen, folder / "gateway.log")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=10) as client:
            eventually(lambda: status(client, "/livez") == 200)
            yield process, client
    finally:
        process.kill()
        process.wait()


def status(client: httpx.Client, path: str) -> int:
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        return 0


def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def add_key(redis_url: str) -> None:
    fields = {
        "tenant": "acme",
        "scopes": "jobs:write jobs:read",
        "digest": digest_of(SECRET),
        "name": "test",
        "created_at": "1",
    }
    with Redis.from_url(redis_url) as redis:
        redis.hset(keys.client_key(KEY_ID), mapping=fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "eighty"),
        ("GATEWAY_SECRET_KEYS", "not-a-keyring-but-a-secret"),
        ("GATEWAY_UPSTREAM_KEY", None),
        ("GATEWAY_DELIVERY_NETWORKS", "everywhere"),
        ("GATEWAY_REDIS_URL", "http://127.0.0.1"),
    ],
)
def test_a_wrong_setting_stops_it_at_once_and_is_named(
    nursery: Nursery, name: str, value: str | None, tmp_path: Path
) -> None:
    chosen = environment("redis://127.0.0.1:1/0", 1, tmp_path)
    if value is None:
        del chosen[name]
    else:
        chosen[name] = value
    assert nursery.spawn(["gateway"], chosen, tmp_path / "log").wait(60) == 2
    said = (tmp_path / "log").read_text()
    assert name in said
    assert "Traceback" not in said
    assert "not-a-keyring" not in said


def test_it_starts_without_redis_and_goes_on_when_redis_comes_and_comes_back(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder = tmp_path / "valkey"
    folder.mkdir()
    redis_url = f"unix://{folder.resolve()}/valkey.sock"
    with running(nursery, redis_url, tmp_path) as (process, client):
        for _ in range(2):
            assert status(client, "/readyz") == 503
            answer = client.post("/v1/jobs", json=BODY)
            assert answer.status_code == 503
            with valkey(folder) as server:
                assert server.url == redis_url
                add_key(redis_url)
                eventually(lambda: status(client, "/readyz") == 200)
                assert client.post("/v1/jobs", json=BODY).status_code == 202
        assert process.poll() is None


def test_it_stops_soon_although_somebody_waits_and_answers_them(
    nursery: Nursery, redis_url: str, tmp_path: Path
) -> None:
    add_key(redis_url)
    with running(nursery, redis_url, tmp_path) as (process, client):
        path = client.post("/v1/jobs", json=BODY).headers["location"]
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(client.get(f"{path}?wait=60", timeout=70)))
        waiting.start()
        # Nothing shows from outside that a request has begun to wait.
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        waiting.join(30)
        assert [answer.json()["status"] for answer in answers] == ["queued"]


@pytest.mark.parametrize(
    ("trusted", "believed"),
    [("127.0.0.0/8", True), ("10.0.0.0/8,127.0.0.1/32", True), ("10.0.0.0/8", False), ("", False)],
)
def test_only_a_trusted_proxy_is_believed_that_a_request_came_over_https(
    nursery: Nursery, redis_url: str, tmp_path: Path, trusted: str, believed: bool
) -> None:
    more = {"GATEWAY_TRUSTED_PROXIES": trusted, "GATEWAY_HSTS_SECONDS": "60"}
    with running(nursery, redis_url, tmp_path, **more) as (_, client):
        answer = client.get("/livez", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
    assert ("strict-transport-security" in answer.headers) is believed


@pytest.mark.parametrize("module", ["gateway", "workers"])
def test_spans_without_their_extra_stop_it_at_once_with_the_way_out(module: str, tmp_path: Path) -> None:
    missing = "sys.modules['opentelemetry.sdk.trace'] = None"
    program = (
        f"import runpy, sys; {missing}; sys.argv = ['x']; runpy.run_module('{module}', run_name='__main__')"
    )
    chosen = environment("redis://127.0.0.1:1/0", 1, tmp_path) | {"GATEWAY_OTEL": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=chosen, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "pip install 'vidu-gateway[otel]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_idle_connection_is_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    settings = new_settings("redis://127.0.0.1:6379/0", tmp_path)
    for seconds in (settings.keep_alive_seconds, 77):
        changed = settings.model_copy(update={"keep_alive_seconds": seconds})
        assert _configuration(changed).timeout_keep_alive == seconds
