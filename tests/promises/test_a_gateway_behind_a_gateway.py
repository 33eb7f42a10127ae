"""P1, P2, P3, P6 through doors: the upstream of one gateway is the door of another.

The outer gateway speaks the upstream's protocol as to any upstream, so both sides of it are judged at once.
The sandbox behind the inner one keeps the ledger. Between the two gateways stand proxies that lose answers
and callbacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway.doors import vidu_wire
from tests.gateway.doors.wire import HttpError, Task
from tests.nursery import Nursery
from tests.processes import Machine, call
from tests.promises.conftest import Subscriber, eventually, job_of
from tests.promises.faults.proxy import Weather
from tests.promises.pairs import CREATE, Pair, ViduClient, behind, paired

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Pair]:
    with paired(tmp_path_factory.mktemp("pair"), nursery) as made:
        yield made


@pytest.fixture(scope="module")
def vidu_pair(both: Pair, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Pair]:
    """Another outer gateway before the same inner one. It speaks Vidu's protocol."""
    with behind(
        both.inner, tmp_path_factory.mktemp("vidu"), nursery, GATEWAY_UPSTREAM_DIALECT="vidu"
    ) as made:
        yield made


@pytest.fixture
def pair(both: Pair) -> Iterator[Pair]:
    yield both
    both.requests.set(Weather.PASS)
    both.callbacks.set(Weather.PASS)


@pytest.fixture
def service(request: pytest.FixtureRequest, pair: Pair) -> Machine:
    """Whose webhooks the subscriber believes."""
    asked: Pair = request.getfixturevalue("vidu_pair") if "vidu_pair" in request.fixturenames else pair
    return asked.outer


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
        task = f"{pair.outer.gateway}{CREATE}/task/{job}"
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
    status, refusal, _ = call("POST", f"{pair.outer.gateway}{CREATE}", pair.outer.key, body)
    HttpError.model_validate(refusal)
    assert (status, {one["param"] for one in refusal["errors"]}) == (400, {"model", *params})
    assert len(pair.inner_jobs()) == before


@pytest.mark.parametrize(
    ("fault", "state", "err_code"),
    [
        ("", "success", ""),
        ("[[fault:drop_after_accept]]", "success", ""),
        ("[[fault:lost_callback]]", "success", ""),
        ("[[fault:429*1]]", "success", ""),
        ("[[fault:failed_task=1027]]", "failed", "1027"),
        ("[[fault:400]]", "failed", "90000"),
    ],
)
def test_a_client_of_vidu_gets_its_video_and_each_task_is_paid_for_once(
    vidu_pair: Pair, fault: str, state: str, err_code: str
) -> None:
    client = ViduClient(vidu_pair.outer)
    job = client.create(prompt=f"a fox {fault}", payload="order 7")
    task = client.until_final(job)
    found = job_of(vidu_pair.outer, job)
    expected = err_code if fault != "[[fault:400]]" else found["error"]["code"]
    assert (task.state, task.err_code, task.payload) == (state, expected, "order 7")
    assert list(vidu_pair.charges(job).values()) == [0 if "fault:400" in fault else 1]
    if state == "success":
        [inner] = vidu_pair.charges(job).elements()
        assert task.urls[0].startswith(f"https://inner.example.com/v1/jobs/{inner}/content?variant=video&")
        status, shown, _ = call("GET", f"{vidu_pair.inner.gateway}/v1/jobs/{inner}", vidu_pair.inner.key)
        assert status == 200
        assert task.credits == round(float(shown["usage"]["cost"]) / 0.005)


def test_an_answer_of_vidu_s_door_that_was_lost_is_found_in_its_list(vidu_pair: Pair) -> None:
    vidu_pair.callbacks.set(Weather.REFUSE)
    job, inner = lost_answer(vidu_pair)
    found = job_of(vidu_pair.outer, job, wait=30)
    vidu_pair.callbacks.set(Weather.PASS)
    assert (found["status"], found["spend"]) == ("completed", "certain")
    assert vidu_pair.charges(job) == Counter([inner])


def test_a_callback_url_of_vidu_s_door_hears_each_change(vidu_pair: Pair, subscriber: Subscriber) -> None:
    client = ViduClient(vidu_pair.outer)
    job = client.create(prompt="a fox", payload="mine", callback_url=subscriber.url)
    client.until_final(job)
    eventually(lambda: len(subscriber.heard) >= 2)
    told = {body["state"]: (name, body) for name, body in subscriber.heard}
    stem = f"evt_{job.removeprefix('job_')}"
    assert {state: name for state, (name, _) in told.items()} == {
        "processing": f"{stem}_submitted_vidu",
        "success": f"{stem}_completed_vidu",
    }
    for _, body in told.values():
        vidu_wire.Task.model_validate(body)
    assert told["success"][1] == client.get(f"/tasks/{job}/creations")


def test_a_task_that_waits_is_canceled_through_both_and_costs_nothing(vidu_pair: Pair) -> None:
    client = ViduClient(vidu_pair.outer)
    job = client.create(prompt="a fox [[fault:429=20*1]]")
    eventually(lambda: bool(vidu_pair.inner_jobs().get(job)))
    [inner] = vidu_pair.inner_jobs()[job]

    def waits_after_a_refusal() -> bool:
        found = job_of(vidu_pair.inner, inner)
        return found["phase"] == "queued" and found["started_at"] is not None

    eventually(waits_after_a_refusal)
    client.cancel(job)
    task = client.until_final(job)
    assert (task.state, task.err_code) == ("failed", "UserCancelled")
    assert job_of(vidu_pair.outer, job)["status"] == job_of(vidu_pair.inner, inner)["status"] == "canceled"
    assert vidu_pair.charges(job) == Counter({inner: 0})


def test_a_cancel_that_the_inner_one_refuses_is_refused_with_its_reason(vidu_pair: Pair) -> None:
    client = ViduClient(vidu_pair.outer)
    job = client.create(prompt="a fox [[fault:slow=2]]")
    eventually(lambda: vidu_pair.inner.charges().get(next(iter(vidu_pair.charges(job)), ""), 0) == 1)
    client.cancel(job)
    assert client.until_final(job).state == "success"
    assert "offers no cancel" in job_of(vidu_pair.outer, job)["cancel"]["refused"]
