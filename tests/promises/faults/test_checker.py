"""The checker is content with a good run, and every invariant that is broken once is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.promises.faults import checker, crossed
from tests.promises.faults.evidence import Evidence
from tests.promises.faults.handmade import (
    JOB,
    KEY,
    OUTPUT,
    TASK,
    delivery,
    failover,
    good,
    paid,
    step,
    token,
    webhook,
)

GONE = "another server became the primary 2 s ago: acknowledged writes may be gone"
Spoil = Callable[[Evidence], Any]


def _history(found: Evidence) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = found.jobs[JOB]["ops"]["audit"]
    return history


def _shown(found: Evidence) -> dict[str, Any]:
    shown: dict[str, Any] = found.jobs[JOB]["public"]
    return shown


def _is_assumed(found: Evidence) -> None:
    found.nemesis[0].update(durability="assume")
    found.nemesis.extend(failover())


def _costs(found: Evidence, charged: str, reserved: str = "0.0000") -> None:
    _shown(found).update(cost={"reserved": reserved, "charged": charged})


def _total(found: Evidence) -> dict[str, str]:
    balance: dict[str, str] = found.final["money"]["balances"]["{gw}:tenant:acme:balance:total"]
    return balance


def _is_given_up(found: Evidence, code: str = "submission_unknown") -> None:
    """The job failed, and everything else says so too."""
    _shown(found).update(status="failed", phase="failed", output=None, error={"code": code})
    found.client[-1].update(_shown(found), kind="seen", job=JOB)
    _history(found)[-2:] = [
        step(1003, "outcome_lost", "submitting", "unknown"),
        step(1009.5, "deadline_passed", "unknown", "failed"),
    ]
    found.subscriber[:] = [webhook(fact["path"], status="failed") for fact in found.subscriber]
    for entry in found.jobs[JOB]["deliveries"]:
        entry["event"]["type"] = "job.failed"
    found.final["state"]["counts"].update({"job:completed": 0, "job:failed": 1})
    found.jobs[JOB]["ops"]["job"]["task_id"] = None


def _is_sent_again(found: Evidence, waited: float) -> None:
    """Unknown, and after `waited` seconds sent and charged again, as its owner chose."""
    found.client[0]["policy"] = "resubmit"
    _history(found)[3:] = [
        step(1003, "outcome_lost", "submitting", "unknown"),
        step(1003 + waited, "resubmit_chosen", "unknown", "queued"),
        step(1020, "claimed", "queued", "submitting", 2),
        step(1021, "released", epoch=2),
        step(1022, "upstream_accepted", "submitting", "submitted", 2),
        step(1023, "upstream_succeeded", "submitted", "completed", 2),
    ]
    found.sandbox.append(paid(1021.5, 2, "second"))
    task = {"id": "second", "status": "completed", "output": OUTPUT}
    found.final["tasks"].append({**task, "callback_url": f"/callbacks/{token(2)}"})


def _is_sent_again_and_again(found: Evidence) -> None:
    _is_sent_again(found, 6.5)
    _history(found).insert(5, step(1019, "resubmit_chosen", "unknown", "queued"))


def _is_charged_twice(found: Evidence) -> None:
    found.sandbox.append(paid(1003, 2))
    _history(found).insert(3, step(1002.9, "released", epoch=2))


def _is_canceled(found: Evidence) -> None:
    _is_given_up(found)
    found.sandbox.pop()
    _shown(found).update(status="canceled", error=None)


def test_a_good_run_is_good() -> None:
    assert checker.check(good()) == []


def test_a_job_that_was_given_up_and_never_heard_of_is_no_loss() -> None:
    found = good()
    _is_given_up(found)
    _costs(found, "0.0000", "0.2750")
    found.sandbox.pop()
    [vacuous] = checker.check(found)
    assert vacuous.text == "this never happened: a job completed"


def test_a_second_charge_that_was_chosen_after_the_grace_window_is_allowed() -> None:
    found = good()
    _is_sent_again(found, 6.5)
    _costs(found, "0.2750", "0.2750")
    assert checker.check(found) == []


OTHER = "job_01M8AE98GMSV7XBBT2CNTJ7WYB"


def _has_another_s_result(found: Evidence) -> None:
    """Its answer was lost, and the upstream called back with the task of another, which it believed."""
    own, foreign = found.final["tasks"][0], {"id": "foreign", "status": "completed", "output": OUTPUT}
    own.update(output=[])
    found.final["tasks"].append({**foreign, "callback_url": f"/callbacks/{token(job=OTHER)}"})
    found.jobs[JOB]["ops"]["job"]["task_id"] = "foreign"
    _history(found).insert(4, step(1003.1, "task_named") | {"by": "callback", "task": "foreign"})
    found.sandbox[1].update(
        mutation="crossed_callback", crossed_with="foreign", callback_token=token(), at=1003.1
    )


def test_a_result_is_excused_when_a_lie_of_the_upstream_was_all_that_was_heard() -> None:
    found = good()
    _has_another_s_result(found)
    assert [str(violation) for violation in checker.check(found)] == []
    assert crossed.excused(found) == [JOB]


@pytest.mark.parametrize("what", ["own answer", "the other's callback", "the lie was refused"])
def test_a_wrong_result_is_not_excused_when_something_else_was_heard(what: str) -> None:
    found = good()
    _has_another_s_result(found)
    if what == "own answer":
        _history(found).insert(4, step(1003.2, "task_named") | {"by": "answer", "task": TASK})
    elif what == "the other's callback":
        heard = {"kind": "callback", "task_id": "foreign", "reply": 200, "at": 1003.5, "mutation": None}
        found.sandbox.append({**heard, "callback_token": token(job=OTHER)})
    else:
        found.sandbox[1].update(reply=503)
    assert "I7" in {violation.invariant for violation in checker.check(found)}
    assert crossed.excused(found) == []


def test_a_paid_result_that_was_reported_for_two_jobs_may_be_given_to_neither() -> None:
    found = good()
    _is_given_up(found)
    lie = {"kind": "callback", "task_id": "x", "crossed_with": TASK, "reply": 200}
    found.sandbox.append({**lie, "mutation": "crossed_callback", "callback_token": token(job=OTHER)})
    assert "I8" not in {violation.invariant for violation in checker.check(found)}
    _history(found).insert(4, step(1003.2, "task_named") | {"by": "answer", "task": TASK})
    assert "I8" in {violation.invariant for violation in checker.check(found)}


def test_a_webhook_may_come_often_and_may_be_dead() -> None:
    found = good()
    found.client[0]["path"] = "/acme/gone"
    found.subscriber[2:] = [webhook("/acme/gone", "500"), webhook("/acme/good-endpoint", "hang")]
    found.jobs[JOB]["deliveries"][2] = delivery("/acme/gone", "dead")
    assert checker.check(found) == []


SPOILT: dict[str, tuple[str, str, Spoil]] = {
    "a key without an answer": ("I1", "lost", lambda f: f.client[1].update(status=None, job=None)),
    "a job that is gone": ("I1", "lost", lambda f: f.jobs[JOB].update(public=None)),
    "a job whose files are gone": ("I1", "lost", lambda f: _shown(f).update(error={"code": "media_lost"})),
    "a job that is never final": ("I18", "stuck", lambda f: _shown(f).update(status="queued")),
    "a status that went backwards": ("I2", "", lambda f: f.client.append({**f.client[2]})),
    "a outcome that changed": ("I2", "", lambda f: _shown(f).update(error={"code": "1"})),
    "two ends": ("I2", "", lambda f: _history(f).append(step(1005, "x", "submitted", "failed"))),
    "a way out of the end": ("I2", "", lambda f: _history(f).append(step(1005, "x", "completed", "queued"))),
    "no history": ("I2", "", lambda f: _history(f).clear()),
    "a charge twice": (
        "I3",
        "paid_twice",
        _is_charged_twice,
    ),
    "a job on hold that was sent again": (
        "I3",
        "paid_twice",
        lambda f: _history(f).insert(3, step(1002.9, "resubmit_chosen", "unknown", "queued")),
    ),
    "a second charge too early": ("I4", "", lambda f: _is_sent_again(f, 2)),
    "a job that was sent again too often": ("I4", "paid_twice", _is_sent_again_and_again),
    "a charge that was not released": ("I5", "", lambda f: _history(f).pop(2)),
    "a charge before its release": ("I5", "", lambda f: f.sandbox[0].update(at=1001.5)),
    "a release by an old submission": (
        "I6",
        "",
        lambda f: _history(f).insert(2, step(1001.5, "claimed", "queued", "submitting", 2)),
    ),
    "one submission sent twice": ("I6", "paid_twice", lambda f: f.sandbox.append(paid(1003, charged=None))),
    "another task's result": ("I7", "", lambda f: f.final["tasks"][0].update(output=[])),
    "another job's task": ("I7", "", lambda f: f.jobs[JOB]["ops"]["job"].update(task_id="other")),
    "a paid result that was heard of": ("I8", "lost", _is_given_up),
    "a paid result of a canceled job": (
        "I8",
        "lost",
        _is_canceled,
    ),
    "a subscriber that was not told": ("I9", "untold", lambda f: f.subscriber.pop()),
    "a delivery that is not there": ("I9", "untold", lambda f: f.jobs[JOB]["deliveries"].pop()),
    "two ids": ("I9", "", lambda f: f.subscriber[0].update(id="evt_2")),
    "other bytes": ("I9", "", lambda f: f.subscriber[0].update(sha256="f")),
    "a webhook without a signature": ("I9", "", lambda f: f.subscriber[0].update(signed=False)),
    "a webhook of another end": (
        "I9",
        "",
        lambda f: f.subscriber.append(webhook("/acme/good", status="failed")),
    ),
    "a delivery that is still owed": (
        "I18",
        "stuck",
        lambda f: f.jobs[JOB]["deliveries"][0].update(state="pending"),
    ),
    "a forgery that was let in": ("I10", "", lambda f: f.nemesis[5].update(status=200)),
    "a forged task that was taken": (
        "I10",
        "",
        lambda f: f.jobs[JOB]["ops"]["job"].update(task_id="d758n65e878c73cmdg20"),
    ),
    "a key with two jobs": ("I11", "", lambda f: f.client.append({**f.client[1], "job": "job_2"})),
    "a key with another body": ("I11", "", lambda f: f.client.append({**f.client[1], "sha256": "c"})),
    "a job of no key": (
        "I11",
        "",
        lambda f: (f.final["listed"].append("job_2"), f.jobs.update(job_2=f.jobs[JOB])),
    ),
    "a 500 to a client": ("I12", "", lambda f: f.client.append({**f.client[1], "status": 500, "job": None})),
    "a 500 to a callback": ("I12", "", lambda f: f.sandbox[1].update(reply=500)),
    "a forged callback of the upstream that was taken": (
        "I12",
        "",
        lambda f: f.sandbox[1].update(forgery="bad mac"),
    ),
    "a process that died": (
        "I12",
        "",
        lambda f: f.nemesis.append({"kind": "died", "target": "w", "code": 1}),
    ),
    "a process that ended badly": ("I12", "", lambda f: f.nemesis[6].update(code=1)),
    "a process that did not end": (
        "I18",
        "stuck",
        lambda f: f.nemesis.append({"kind": "did_not_stop", "target": "w"}),
    ),
    "a spend that was denied": ("I13", "", lambda f: _shown(f).update(spend="none")),
    "a job that is charged twice": ("I20", "", lambda f: _costs(f, "0.5500")),
    "a job that is not charged": ("I20", "", lambda f: _costs(f, "0.0000")),
    "a job that is charged a digit too much": ("I20", "", lambda f: _costs(f, "0.275001")),
    "a job whose suspense is too little": ("I20", "", lambda f: _costs(f, "0.0000", "0.2700")),
    "a job that is charged and in suspense": ("I20", "", lambda f: _costs(f, "0.2751", "0.2750")),
    "money that is still reserved": ("I20", "", lambda f: _total(f).update({"*|reserved": "1"})),
    "a balance that drifted": ("I20", "", lambda f: _total(f).update({"k1|charged": "274999"})),
    "an entry that is lost": ("I20", "", lambda f: f.final["money"]["ledger"].pop()),
    "a job in suspense of no list": ("I20", "", lambda f: f.final["money"]["suspended"].append(JOB)),
    "a secret in a log": ("I15", "", lambda f: f.final.update(leaks=["gateway1.log"])),
    "a slot that was kept": ("I16", "", lambda f: f.final["state"]["roles"]["submit"].update(slots=1)),
    "a count that is wrong": ("I16", "", lambda f: f.final["state"]["counts"].update({"job:completed": 2})),
    "an account that stays paused": ("I16", "", lambda f: f.final["state"]["account"].update(paused=True)),
    "a rollback that was none": (
        "I17",
        "rolled_back",
        lambda f: _history(f).insert(3, step(1003, "rollback_seen")),
    ),
    "operators told of a rollback": (
        "I17",
        "",
        lambda f: f.final["events"]["data"].append({"kind": "rollback_seen"}),
    ),
    "a failover of which nobody was told": ("I19", "", lambda f: f.nemesis.extend(failover(told=False))),
    "an alarm where nothing can be gone": ("I19", "", lambda f: f.nemesis.extend(failover(alarm=GONE))),
    "no alarm where writes may be gone": ("I19", "", _is_assumed),
    "a failover that was none": ("vacuous", "", lambda f: f.nemesis.extend(failover(after=1))),
    "a store that stayed broken": ("vacuous", "", lambda f: f.nemesis.extend(failover(whole=False))),
    "a fault that did not happen": ("vacuous", "", lambda f: f.nemesis.pop(1)),
    "no crash point reached": ("vacuous", "", lambda f: f.nemesis.pop(4)),
    "a full run without an unknown": ("vacuous", "", lambda f: f.nemesis[0].update(scale=1.0)),
}


def _failed_over(found: Evidence, at: float) -> None:
    """A failover of which operators were told, while a look at this time showed that the job was completed;
    then it was not."""
    found.nemesis.extend(failover())
    found.nemesis[0].update(faults=4)
    before = {**found.client[3], "at": at}
    found.client[2:] = [before, {**found.client[2], "at": at + 4}, {**found.client[3], "at": at + 8}]


def test_a_look_may_show_what_no_replica_had_before_a_failover() -> None:
    found = good()
    _failed_over(found, 1003.0)
    assert checker.check(found) == []


def test_what_was_seen_long_before_a_failover_is_not_taken_back() -> None:
    found = good()
    _failed_over(found, 990.0)
    assert [violation.invariant for violation in checker.check(found)] == ["I2"]


def test_a_slot_that_moved_as_a_whole_is_no_failover() -> None:
    found = good()
    found.nemesis.extend(failover(event="move_slot", told=False))
    found.nemesis[0].update(faults=4)
    assert checker.check(found) == []


@pytest.mark.parametrize("name", SPOILT)
def test_what_is_broken_once_is_found(name: str) -> None:
    invariant, word, spoil = SPOILT[name]
    found = good()
    spoil(found)
    violations = checker.check(found)
    assert (invariant, word) in {(violation.invariant, violation.word) for violation in violations}
    assert all(str(violation) for violation in violations)


def test_a_paid_job_that_nobody_ordered_is_found() -> None:
    found = good()
    stray = "job_01M8AE98GMSV7XBBT2CNTJ7WYA"
    found.sandbox.append(paid(1003, callback_token=token(job=stray)))
    assert "I3" in {violation.invariant for violation in checker.check(found)}


def test_the_names_of_the_handmade_run_belong_together() -> None:
    found = good()
    assert found.promised == {JOB: KEY}
    assert [task["id"] for task in found.tasks[JOB]] == [TASK]
