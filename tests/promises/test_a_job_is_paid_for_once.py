"""P1, P2: whatever dies, an accepted job ends once, and is paid for once."""

from __future__ import annotations

import random
import time

import pytest

from tests.processes import Machine
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of, post

pytestmark = pytest.mark.processes


def test_a_worker_killed_in_mid_job_costs_nothing(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="1.5")
    jobs = [post(service, subscriber) for _ in range(6)]
    eventually(lambda: len(service.charges()) == len(jobs))
    service.kill("workers")
    time.sleep(1)  # the tasks end, and call back, while nobody works
    service.start_workers()
    for job in jobs:
        assert job_of(service, job, wait=30)["status"] == "completed"
        assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert service.charges() == dict.fromkeys(jobs, 1)


def test_workers_killed_again_and_again_while_they_submit(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="0.2")
    dice = random.Random(7)
    jobs: list[str] = []
    for _ in range(6):
        jobs += [post(service, subscriber) for _ in range(8)]
        time.sleep(dice.uniform(0, 0.25))
        service.kill("workers")
        service.start_workers()
    for job in jobs:
        eventually(lambda job=job: job_of(service, job)["status"] in ("completed", "failed"))  # type: ignore[misc]
    charges = service.charges()
    assert set(charges.values()) <= {1}
    ended = {job: job_of(service, job) for job in jobs}
    for job, found in ended.items():
        if found["status"] == "completed":
            assert charges[job] == 1
            assert_delivered_once_under_one_id(subscriber, job, "job.completed")
        else:  # killed between the release and the last byte: it may have been paid, so it was not sent again
            assert found["error"]["code"] == "submission_unknown"
            assert_delivered_once_under_one_id(subscriber, job, "job.failed")
    assert sum(found["status"] == "completed" for found in ended.values()) > len(jobs) * 0.7


def test_a_gateway_killed_under_load_keeps_what_it_accepted(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="0.5")
    jobs = [post(service, subscriber) for _ in range(10)]
    service.kill("gateway")  # callbacks meet nobody
    time.sleep(0.7)
    service.start_gateway()
    for job in jobs:
        assert job_of(service, job, wait=30)["status"] == "completed"
    assert service.charges() == dict.fromkeys(jobs, 1)


def test_redis_killed_and_started_again_forgets_nothing(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="1")
    jobs = [post(service, subscriber) for _ in range(10)]
    eventually(lambda: len(service.charges()) >= 5)
    service.kill_valkey()
    time.sleep(1)
    service.start_valkey()
    for job in jobs:
        eventually(lambda job=job: job_of(service, job)["status"] == "completed")  # type: ignore[misc]
        assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert set(service.charges().values()) == {1}


def test_an_answer_lost_after_the_task_was_made_is_not_paid_again(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox(task_seconds="1")
    job = post(service, subscriber, prompt="a fox [[fault:drop_after_accept]]")
    eventually(lambda: job_of(service, job)["phase"] == "unknown")
    assert job_of(service, job, wait=30)["status"] == "completed"  # the callback named the task
    assert service.charges() == {job: 1}


def test_an_answer_that_does_not_say_whether_a_task_was_made_is_not_followed_by_another_submission(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox()
    job = post(service, subscriber, prompt="a fox [[fault:503*1]]")
    found = job_of(service, job, wait=50)
    assert (found["status"], found["error"]["code"]) == ("failed", "submission_unknown")
    assert service.charges() == {}


def test_a_rolling_restart_loses_and_repeats_nothing(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="0.3")
    jobs: list[str] = []
    for turn in range(3):
        jobs += [post(service, subscriber) for _ in range(6)]
        service.start_workers(f"workers{turn}")
        previous = "workers" if turn == 0 else f"workers{turn - 1}"
        assert service.stop(previous) == 0
    for job in jobs:
        assert job_of(service, job, wait=30)["status"] == "completed"
    assert service.charges() == dict.fromkeys(jobs, 1)
