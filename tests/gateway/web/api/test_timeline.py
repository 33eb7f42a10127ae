"""A job's timeline, from its history."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from gateway.endpoints import Delivery
from gateway.events import EventType
from gateway.jobs import Job
from gateway.lifecycle import DeliveryState, JobEvent, JobState
from gateway.web.api.timeline import TEXTS, timeline_of

AT = 1_795_334_400_000
JOB = Job("job_1", "acme", JobState.COMPLETED, "m", {}, AT, polls=3)
SCRIPTS = Path(__file__).parents[4] / "gateway" / "store" / "scripts"


def history() -> list[dict[str, str]]:
    return [
        {"at": f"{AT}", "event": "accepted", "to": "queued"},
        {"at": f"{AT + 5}", "event": "claimed", "from": "queued", "to": "submitting", "epoch": "1"},
        {
            "at": f"{AT + 9}",
            "event": "upstream_accepted",
            "epoch": "1",
            "by": "0a0b0c",
            "why": "found by hand",
        },
        {"at": f"{AT + 9}", "event": "task_named", "task": "t-1", "epoch": "1", "by": "answer"},
        {"at": f"{AT + 90}", "event": "callback", "effect": "moved", "epoch": "1", "hint": "completed"},
    ]


def delivery(*attempts: int) -> Delivery:
    log = [
        {
            "number": n,
            "at": "2026-11-22T08:00:00.100Z",
            "outcome": "http_5xx",
            "status": status,
            "excerpt": "secret",
        }
        for n, status in enumerate(attempts, 1)
    ]
    return Delivery(
        *("dlv_1", DeliveryState.PENDING, "evt_1", EventType.COMPLETED, "acme", "job_1", "ep_1", AT + 95),
        endpoint_id="ep_1",
        attempts=len(log),
        log=log,
    )


def test_everything_is_there_in_the_order_of_time() -> None:
    shown = timeline_of(JOB, history(), [delivery(500, 204)], operator=True)
    entries = [dict(entry) for entry in shown["data"]]
    assert [entry["kind"] for entry in entries] == [
        *("accepted", "claimed", "upstream_accepted", "task_named", "callback", "owed", "attempt", "attempt")
    ]
    times = [str(entry["at"]) for entry in entries]
    assert times == sorted(times)
    assert (shown["job"], shown["status"], shown["polls"]) == ("job_1", "completed", 3)
    assert entries[1]["phase_before"] == "queued"
    assert entries[-1]["status"] == 204
    assert "excerpt" not in entries[-1]


def test_operators_see_who_did_it_and_clients_only_that_an_operator_did() -> None:
    for operator, by, named in ((True, "0a0b0c", True), (False, "operator", False)):
        entries = timeline_of(JOB, history(), [], operator=operator)["data"]
        assert dict(entries[2])["by"] == by
        assert ("task" in entries[3]) is named


def test_a_kind_that_is_new_is_shown_as_it_is() -> None:
    [entry] = timeline_of(JOB, [{"at": f"{AT}", "event": "new_kind"}], [], operator=False)["data"]
    assert entry["text"] == "new_kind"


def test_a_job_of_which_nothing_was_delivered_has_a_timeline_all_the_same() -> None:
    [entry] = timeline_of(replace(JOB, polls=0), history()[:1], [], operator=False)["data"]
    assert entry["kind"] == "accepted"


def test_every_kind_has_words() -> None:
    noted = {
        kind
        for path in SCRIPTS.rglob("*.lua")
        for kind in re.findall(r"'event', '([a-z_]+)'", path.read_text())
    }
    assert noted >= {"released", "callback"}
    assert (noted | {event.value for event in JobEvent}) <= TEXTS.keys()
