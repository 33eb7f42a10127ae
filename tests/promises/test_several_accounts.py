"""P1, P2 with several accounts: one that is refused stops nobody; a task is its own account's for ever."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from gateway.tenants import Scope
from tests.processes import UPSTREAM_KEY, Machine, call
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of, post

pytestmark = pytest.mark.processes

KEY = "second-key"


@pytest.fixture
def configured() -> dict[str, str]:
    """The gateway and workers know a second account, and so does the sandbox, when it is started."""
    return {"GATEWAY_UPSTREAM_ACCOUNTS": json.dumps([{"name": "second", "key": KEY, "slots": 20}])}


@pytest.fixture
def two(service: Machine) -> Machine:
    return service


def refuse(machine: Machine, account: str, fault: str | None) -> None:
    body = json.dumps({"account": account, "refuse": fault}).encode()
    headers = {"Authorization": f"Bearer {UPSTREAM_KEY}"}
    request = urllib.request.Request(f"{machine.sandbox}/admin/accounts", body, headers)
    urllib.request.urlopen(request, timeout=5).close()


def payers(machine: Machine) -> dict[str, str]:
    """{task: the account that paid for it}"""
    return {
        fact["task_id"]: fact["account"] for fact in machine.ledger("post") if fact["charged"] is not None
    }


def polls(machine: Machine) -> dict[str, set[str]]:
    """{task: the accounts whose keys polled it}"""
    found: dict[str, set[str]] = {}
    for fact in machine.ledger("get"):
        found.setdefault(fact["task_id"], set()).add(fact["account"])
    return found


def assert_each_task_is_its_own_account_s(machine: Machine) -> None:
    paid, polled = payers(machine), polls(machine)
    assert polled
    assert polled == {task: {paid[task]} for task in polled}


def paused(machine: Machine) -> dict[str, bool]:
    key = machine.make_key("platform", [Scope.OPS_READ])
    _, found, _ = call("GET", f"{machine.gateway}/ops/api/accounts", key)
    return {account["name"]: account["paused"] for account in found["data"]}


def test_with_one_account_out_of_credit_all_jobs_end_by_the_other(
    two: Machine, subscriber: Subscriber
) -> None:
    two.start_sandbox(account=f"second={KEY}", task_seconds="0.3")
    refuse(two, "main", "402")
    jobs = [post(two, subscriber) for _ in range(12)]
    for job in jobs:
        assert job_of(two, job, wait=30)["status"] == "completed"
        assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert two.charges() == dict.fromkeys(jobs, 1)
    assert set(payers(two).values()) == {"second"}
    assert any(fact["account"] == "main" and fact["reply"] == 402 for fact in two.ledger("post"))
    assert paused(two) == {"main": True, "second": False}
    refuse(two, "main", None)  # the next probe opens it
    for _ in range(50):
        if "main" in payers(two).values():
            break
        post(two, subscriber)
        time.sleep(0.2)
    assert not paused(two)["main"]
    assert_each_task_is_its_own_account_s(two)


def test_jobs_are_shared_and_each_task_is_polled_with_its_own_key(
    two: Machine, subscriber: Subscriber
) -> None:
    two.start_sandbox(account=f"second={KEY}", task_seconds="0.5", callback_style="none")
    jobs = [post(two, subscriber) for _ in range(12)]
    eventually(lambda: len(payers(two)) == len(jobs))
    refuse(two, "second", "401")  # what it has made goes on, and is polled with its key
    for job in jobs:
        assert job_of(two, job, wait=30)["status"] == "completed"
    assert two.charges() == dict.fromkeys(jobs, 1)
    paid = list(payers(two).values())
    assert (paid.count("main"), paid.count("second")) == (6, 6)
    assert_each_task_is_its_own_account_s(two)


def test_an_answer_that_was_lost_is_no_reason_to_pay_with_another_account(
    two: Machine, subscriber: Subscriber
) -> None:
    two.start_sandbox(account=f"second={KEY}", task_seconds="1", callback_style="none")
    lost = [post(two, subscriber, prompt=f"{n} [[fault:drop_after_accept]]") for n in range(2)]
    eventually(lambda: all(job_of(two, job)["phase"] == "unknown" for job in lost))
    for account in ("main", "second"):
        refuse(two, account, "402")
    for job in lost:
        eventually(lambda job=job: job_of(two, job)["status"] == "failed")  # type: ignore[misc]
        assert job_of(two, job)["error"]["code"] == "submission_unknown"
    assert two.charges() == dict.fromkeys(lost, 1)
