"""`python -m gateway` in two processes, which are one gateway to its clients, operators and metrics."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis

from gateway.callbacks import tokens
from gateway.environment import Environment
from gateway.keyring import Keyring
from gateway.local.valkey import valkey
from gateway.store import keys
from gateway.tenants import digest_of
from tests.conftest import KEYRING
from tests.gateway.web.api.calling_back import COMPLETED
from tests.gateway.web.conftest import BODY
from tests.gateway.web.test_process import KEY_ID, SECRET, environment, eventually, running, status
from tests.nursery import Hatchling, Nursery

pytestmark = pytest.mark.processes

_REQUEST_ID = re.compile("req_([0-9a-f]{12})")
_ALL_SCOPES = "jobs:write jobs:read ops:read ops:write"


@pytest.fixture
def two(nursery: Nursery, redis_url: str, empty_redis: None, tmp_path: Path) -> Iterator[Gateway]:
    with gateway(nursery, redis_url, tmp_path) as found:
        yield found


class Gateway:
    """Two processes and a client of the tenant acme. Each request has a new connection."""

    def __init__(self, process: Hatchling, client: httpx.Client) -> None:
        self.process = process
        self.url = str(client.base_url)
        self.headers = dict(client.headers)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=60)

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def post(self, path: str = "/v1/jobs", **more: object) -> httpx.Response:
        with self.client() as client:
            return client.post(path, **({"json": BODY} | more))  # type: ignore[arg-type]

    def pids(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def clients_of_each(self) -> list[httpx.Client]:
        """A client with an open connection to each process."""
        found: dict[str, httpx.Client] = {}
        for _ in range(1000):
            client = self.client()
            stem = stem_of(client.get("/livez"))
            if stem in found:
                client.close()
            else:
                found[stem] = client
            if len(found) == 2:
                return list(found.values())
        raise AssertionError("all connections went to one process")

    def metrics(self) -> dict[str, float]:
        """All counters, and the number of processes."""
        while (answer := self.get("/metrics")).status_code == 429:
            time.sleep(0.1)
        lines = [line.rpartition(" ") for line in answer.text.splitlines() if line[0] != "#"]
        counters = {name: float(value) for name, _, value in lines if "_total" in name}
        return counters | {name: float(value) for name, _, value in lines if name == "gateway_processes"}


def stem_of(answer: httpx.Response) -> str:
    """What identifies the process that answered."""
    found = _REQUEST_ID.match(answer.headers["x-request-id"])
    assert found is not None
    return found[1]


@contextmanager
def gateway(nursery: Nursery, redis_url: str, folder: Path, **more: str) -> Iterator[Gateway]:
    with running(nursery, redis_url, folder, GATEWAY_PROCESSES="2", **more) as (process, client):
        found = Gateway(process, client)
        eventually(lambda: (folder / "gateway.log").read_text().count("gateway_ready") == 2)
        try:
            yield found
        finally:
            for pid in found.pids() if process.poll() is None else []:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def key(redis_url: str, empty_redis: None) -> None:
    add_key(redis_url)


def add_key(redis_url: str) -> None:
    fields = {"tenant": "acme", "scopes": _ALL_SCOPES, "digest": digest_of(SECRET), "name": "x"}
    with Redis.from_url(redis_url) as redis:
        redis.hset(keys.client_key(KEY_ID), mapping=fields | {"created_at": "1"})


def test_connections_are_spread_over_the_processes(two: Gateway) -> None:
    of_process = Counter(stem_of(two.get("/livez")) for _ in range(100))
    assert len(of_process) == 2
    assert min(of_process.values()) >= 20


@pytest.mark.parametrize("processes", ["1", "2"])
def test_the_port_of_another_gateway_is_refused(
    nursery: Nursery, two: Gateway, redis_url: str, tmp_path: Path, processes: str
) -> None:
    chosen = environment(redis_url, int(two.url.rpartition(":")[2]), tmp_path)
    second = nursery.spawn(["gateway", "--processes", processes], chosen, tmp_path / "second.log")
    assert second.wait(60) == 2
    assert "is in use" in (tmp_path / "second.log").read_text()


def test_a_process_that_is_killed_under_load_loses_nothing_and_the_metrics_never_go_back(
    two: Gateway, redis_url: str
) -> None:
    stop = threading.Event()
    seen: list[dict[str, float]] = []

    def post(number: int) -> int:
        """Until it is answered, as a client does. How often it was answered."""
        for _ in range(50):
            try:
                answer = two.post(headers={"Idempotency-Key": f"job-{number}"})
            except httpx.TransportError:
                continue
            assert answer.status_code == 202
            return 1
        return 0

    def scrape() -> None:
        while not stop.is_set():
            try:
                seen.append(two.metrics())
            except httpx.TransportError:
                continue

    scraping = threading.Thread(target=scrape)
    scraping.start()
    with ThreadPoolExecutor(8) as pool:
        answered = [pool.submit(post, number) for number in range(200)]
        eventually(lambda: sum(one.done() for one in answered) > 50)
        victim = two.pids()[0]
        os.kill(victim, signal.SIGKILL)
        assert sum(one.result() for one in answered) == 200
    eventually(lambda: len(two.pids()) == 2 and two.metrics()["gateway_processes"] == 2)
    stop.set()
    scraping.join()
    assert victim not in two.pids()
    last = two.metrics()
    assert last["gateway_jobs_accepted_total"] == 200
    assert last['gateway_http_requests_total{route="/v1/jobs",status="202"}'] >= 200 - 8
    for before, after in zip(seen, [*seen[1:], last], strict=True):
        for name, value in before.items():
            assert name == "gateway_processes" or after[name] >= value, name


def test_a_stop_answers_those_who_wait_at_each_process(two: Gateway) -> None:
    path = two.post().headers["location"]
    clients = two.clients_of_each()
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(client.get, f"{path}?wait=60") for client in clients]
        # Nothing shows from outside that a request has begun to wait.
        time.sleep(0.2)
        two.process.terminate()
        assert [wait.result().json()["status"] for wait in waits] == ["queued"] * 2
    assert two.process.wait(60) == 0
    for client in clients:
        client.close()


def test_waits_of_a_tenant_are_limited_over_all_processes_and_those_of_a_dead_one_are_free(
    nursery: Nursery, redis_url: str, tmp_path: Path
) -> None:
    with gateway(nursery, redis_url, tmp_path, GATEWAY_WAITS_MAX="3") as two:
        path = f"{two.post().headers['location']}?wait=60"

        def wait() -> int:
            try:
                return two.get(path).status_code
            except httpx.TransportError:
                return 0

        with ThreadPoolExecutor(24) as pool:
            waits = [pool.submit(wait) for _ in range(12)]
            eventually(lambda: sum(one.done() for one in waits) == 9)
            assert [one.result() for one in waits if one.done()] == [429] * 9
            for pid in two.pids():
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: all(one.done() for one in waits))
            eventually(lambda: status_of(two, "/livez") == 200)
            more = [pool.submit(wait) for _ in range(12)]
            eventually(lambda: sum(one.done() for one in more) == 9)
            with two.client() as client:
                assert client.post(f"{path.partition('?')[0]}/cancel").status_code == 200
            assert Counter(one.result() for one in more) == {200: 3, 429: 9}


def status_of(two: Gateway, path: str) -> int:
    with two.client() as client:
        return status(client, path)


def test_requests_and_attempts_to_sign_in_are_limited_over_all_processes(
    nursery: Nursery, redis_url: str, tmp_path: Path
) -> None:
    slow = {"GATEWAY_TENANT_REQUEST_RATE": "0.001", "GATEWAY_TENANT_REQUEST_BURST": "10"}
    with gateway(nursery, redis_url, tmp_path, **slow) as two:
        assert Counter(two.get("/v1/jobs").status_code for _ in range(30)) == {200: 10, 429: 20}
        tries = [two.post("/ops/login", json=None, data={"key": "wrong"}) for _ in range(15)]
        assert Counter(answer.status_code for answer in tries) == {401: 10, 429: 5}


def test_streams_of_a_tenant_are_limited_over_all_processes(
    nursery: Nursery, redis_url: str, tmp_path: Path
) -> None:
    with gateway(nursery, redis_url, tmp_path, GATEWAY_STREAMS_MAX="2") as two:
        clients = [two.client() for _ in range(8)]
        streams = [client.send(client.build_request("GET", "/v1/events"), stream=True) for client in clients]
        assert [stream.status_code for stream in streams] == [200] * 2 + [429] * 6
        for client in clients:
            client.close()


def test_a_page_session_is_known_to_each_process(two: Gateway) -> None:
    key = two.headers["authorization"].removeprefix("Bearer ")
    del two.headers["authorization"]
    first, second = two.clients_of_each()
    assert first.post("/ops/login", data={"key": key}).status_code == 303
    second.cookies = first.cookies
    assert second.get("/ops").status_code == 200
    first.close()
    second.close()


def test_the_callbacks_in_the_journals_of_both_processes_reach_redis_although_one_died(
    nursery: Nursery, tmp_path: Path
) -> None:
    folder, journal = tmp_path / "valkey", tmp_path / "journal"
    folder.mkdir()
    redis_url = f"unix://{folder.resolve()}/valkey.sock"
    names = [Environment().new_job_id() for _ in range(20)]
    with gateway(nursery, redis_url, tmp_path, GATEWAY_CALLBACK_JOURNAL_DIR=str(journal)) as two:
        clients = two.clients_of_each()
        for number, name in enumerate(names):
            token = tokens.make(Keyring.parse(KEYRING), "acme", name, 1)
            told = COMPLETED | {"id": f"task-{number}"}
            assert clients[number % 2].post(f"/callbacks/{token}", json=told).status_code == 200
        # After each attempt to replay its first file, one a second, a process begins another.
        assert {int(path.stem.rpartition("-")[2]) for path in journal.glob("*.jsonl")} == set(two.pids())
        os.kill(two.pids()[0], signal.SIGKILL)
        with valkey(folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
            eventually(lambda: not list(journal.iterdir()))
            assert all(redis.exists(keys.job(name)) for name in names)
        for client in clients:
            client.close()
