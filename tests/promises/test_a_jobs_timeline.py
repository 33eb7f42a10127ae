"""A job's timeline says what really happened: as the upstream, the subscriber and the clock saw it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.processes import Machine, call
from tests.promises.conftest import Subscriber, eventually, job_of, post

pytestmark = pytest.mark.processes


@pytest.fixture
def service(shared: Machine) -> Machine:
    return shared


def test_the_timeline_has_every_submission_callback_and_attempt(
    service: Machine, subscriber: Subscriber
) -> None:
    service.start_sandbox(task_seconds="0.3")
    subscriber.answers = [500]
    job = post(service, subscriber, prompt="a fox [[fault:429*1]]")
    assert job_of(service, job, wait=30)["status"] == "completed"
    eventually(lambda: bool(subscriber.events_of(job)))
    url = f"{service.gateway}/v1/jobs/{job}/timeline"
    eventually(lambda: _kinds(service, url)["attempt"] == 2)
    status, told, _ = call("GET", url, service.key)
    assert status == 200
    kinds = Counter(entry["kind"] for entry in told["data"])
    posts = [fact for fact in service.ledger("post") if job in fact["callback_token"]]
    callbacks = [fact for fact in service.ledger("callback") if fact["reply"] == 200]
    assert kinds["released"] == len(posts) == 2
    assert kinds["callback"] == len(callbacks) > 0
    assert (kinds["upstream_busy"], kinds["upstream_succeeded"], kinds["owed"]) == (1, 1, 1)
    busy = next(entry for entry in told["data"] if entry["kind"] == "upstream_busy")
    assert "429" in busy["why"]
    attempts = [entry["status"] for entry in told["data"] if entry["kind"] == "attempt"]
    assert attempts == [500, 204]
    times = [entry["at"] for entry in told["data"]]
    assert times == sorted(times)
    assert told["data"][0]["kind"] == "accepted"


def _kinds(service: Machine, url: str) -> Counter[str]:
    return Counter(entry["kind"] for entry in call("GET", url, service.key)[1]["data"])
