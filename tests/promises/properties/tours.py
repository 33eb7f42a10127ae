"""Ways that chance seldom finds, walked on purpose and checked at every step as all others are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.dispatch import Role
from gateway.resolution import Action
from tests.promises.properties.hands import held
from tests.promises.properties.jobs_machine import JobsMachine
from tests.promises.properties.model import MOST_REPORTED
from tests.promises.properties.stage import ACCOUNTS

_ENDED: Final = ("completed", "completed", True)


def _begin(machine: JobsMachine, *policies: str | None) -> None:
    machine.subscribe()
    machine.begin(list(policies))
    machine.holds()


def unknown_jobs_are_sent_again_within_the_budget(machine: JobsMachine) -> None:
    """Two of a tenant are lost: one is sent again, one is given up, and its result comes late."""
    _begin(machine, "resubmit", "resubmit")
    for _ in range(2):
        machine.send(0, "unknown")
        machine.holds()
    for _ in range(2):  # the first proof that callbacks can come begins the window
        machine.look_when_grace_is_over("later")
        machine.holds()
    (failed,) = machine.jobs("failed")
    machine._call_back(failed.name, 1, "new", "terminal", None, False, True)
    machine.holds()
    machine.look_when_grace_is_over("completed")
    machine.holds()
    assert failed.told == ["job.failed", "job.late_result"]


def an_answer_comes_when_its_job_is_forgotten(machine: JobsMachine) -> None:
    _begin(machine, None, None)
    machine.send(0, "silence")
    machine.holds()
    (job,) = machine.jobs("submitting")
    machine._call_back(job.name, 1, "new", "terminal", None, False, False)
    machine.look_when_grace_is_over("completed")
    machine.holds()
    while machine.look.role(Role.DELIVER).holders:  # the events of its steps, and what is owed of them
        machine.deliver()
        machine.dispatch()
        machine.holds()
    machine.grow_old()
    machine.holds()
    machine.forget(0, False)
    machine.holds()
    machine.answer(0, "accepted", False, True)
    machine.holds()
    machine._call_back(job.name, 1, "new", "terminal", None, False, True)  # of a job that nobody remembers
    machine.holds()


def a_key_is_used_twice(machine: JobsMachine) -> None:
    for body in ("a body", "a body", "another body"):
        machine.accept("acme", "a key", body, (60, 600), None, False, False, False, True)
        machine.holds()


def a_task_is_canceled_as_its_owner_wished(machine: JobsMachine) -> None:
    _begin(machine, None, None)
    machine.send(0, "silence")
    machine.holds()
    machine.answer(0, "accepted", False, True)
    machine.holds()
    machine.cancel(0, True, True)
    machine.holds()
    machine.look_when_grace_is_over("canceled")
    machine.holds()
    assert machine.jobs("canceled")


def every_answer_comes_to_a_job_that_waits_for_it(machine: JobsMachine) -> None:
    _begin(machine, None, None)
    for kind in ("busy", "busy, later", "refused", "rejected"):
        machine.send(0, "silence")
        machine.holds()
        machine.answer(0, kind, False, True)
        machine.holds()
        machine.wait(61.0, False)
        machine.dispatch()
        machine.holds()


def a_callback_of_the_submission_before_the_newest_comes_first(machine: JobsMachine) -> None:
    """The answers to both come when it is over."""
    _begin(machine, None, None)
    machine.send(0, "silence")
    machine.holds()
    (job,) = machine.jobs("submitting")
    machine.wait(16.0, True)
    machine.sweep()
    machine.holds()
    machine.resolve(0, Action.RESUBMIT, True)
    machine.holds()
    machine.send(0, "silence")
    machine.holds()
    machine._call_back(job.name, 1, "new", "terminal", None, False, True)
    machine.holds()
    machine.look_when_grace_is_over("completed")
    machine.holds()
    machine.answer(0, "accepted", False, True)
    machine.holds()
    machine.answer(0, "accepted", False, True)
    machine.holds()


def a_task_fills_its_slot_when_its_job_is_given_up(machine: JobsMachine) -> None:
    """One until we would have given it up ourselves, one until its end is seen."""
    _begin(machine)
    for _ in range(2):
        machine.accept("acme", None, "body", (600, 300), None, False, False, False, False)
        machine.holds()
        machine.send(0, "accepted")
        machine.holds()
    machine.wait(600.0, True)
    machine.sweep()
    machine.holds()
    first, second = machine.jobs("failed")
    assert None not in (first.kept_until, second.kept_until)
    machine._call_back(second.name, 1, "own", "terminal", None, False, False)
    machine.holds()
    machine._confirm(next(t for t in held(machine.look, Role.CONFIRM) if t.name == second.name), *_ENDED)
    machine.holds()
    assert (first.late, second.late) == (False, True)
    assert second.kept_until is None
    machine.wait(600.0, True)
    machine.sweep()
    machine.holds()
    assert first.kept_until is None


def a_job_that_waits_for_an_operator_gives_its_slot_back(machine: JobsMachine) -> None:
    """And its task takes it again when it turns up."""
    _begin(machine, "manual", "manual")
    for _ in range(2):
        machine.send(0, "unknown")
        machine.holds()
    for _ in range(2):
        machine.look_when_grace_is_over("later")
        machine.holds()
    first, second = machine.jobs("unknown")
    assert first.idle
    assert second.idle
    machine._call_back(first.name, 1, "none", "terminal", None, False, True)
    machine.holds()
    machine._call_back(first.name, 1, "new", "terminal", None, False, True)
    machine.holds()
    machine.resolve(0, Action.RESUBMIT, True)
    machine.holds()
    assert (first.state, second.state) == ("submitted", "queued")


def callbacks_name_tasks_without_end(machine: JobsMachine) -> None:
    _begin(machine, None, None)
    machine.send(0, "silence")
    machine.holds()
    (job,) = machine.jobs("submitting")
    for _ in range(MOST_REPORTED + 4):
        machine._call_back(job.name, 1, "new", "terminal", None, False, True)
        machine.holds()
    assert len(job.tasks) == MOST_REPORTED + 1
    machine.answer(0, "accepted", False, True)
    machine.holds()
    machine._call_back(job.name, 1, "new", "terminal", None, False, True)
    machine.holds()
    assert job.evidence


def no_answer_outweighs_a_proof(machine: JobsMachine) -> None:
    _begin(machine)
    for kind in ("busy", "refused", "rejected", "let go"):
        for account in ACCOUNTS:  # what the answer before says of the account holds
            machine.server.client.delete(f"{{gw}}:account:{account}")
        machine.accept("acme", None, "body", (3600, 7200), None, False, False, False, False)
        machine.holds()
        machine.send(0, "silence")
        machine.holds()
        (job,) = machine.jobs("submitting")
        machine._call_back(job.name, 1, "none", "working", None, False, True)
        machine.holds()
        if kind == "let go":
            machine.not_sent(0, kind, True)
            machine.holds()
            machine.wait(16.0, True)
            machine.sweep()
        else:
            machine.answer(0, kind, False, True)
        machine.holds()
        assert job.state == "unknown"
        machine.resolve(0, Action.FAIL, True)
        machine.holds()


def a_worker_knows_late_that_nothing_was_sent(machine: JobsMachine) -> None:
    _begin(machine, None, None)
    machine.send(0, "silence")
    machine.holds()
    machine.wait(16.0, False)
    machine.sweep()
    machine.holds()
    (job,) = machine.jobs("unknown")
    machine.not_sent(0, "let go", True)
    machine.holds()
    assert job.state == "queued"


def an_epoch_is_given_twice(machine: JobsMachine) -> None:
    """By a Redis that was rolled back: who claimed it first neither sends it nor says what became of it."""
    _begin(machine, None, None)
    for released in (False, True):
        if released:
            machine.send(0, "silence")
        else:
            machine.claim(0, False)
        machine.holds()
        hands = machine.hands[-1]
        machine.server.client.hset(f"{{gw}}:job:{hands.job.id}", "run", "another")
        machine.model.jobs[hands.job.id].run = "another"
        if not released:
            machine._release(hands, True)
            assert hands.released is False
            machine.not_sent(0, "let go", True)
        else:
            machine._answer(hands, "busy", False, True)
        machine.holds()
    assert len(machine.jobs("submitting")) == 2


def what_may_have_been_paid_is_sent_again_with_its_own_account(machine: JobsMachine) -> None:
    """Each of two accounts has a job whose answer was lost, and people choose to send both again."""
    _begin(machine, None, None)
    for _ in range(2):
        machine.send(0, "unknown")
        machine.holds()
    for _ in range(2):
        machine.resolve(0, Action.RESUBMIT, True)
        machine.holds()
    for _ in range(2):
        machine.dispatch()
        machine.send(0, "accepted")
        machine.holds()
    first, second = machine.jobs("submitted")
    assert {first.this.account, second.this.account} == set(ACCOUNTS)


TOURS: Final[tuple[Callable[[JobsMachine], None], ...]] = (
    unknown_jobs_are_sent_again_within_the_budget,
    an_answer_comes_when_its_job_is_forgotten,
    a_key_is_used_twice,
    a_task_is_canceled_as_its_owner_wished,
    every_answer_comes_to_a_job_that_waits_for_it,
    a_callback_of_the_submission_before_the_newest_comes_first,
    a_task_fills_its_slot_when_its_job_is_given_up,
    a_job_that_waits_for_an_operator_gives_its_slot_back,
    callbacks_name_tasks_without_end,
    no_answer_outweighs_a_proof,
    a_worker_knows_late_that_nothing_was_sent,
    an_epoch_is_given_twice,
    what_may_have_been_paid_is_sent_again_with_its_own_account,
)
