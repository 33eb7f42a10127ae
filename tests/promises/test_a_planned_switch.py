"""The primary changes behind one name, as managed stores do it: old connections stay open, to a replica."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import redis

from gateway.local.valkey import prepared
from gateway.store import keys
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.promises.conftest import SHORT, eventually
from tests.promises.faults.proxy import Proxies, Proxy

pytestmark = pytest.mark.processes


@dataclass
class Switching:
    """A service whose store is one `name`. `switch` promotes the replica and leads the name to it."""

    service: Machine
    name: Proxy
    first: redis.Redis
    second: redis.Redis
    second_path: str
    second_port: int

    def switch(self) -> None:
        self.name.targets = [self.second_path]
        self.first.execute_command("FAILOVER", "TO", "127.0.0.1", self.second_port)  # type: ignore[no-untyped-call]
        eventually(lambda: (replication(self.first)["role"], replication(self.second)["role"]) == SWITCHED)


SWITCHED = ("slave", "master")


def replication(server: redis.Redis) -> Any:
    return server.info("replication")


@pytest.fixture
def switching(tmp_path: Path, nursery: Nursery) -> Iterator[Switching]:
    proxies, other = Proxies(), tmp_path / "second"
    first_port, second_port = free_port(), free_port()
    options = ("--port", str(second_port), "--replicaof", f"127.0.0.1 {first_port}")
    try:
        with (
            machine(tmp_path, nursery) as made,
            prepared(other, other / "valkey.log", *options) as (replica, replica_url),
            redis.Redis.from_url(made.url, decode_responses=True) as first,
            redis.Redis.from_url(replica_url, decode_responses=True) as second,
        ):
            first.config_set("port", str(first_port))
            replica.start()
            try:
                eventually(replica.is_ready)
                eventually(lambda: replication(second)["master_link_status"] == "up")
                name = proxies.open("store", path_of(made.url))
                made.environment |= SHORT | {"GATEWAY_REDIS_URL": f"redis://127.0.0.1:{name.port}/0"}
                yield Switching(made, name, first, second, path_of(replica_url), second_port)
                made.close()
            finally:
                replica.stop()
    finally:
        proxies.close()


def path_of(url: str) -> str:
    return unquote(url.removeprefix("unix://"))


def test_a_planned_switch_behind_one_name_is_survived_without_a_restart(switching: Switching) -> None:
    service = switching.service
    service.start_sandbox()
    service.start_gateway()
    service.start_workers()
    answers: list[tuple[int, dict[str, Any]]] = []
    over = threading.Event()

    def post() -> None:
        while not over.is_set():
            status, body, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, ORDER)
            answers.append((status, body))
            time.sleep(0.02)

    posting = threading.Thread(target=post)
    posting.start()
    try:
        eventually(lambda: len(answers) >= 20)
        switching.switch()
        switched = len(answers)
        eventually(lambda: [status for status, _ in answers[switched:]][-50:] == [202] * 50)
    finally:
        over.set()
        posting.join()
    assert {status for status, _ in answers} <= {202, 503}
    accepted = [keys.job(body["id"]) for status, body in answers if status == 202]
    eventually(lambda: {switching.second.hget(name, "state") for name in accepted} == {"completed"})
    assert max(service.charges().values()) == 1
    assert all(service.processes[name].poll() is None for name in ("gateway", "workers"))
