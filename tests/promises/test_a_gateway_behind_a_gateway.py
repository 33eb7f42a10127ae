"""P1, P2, P3, P6 through the Vtrix door: the upstream of one gateway is the door of another.

The outer gateway speaks the upstream's protocol as to any upstream, so both sides of it are judged at once.
The sandbox behind the inner one keeps the ledger. Between the two gateways stand proxies that lose answers
and callbacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.gateway.doors.wire import HttpError, Task
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, machine
from tests.promises.conftest import SHORT, Subscriber, eventually, job_of
from tests.promises.faults.proxy import Proxies, Proxy, Weather

pytestmark = pytest.mark.processes

_CREATE = "/model/v1/generation"


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
        status, task, _ = call("POST", f"{self.outer.gateway}{_CREATE}", self.outer.key, body)
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
        status, task, _ = call("GET", f"{self.outer.gateway}{_CREATE}/task/{job}", self.outer.key)
        assert status == 200, task
        return Task.model_validate(task)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "inner").mkdir()
    (folder / "outer").mkdir()
    proxies = Proxies()
    with machine(folder / "inner", nursery) as inner, machine(folder / "outer", nursery) as outer:
        requests = proxies.open("requests", ("127.0.0.1", inner.ports["gateway"]))
        callbacks = proxies.open("callbacks", ("127.0.0.1", outer.ports["gateway"]))
        inner.environment |= SHORT | {
            "GATEWAY_PROMPT_MAX_CHARACTERS": "200",
            "GATEWAY_CLIENT_URL": "https://inner.example.com",
        }
        outer.environment |= SHORT | {
            "GATEWAY_UPSTREAM_URL": f"http://127.0.0.1:{requests.port}",
            "GATEWAY_UPSTREAM_KEY": inner.key,  # its client key, as it is
            "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{callbacks.port}",
            "GATEWAY_UNKNOWN_GRACE_SECONDS": "4",
            "GATEWAY_OFF_PEAK": "1",
            "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS": "1",
        }
        for one in (inner, outer):
            one.start_gateway()
            one.start_workers()
        inner.start_sandbox(task_seconds="0.3")
        yield Pair(outer, inner, requests, callbacks)
    proxies.close()


@pytest.fixture
def pair(both: Pair) -> Iterator[Pair]:
    yield both
    both.requests.set(Weather.PASS)
    both.callbacks.set(Weather.PASS)


@pytest.fixture
def service(pair: Pair) -> Machine:
    """Whose webhooks the subscriber believes."""
    return pair.outer


@pytest.mark.parametrize("callbacks", [Weather.PASS, Weather.REFUSE])
def test_jobs_run_through_both_and_each_is_paid_for_once(pair: Pair, callbacks: Weather) -> None:
    pair.callbacks.set(callbacks)  # without them, polls find out
    jobs = [pair.post(prompt=f"fox {number}", payload=f"order {number}") for number in range(4)]
    for number, job in enumerate(jobs):
        found = job_of(pair.outer, job, wait=20)
        assert found["status"] == "completed", found
        assert (found["payload"], found["spend"]) == (f"order {number}", "certain")
        [inner] = pair.charges(job).elements()
        task = pair.task_of(job)
        assert task.status == "completed"
        assert task.urls[0].startswith(f"https://inner.example.com/v1/jobs/{inner}/content?variant=video&")
        assert (task.payload, task.usage and task.usage.cost) == (f"order {number}", found["usage"]["cost"])


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("drop_after_accept", "completed", None),  # the callback names the task
        ("lost_callback", "completed", None),
        ("429*1", "completed", None),
        ("instant", "completed", None),
        ("failed_task=1027", "failed", "1027"),
        ("failed_task=AuditSubmitIllegal", "failed", "90000"),
        ("400", "failed", "90000"),
    ],
)
def test_what_becomes_of_the_task_becomes_of_the_job(
    pair: Pair, fault: str, status: str, code: str | None
) -> None:
    job = pair.post(prompt=f"a fox [[fault:{fault}]]")
    found = job_of(pair.outer, job, wait=20)
    assert (found["status"], found["error"] and found["error"]["code"]) == (status, code)
    assert list(pair.charges(job).values()) == [0 if fault == "400" else 1]


def test_a_callback_url_hears_once_what_a_poll_shows(pair: Pair, subscriber: Subscriber) -> None:
    subscriber.answers = [500]
    jobs = {
        fault: pair.post(prompt=f"a fox {fault}", payload="mine", callback_url=subscriber.url)
        for fault in ("", "[[fault:failed_task=1027]]")
    }
    for job in jobs.values():
        job_of(pair.outer, job, wait=20)
    eventually(lambda: len(subscriber.heard) >= len(jobs))
    told = {str(body["id"]): (name, body) for name, body in subscriber.heard}
    assert subscriber.refused == 1
    for fault, job in jobs.items():
        name, body = told[job]
        kind = "failed" if fault else "completed"
        assert name == f"evt_{job.removeprefix('job_')}_{kind}_vtrix"
        task = f"{pair.outer.gateway}{_CREATE}/task/{job}"
        assert body == call("GET", task, pair.outer.key)[1]
        assert (Task.model_validate(body).status, body["payload"]) == (kind, "mine")
    assert len(subscriber.heard) == len(jobs)


def lost_answer(pair: Pair, **fields: object) -> tuple[str, str]:
    """A job whose submission the inner gateway accepted, while its answer was lost on the way."""
    pair.requests.set(Weather.HALF_OPEN)
    job = pair.post(**fields)
    eventually(lambda: bool(pair.inner_jobs().get(job)))
    pair.requests.set(Weather.RESET)
    eventually(lambda: job_of(pair.outer, job)["phase"] == "unknown")
    pair.requests.set(Weather.PASS)
    return job, pair.inner_jobs()[job][0]


def test_an_answer_that_was_lost_between_them_is_found_by_the_callback(pair: Pair) -> None:
    job, inner = lost_answer(pair)
    found = job_of(pair.outer, job, wait=20)
    assert (found["status"], found["spend"]) == ("completed", "certain")
    assert pair.charges(job) == Counter([inner])


def test_without_any_word_of_it_the_job_fails_and_is_not_paid_for_again(pair: Pair) -> None:
    pair.callbacks.set(Weather.REFUSE)
    job, inner = lost_answer(pair)
    found = job_of(pair.outer, job, wait=20)
    assert (found["status"], found["error"]["code"]) == ("failed", "submission_unknown")
    assert job_of(pair.inner, inner, wait=20)["status"] == "completed"
    assert pair.charges(job) == Counter([inner])


def test_a_body_that_the_inner_one_refuses_brings_every_problem_back(pair: Pair) -> None:
    wrong = {"images": ["http://127.0.0.1/a.png"], "prompt": "x" * 201, "off_peak": True}
    job = pair.post(**wrong)
    found = job_of(pair.outer, job, wait=20)
    assert (found["status"], found["error"]["code"], found["spend"]) == ("failed", "invalid_request", "none")
    for name in ("images[0]: ", "prompt: ", "off_peak: "):
        assert name in found["error"]["error_message"]
    assert pair.inner_jobs().get(job) is None


def test_a_body_that_the_outer_one_refuses_costs_nothing_and_names_every_problem(pair: Pair) -> None:
    before = len(pair.inner_jobs())
    params: dict[str, Any] = {"images": [], "prompt": " ", "duration": 11}
    body = {"model": "viduq3", "input": [{"params": params}]}
    status, refusal, _ = call("POST", f"{pair.outer.gateway}{_CREATE}", pair.outer.key, body)
    HttpError.model_validate(refusal)
    assert (status, {one["param"] for one in refusal["errors"]}) == (400, {"model", *params})
    assert len(pair.inner_jobs()) == before
