"""P4, P7: what is away comes back, and everything goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of, post

pytestmark = pytest.mark.processes


@pytest.fixture
def service(shared: Machine) -> Machine:
    return shared


def test_without_redis_intake_answers_503_and_goes_on_when_it_is_back(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox()
    service.kill_valkey()
    status, problem, headers = call("POST", f"{service.gateway}/v1/jobs", service.key, ORDER)
    assert (status, problem["status"]) == (503, 503)
    assert int(headers["retry-after"]) >= 1
    assert call("GET", f"{service.gateway}/readyz", "")[0] == 503
    assert call("GET", f"{service.gateway}/livez", "")[0] == 200
    time.sleep(2)
    assert all(child.poll() is None for child in service.processes.values())
    service.start_valkey()
    eventually(lambda: call("GET", f"{service.gateway}/readyz", "")[0] == 200)
    job = post(service, subscriber)
    assert job_of(service, job, wait=30)["status"] == "completed"


def test_while_the_upstream_is_away_jobs_wait_and_nothing_fails(
    service: Machine, subscriber: Subscriber
) -> None:
    jobs = [post(service, subscriber) for _ in range(3)]
    time.sleep(2)
    assert {job_of(service, job)["status"] for job in jobs} == {"queued"}
    service.start_sandbox()
    for job in jobs:
        assert job_of(service, job, wait=60)["status"] == "completed"
    assert service.charges() == dict.fromkeys(jobs, 1)


@pytest.mark.parametrize("fault", ["429*2", "401*1"])
def test_an_upstream_that_refuses_for_now_is_asked_again(
    service: Machine, subscriber: Subscriber, fault: str
) -> None:
    service.start_sandbox()
    job = post(service, subscriber, prompt=f"a fox [[fault:{fault}]]")
    assert job_of(service, job, wait=50)["status"] == "completed"
    assert service.charges() == {job: 1}


def test_a_task_that_fails_fails_the_job_with_the_upstream_s_own_words(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox()
    job = post(service, subscriber, prompt="a fox [[fault:failed_task]]")
    found = job_of(service, job, wait=30)
    assert found["status"] == "failed"
    assert found["error"]["code"]
    assert found["error"]["error_message"]
    assert_delivered_once_under_one_id(subscriber, job, "job.failed")


def test_a_subscriber_that_is_away_gets_it_later_under_the_same_id(
    service: Machine, subscriber: Subscriber
) -> None:
    subscriber.answers = [500, 503, 302]
    service.start_sandbox()
    job = post(service, subscriber)
    assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert subscriber.refused == 3
    _, found, _ = call("GET", f"{service.gateway}/v1/jobs/{job}/deliveries", service.key)
    [delivery] = found["data"]
    assert delivery["state"] == "delivered"
    assert [entry["status"] for entry in delivery["log"]] == [500, 503, 302, 204]


@pytest.mark.parametrize("module", ["gateway", "workers"])
def test_a_wrong_setting_stops_a_process_and_is_named(module: str, nursery: Nursery, tmp_path: Path) -> None:
    wrong = nursery.spawn([module], {"GATEWAY_UPSTREAM_SLOTS": "many"}, tmp_path / "log")
    assert wrong.wait(60) == 2
    assert "GATEWAY_UPSTREAM_SLOTS" in (tmp_path / "log").read_text()
