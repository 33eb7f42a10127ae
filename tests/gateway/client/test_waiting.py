"""How the client waits for a job."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.client import Client, Job, errors
from gateway.client.network import Blocking, Target
from gateway.client.requests import Request
from tests.gateway.client.scripted import KEY, Reply, scripted

AWAY = Reply(503, {"title": "away"})


def job(status: str, **more: object) -> Reply:
    return Reply(200, {"id": "job_1", "status": status, **more})


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(Blocking, "sleep", staticmethod(found.append))
    return found


def test_the_gateway_waits_for_the_client() -> None:
    with scripted(job("queued"), job("completed")) as server, Client(server.url, KEY) as client:
        assert client.jobs.wait("job_1").final
    assert [one.path for one in server.asked] == ["/v1/jobs/job_1?wait=60"] * 2


def test_progress_is_told_every_few_seconds() -> None:
    seen: list[str] = []
    with scripted(job("queued"), job("completed")) as server, Client(server.url, KEY) as client:
        client.jobs.wait("job_1", timeout=None, progress=lambda job: seen.append(job.status))
    assert seen == ["queued", "completed"]
    assert server.asked[0].path == "/v1/jobs/job_1?wait=5"


def test_a_gateway_that_does_not_wait_is_not_asked_all_the_time(waits: list[float]) -> None:
    replies = (job("queued"), job("queued"), job("completed"))
    with scripted(*replies) as server, Client(server.url, KEY) as client:
        client.jobs.wait("job_1")
    assert waits == [1.0, 1.0]


def test_an_outage_is_waited_out() -> None:
    away = [AWAY] * 7
    with scripted(job("queued"), *away, job("completed")) as server, Client(server.url, KEY) as client:
        assert client.jobs.wait("job_1").status == "completed"


def test_a_gateway_that_never_answered_is_not_waited_for() -> None:
    with scripted(AWAY) as server, Client(server.url, KEY) as client, pytest.raises(errors.Unavailable):
        client.jobs.wait("job_1")
    assert len(server.asked) == 3


def test_an_outage_at_the_beginning_is_not_waited_out_beyond_the_time(waits: list[float]) -> None:
    with scripted(AWAY) as server, Client(server.url, KEY) as client, pytest.raises(errors.Unavailable):
        client.jobs.wait("job_1", timeout=0)
    assert (waits, len(server.asked)) == ([], 1)


@pytest.mark.parametrize(("timeout", "longest"), [(0, 5), (10, 15), (None, 90)])
def test_a_silent_gateway_is_given_up_soon_after_the_time(
    timeout: float | None, longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    silences: list[float] = []
    parts = Target.parts

    def spied(target: Target, request: Request) -> dict[str, Any]:
        found = parts(target, request)
        silences.append(found["timeout"].read)
        return found

    monkeypatch.setattr(Target, "parts", spied)
    with scripted(job("completed")) as server, Client(server.url, KEY) as client:
        client.jobs.wait("job_1", timeout=timeout)
    assert longest - 5 < silences[0] <= longest


def test_an_outage_beyond_the_time_is_a_timeout(waits: list[float]) -> None:
    busy = Reply(429, {}, {"Retry-After": "100"})
    with (
        scripted(busy) as server,
        Client(server.url, KEY) as client,
        pytest.raises(errors.WaitTimeout, match="still queued after 30 s") as raised,
    ):
        client.jobs.wait(Job(id="job_1", status="queued"), timeout=30)
    assert (waits, len(server.asked)) == ([], 1)
    assert isinstance(raised.value.__cause__, errors.RateLimited)
    assert isinstance(raised.value, TimeoutError)


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_a_job_without_a_video_is_an_error_with_the_job(status: str) -> None:
    reply = job(status, error={"code": "start_deadline_passed", "error_message": "too late"})
    with (
        scripted(reply) as server,
        Client(server.url, KEY) as client,
        pytest.raises(errors.NotCompleted) as raised,
    ):
        client.jobs.wait("job_1")
    assert raised.value.job.status == status
    assert isinstance(raised.value, errors.JobFailed) == (status == "failed")
    if status == "failed":
        assert "start_deadline_passed: too late" in str(raised.value)


def test_what_waiting_cannot_change_is_raised() -> None:
    gone = Reply(404, {"detail": "no job"})
    with scripted(gone) as server, Client(server.url, KEY) as client, pytest.raises(errors.NotFound):
        client.jobs.wait(Job(id="job_1", status="queued"))
    assert len(server.asked) == 1
