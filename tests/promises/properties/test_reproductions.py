"""What the machines found, each as the shortest way to see it; what the product does not do yet is marked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.resolution import Action
from tests.promises.crashes.store import Server
from tests.promises.properties import dump
from tests.promises.properties.hands import answer_of
from tests.promises.properties.jobs_machine import JobsMachine
from tests.promises.properties.stage import now


@pytest.fixture
def machine(redis_url: str, tmp_path: Path) -> Iterator[JobsMachine]:
    server = Server(redis_url)
    with capture_logs():
        yield JobsMachine(server, tmp_path, Counter())
    server.close()


def send(machine: JobsMachine, jobs: int) -> None:
    machine.subscribe()
    machine.begin([None] * jobs)
    machine.holds()
    for _ in range(jobs):
        machine.send(0, "silence")
        machine.holds()


def test_a_proven_submission_is_not_sent_again_because_its_answer_says_busy(machine: JobsMachine) -> None:
    send(machine, 1)
    (job,) = machine.jobs()
    machine._call_back(job.name, 1, "none", "terminal", None, False, False)
    machine.holds()
    machine.answer(0, "busy", False, False)
    machine.wait(61.0, False)
    machine.dispatch()
    machine.holds()
    machine.send(0, "silence")  # asserts that it is paid for once


def test_a_job_names_no_task_that_an_answer_gave_to_another(machine: JobsMachine) -> None:
    send(machine, 2)
    first, second = machine.jobs()
    for _ in range(2):
        machine._call_back(first.name, 1, "new", "working", None, False, False)
        machine.holds()
    task = max(first.tasks)
    (hands,) = [hands for hands in machine.hands if hands.job.id == second.name]
    now(machine.stage.submitter.recorder.record(hands.job, answer_of("accepted", task), hands.ticket))
    assert task not in dump.read(machine.server).hash(f"job:{first.name}").get("earlier", "")


def test_a_completed_job_still_names_all_its_tasks(machine: JobsMachine) -> None:
    send(machine, 1)
    (job,) = machine.jobs()
    for kind in ("working", "terminal"):
        machine._call_back(job.name, 1, "new", kind, None, False, False)
        machine.holds()
    machine.wait(21.0, True)
    machine.dispatch()
    machine.confirm(0, "working", "completed", False)
    machine.holds()
    assert job.state == "completed"
    record = dump.read(machine.server).hash(f"job:{job.name}")
    assert all(task in record["task_id"] + record["earlier"] for task in job.tasks)


def test_a_job_that_is_built_up_again_fills_a_slot(machine: JobsMachine) -> None:
    machine._call_back(machine.stage.environment.new_job_id(), 1, "new", "terminal", None, False, False)
    assert dump.read(machine.server).zset("submit:slots")


def test_a_crossed_callback_of_an_earlier_submission_fences_the_armed_worker(machine: JobsMachine) -> None:
    send(machine, 2)
    first, second = machine.jobs()
    machine._call_back(second.name, 1, "new", "working", None, False, False)
    machine.holds()
    (mine,) = [hands for hands in machine.hands if hands.job.id == first.name]
    machine._answer(mine, "busy", False, False)
    machine.wait(61.0, False)
    machine.dispatch()
    machine.holds()
    machine.claim(0, False)
    machine.holds()
    machine._call_back(first.name, 1, "another's", "terminal", None, False, False)
    assert not now(machine.stage.jobs.release(machine.hands[-1].job)), "it may be paid for twice"


def test_each_answer_stands_against_callbacks_of_its_submission(machine: JobsMachine) -> None:
    send(machine, 1)
    (job,) = machine.jobs()
    machine.wait(16.0, True)
    machine.sweep()
    machine.holds()
    machine.resolve(0, Action.RESUBMIT, False)
    machine.dispatch()
    machine.holds()
    machine.send(0, "silence")
    machine.holds()
    for hands in list(machine.hands):
        machine._answer(hands, "accepted", False, False)
        machine.holds()
    machine._call_back(job.name, 1, "new", "working", None, False, False)  # asserts that it is crossed


def test_a_callback_that_builds_a_job_up_again_notes_that_the_end_was_published(machine: JobsMachine) -> None:
    name = machine.stage.environment.new_job_id()
    machine._call_back(name, 1, "new", "terminal", None, False, False)
    assert "called_back_at" in dump.read(machine.server).hash(f"job:{name}")
