"""P3, P8: lost, doubled, early and forged callbacks change nothing but timing."""

from __future__ import annotations

import json

import pytest
import redis

from gateway.callbacks import tokens
from gateway.keyring import Keyring
from tests.processes import Machine, call
from tests.promises.conftest import Subscriber, assert_delivered_once_under_one_id, eventually, job_of, post

pytestmark = pytest.mark.processes


@pytest.fixture
def service(shared: Machine) -> Machine:
    return shared


@pytest.mark.parametrize("fault", ["lost_callback", "duplicate_callback", "early_callback"])
def test_the_job_ends_once_all_the_same(service: Machine, subscriber: Subscriber, fault: str) -> None:
    service.start_sandbox(task_seconds="0.3")
    job = post(service, subscriber, prompt=f"a fox [[fault:{fault}]]")
    assert job_of(service, job, wait=30)["status"] == "completed"
    assert_delivered_once_under_one_id(subscriber, job, "job.completed")
    assert service.charges() == {job: 1}


@pytest.mark.parametrize("style", ["none", "vidu"])
def test_an_upstream_that_calls_back_in_other_words_or_never_is_polled(
    service: Machine, subscriber: Subscriber, style: str
) -> None:
    service.start_sandbox(task_seconds="0.3", callback_style=style)
    job = post(service, subscriber)
    assert job_of(service, job, wait=30)["status"] == "completed"


def test_a_forged_token_is_a_404_and_reads_nothing(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="5")
    job = post(service, subscriber)
    eventually(lambda: job_of(service, job)["phase"] == "submitted")
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        before = client.hgetall(f"{{gw}}:job:{job}")
        forged = tokens.make(Keyring.parse(Keyring.generate()), "acme", job, 1)
        body = {"id": "d758n65e878c73cmdg20", "status": "completed"}
        for token in (forged, "x", forged[:-1] + "A"):
            assert call("POST", f"{service.gateway}/callbacks/{token}", "", body)[0] == 404
        assert client.hgetall(f"{{gw}}:job:{job}") == before


def test_a_callback_that_lies_about_the_result_is_checked(service: Machine, subscriber: Subscriber) -> None:
    service.start_sandbox(task_seconds="1.5")
    job = post(service, subscriber)
    eventually(lambda: job_of(service, job)["phase"] == "submitted")
    token = tokens.make(service.keyring, "acme", job, 1)
    lie = {"id": "x", "status": "completed", "output": [{"content": [{"url": "https://evil.example.com/v"}]}]}
    assert call("POST", f"{service.gateway}/callbacks/{token}", "", lie)[0] == 200
    found = job_of(service, job, wait=30)
    assert found["status"] == "completed"
    assert "evil" not in json.dumps(found)
