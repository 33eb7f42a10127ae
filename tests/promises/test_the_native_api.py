"""P1, P2, P3 on Vidu's own API: signed callbacks, cancel, and a list that finds what an answer lost."""

from __future__ import annotations

import pytest

from tests.processes import UPSTREAM_KEY, Machine, call
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of, post

pytestmark = pytest.mark.processes


@pytest.fixture
def configured() -> dict[str, str]:
    """They speak the other dialect and believe signed callbacks alone."""
    return {
        "GATEWAY_UPSTREAM_DIALECT": "vidu",
        "GATEWAY_CALLBACK_SIGNATURE": "required",
        "GATEWAY_CALLBACK_SIGNATURE_KEY": UPSTREAM_KEY,
    }


@pytest.fixture
def native(service: Machine) -> Machine:
    return service


def test_a_job_ends_with_the_task_that_was_paid_for_it(native: Machine, subscriber: Subscriber) -> None:
    native.start_sandbox(task_seconds="0.3")
    job = post(native, subscriber)
    found = job_of(native, job, wait=30)
    assert (found["status"], found["spend"]) == ("completed", "certain")
    assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert native.charges() == {job: 1}
    ends = [fact for fact in native.ledger("callback") if fact["status"] == "completed"]
    assert {fact["reply"] for fact in ends} == {200}


def test_a_task_whose_answer_and_callback_were_lost_is_found_in_the_list(
    native: Machine, subscriber: Subscriber
) -> None:
    native.start_sandbox(task_seconds="0.3")
    job = post(native, subscriber, prompt="a fox [[fault:drop_after_accept]] [[fault:lost_callback]]")
    found = job_of(native, job, wait=60)
    assert (found["status"], found["spend"]) == ("completed", "certain")
    assert native.charges() == {job: 1}


def test_a_job_that_waits_upstream_is_canceled_and_refunded(native: Machine, subscriber: Subscriber) -> None:
    native.start_sandbox(concurrency="0")
    job = post(native, subscriber)
    eventually(lambda: job_of(native, job)["phase"] == "submitted")
    status, asked, _ = call("POST", f"{native.gateway}/v1/jobs/{job}/cancel", native.key)
    assert (status, asked["status"]) == (202, "in_progress")
    assert asked["cancel"]["requested_at"]
    assert job_of(native, job, wait=30)["status"] == "canceled"
    assert_delivered_once_under_one_id(subscriber, job, "job.canceled")
    assert len(native.ledger("refund")) == 1


def test_a_job_that_the_upstream_works_on_goes_on_and_says_why(
    native: Machine, subscriber: Subscriber
) -> None:
    native.start_sandbox(task_seconds="3")
    job = post(native, subscriber)
    eventually(lambda: job_of(native, job)["phase"] == "submitted")
    assert call("POST", f"{native.gateway}/v1/jobs/{job}/cancel", native.key)[0] == 202
    found = job_of(native, job, wait=30)
    assert found["status"] == "completed"
    assert "can not cancel" in found["cancel"]["refused"]
