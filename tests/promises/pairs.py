"""Two gateways, of which one is the upstream of the other, and clients that use the outer one."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway.doors import vidu_wire
from tests.gateway.doors.wire import Task
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, machine
from tests.promises.conftest import SHORT
from tests.promises.faults.proxy import Proxies, Proxy

CREATE = "/model/v1/generation"


@dataclass
class Pair:
    """`requests`: from the outer gateway to the inner one; `callbacks`: the other way."""

    outer: Machine
    inner: Machine
    requests: Proxy
    callbacks: Proxy

    def post(self, **fields: object) -> str:
        """The id of a job that the outer gateway accepted, through its own door."""
        params = {name: value for name, value in (ORDER | fields).items() if name != "model"}
        body = {"model": ORDER["model"], "input": [{"params": params}]}
        status, task, _ = call("POST", f"{self.outer.gateway}{CREATE}", self.outer.key, body)
        assert status == 200, task
        return Task.model_validate(task).id

    def inner_jobs(self) -> dict[str, list[str]]:
        """{job of the outer gateway: jobs that the inner one accepted for it}"""
        found: dict[str, list[str]] = {}
        after = ""
        while True:
            status, page, _ = call("GET", f"{self.inner.gateway}/v1/jobs?limit=100{after}", self.inner.key)
            assert status == 200, page
            for job in page["data"]:
                found.setdefault(job["callback_url"].split("/")[-1].split(".")[2], []).append(job["id"])
            if not page["has_more"]:
                return found
            after = f"&after={page['data'][-1]['id']}"

    def charges(self, job: str) -> Counter[str]:
        """How often each of its jobs at the inner gateway was paid for."""
        paid = self.inner.charges()
        return Counter({inner: paid.get(inner, 0) for inner in self.inner_jobs().get(job, ())})

    def task_of(self, job: str) -> Task:
        """The job as the outer gateway's door shows it."""
        status, task, _ = call("GET", f"{self.outer.gateway}{CREATE}/task/{job}", self.outer.key)
        assert status == 200, task
        return Task.model_validate(task)


@contextlib.contextmanager
def paired(folder: Path, nursery: Nursery) -> Iterator[Pair]:
    (folder / "inner").mkdir()
    with machine(folder / "inner", nursery) as inner:
        inner.environment |= SHORT | {
            "GATEWAY_PROMPT_MAX_CHARACTERS": "200",
            "GATEWAY_CLIENT_URL": "https://inner.example.com",
        }
        inner.start_gateway()
        inner.start_workers()
        inner.start_sandbox(task_seconds="0.3")
        with behind(inner, folder, nursery) as made:
            yield made


@contextlib.contextmanager
def behind(inner: Machine, folder: Path, nursery: Nursery, **more: str) -> Iterator[Pair]:
    """An outer gateway before a running inner one. `more`: settings of the outer one."""
    (folder / "outer").mkdir()
    proxies = Proxies()
    with machine(folder / "outer", nursery) as outer:
        requests = proxies.open("requests", ("127.0.0.1", inner.ports["gateway"]))
        callbacks = proxies.open("callbacks", ("127.0.0.1", outer.ports["gateway"]))
        outer.environment |= SHORT | {
            "GATEWAY_UPSTREAM_URL": f"http://127.0.0.1:{requests.port}",
            "GATEWAY_UPSTREAM_KEY": inner.key,  # its client key, as it is
            "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{callbacks.port}",
            "GATEWAY_UNKNOWN_GRACE_SECONDS": "4",
            "GATEWAY_OFF_PEAK": "1",
            "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS": "1",
            **more,
        }
        outer.start_gateway()
        outer.start_workers()
        yield Pair(outer, inner, requests, callbacks)
    proxies.close()


@dataclass
class ViduClient:
    """Does what clients of Vidu's API do: create, poll until a final word, take the first address. Every
    answer must have the types that they insist on."""

    gateway: Machine

    def create(self, **fields: object) -> str:
        body = ORDER | {"model": "viduq2-pro", "movement_amplitude": "auto"} | fields
        status, task, _ = call(
            "POST", f"{self.gateway.gateway}/ent/v2/reference2video", self.gateway.key, body
        )
        assert status == 200, task
        return vidu_wire.Created.model_validate(task).task_id

    def get(self, path: str) -> dict[str, Any]:
        status, found, _ = call("GET", f"{self.gateway.gateway}/ent/v2{path}", self.gateway.key)
        assert status == 200, found
        return found

    def until_final(self, task_id: str) -> vidu_wire.Task:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            task = vidu_wire.Task.model_validate(self.get(f"/tasks/{task_id}/creations"))
            if task.state in ("success", "failed"):
                return task
            time.sleep(0.1)
        raise AssertionError(f"{task_id} did not end")

    def cancel(self, task_id: str) -> None:
        url = f"{self.gateway.gateway}/ent/v2/tasks/{task_id}/cancel"
        status, answer, _ = call("POST", url, self.gateway.key, {"id": task_id})
        assert (status, answer) == (200, {}), answer
