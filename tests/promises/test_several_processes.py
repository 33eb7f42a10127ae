"""P1, P2 with several processes of each kind: one of each may be killed, and all of them stop in order."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.tenants import Scope
from tests.processes import ORDER, Machine, call
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of

pytestmark = pytest.mark.processes


@pytest.fixture
def configured() -> dict[str, str]:
    return {"GATEWAY_PROCESSES": "2"}


def children(machine: Machine, name: str) -> list[int]:
    pid = machine.processes[name].pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(machine: Machine, key: str) -> list[dict[str, Any]]:
    _, found, _ = call("GET", f"{machine.gateway}/ops/api/workers", key)
    listed: list[dict[str, Any]] = found["data"]
    return listed


def submissions_of_dead_workers(machine: Machine) -> set[str]:
    """The jobs whose lease ran out while they were being submitted."""
    lines = [json.loads(line) for line in machine.log("workers").splitlines() if "lease_ran_out" in line]
    return {line["ticket"] for line in lines if line["role"] == "submit"}


def test_jobs_end_and_are_paid_once_although_a_process_of_each_kind_is_killed_under_load(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox(task_seconds="0.3")
    operator = service.make_key("platform", [Scope.OPS_READ])
    eventually(lambda: len(workers_of(service, operator)) == 2)
    assert {one["pid"] for one in workers_of(service, operator)} == set(children(service, "workers"))

    def post(number: int) -> str:
        """Until it is answered, as a client does."""
        order = {**ORDER, "callback_url": subscriber.url}
        while True:
            try:
                url, name = f"{service.gateway}/v1/jobs", f"job-{number}"
                status, job, _ = call("POST", url, service.key, order, Idempotency_Key=name)
            except (urllib.error.URLError, OSError):
                continue
            assert status == 202, job
            return str(job["id"])

    with ThreadPoolExecutor(4) as pool:
        posts = [pool.submit(post, number) for number in range(60)]
        eventually(lambda: len(service.ledger("post")) > 10)
        victims = {name: children(service, name)[0] for name in ("gateway", "workers")}
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
        jobs = [one.result() for one in posts]
    assert len(set(jobs)) == 60
    # A submission that the killed worker had released, but not sent to its last byte, stays unknown: nobody
    # can tell that from a lost answer. Every other job completes, and so does every job that was paid for.
    unknown = set()
    for job in jobs:
        found = job_of(service, job, wait=30)
        if found["status"] == "failed":
            assert found["error"]["code"] == "submission_unknown"
            unknown.add(job)
        else:
            assert found["status"] == "completed", found
        assert_delivered_once_under_one_id(subscriber, job, f"job.{found['status']}")
    assert unknown <= submissions_of_dead_workers(service)
    assert service.charges() == dict.fromkeys(set(jobs) - unknown, 1)
    for name, victim in victims.items():
        eventually(lambda name=name: len(children(service, name)) == 2)  # type: ignore[misc]
        assert victim not in children(service, name)
    running = set(children(service, "workers"))
    eventually(lambda: running <= {one["pid"] for one in workers_of(service, operator)})
    assert (service.stop("workers"), service.stop("gateway")) == (0, 0)
    assert service.log("gateway").count("gateway_stopped") == 2
