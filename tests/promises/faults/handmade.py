"""A tiny run that was good, by hand: what each test of the checker spoils in one place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.promises.faults.evidence import Evidence
from tests.promises.faults.ledgers import Fact

JOB = "job_01M8AE98GMSV7XBBT2CNTJ7WY9"
KEY = "run-1-0"
TASK = "dc3mb2c39taharvlooug"
OUTPUT = [{"content": [{"type": "video", "url": "http://127.0.0.1/files/a.mp4", "jobId": "9"}]}]
FINISHED = "1970-01-01T00:16:44.000Z"


def token(epoch: int = 1, job: str = JOB) -> str:
    return f"k1.acme.{job}.{epoch}.aaaaaaaaaaaaaaaaaaaaaa"


def step(at: float, event: str, before: str = "", after: str = "", epoch: int = 1) -> Fact:
    """One entry of a job's history."""
    when = datetime.fromtimestamp(at, UTC).isoformat()
    return {"at": when, "event": event, "from": before, "to": after, "epoch": epoch}


def paid(at: float, epoch: int = 1, task: str = TASK, **facts: Any) -> Fact:
    """A request that the sandbox charged."""
    common = {"kind": "post", "at": at, "complete": True, "charged": "0.2750", "reply": 200, "task_id": task}
    return {**common, "callback_token": token(epoch), **facts}


def webhook(path: str, answer: str = "204", status: str = "completed", **facts: Any) -> Fact:
    event = f'{{"type": "job.{status}", "data": {{"id": "{JOB}", "status": "{status}"}}}}'
    common = {"kind": "webhook", "at": 1005.0, "path": path, "id": "evt_1", "event": event, "sha256": "e"}
    return {**common, "signed": True, "answer": answer, **facts}


def delivery(path: str, state: str = "delivered", kind: str = "job.completed") -> Fact:
    return {"state": state, "url": f"http://127.0.0.1{path}", "event": {"id": "evt_1", "type": kind}}


def failover(
    event: str = "kill_primary", *, after: int = 2, told: bool = True, alarm: str = "", whole: bool = True
) -> list[Fact]:
    """What a nemesis notes of one: at 1004 begun, at 1010 over."""
    facts: list[Fact] = [
        {"kind": "fault", "at": 1004.0, "fault": event, "target": "primary"},
        {"kind": "primary_changed", "at": 1006.0, "event": event, "before": 1, "after": after},
        {"kind": "told", "at": 1008.0, "alarms": [alarm] if alarm else []},
        {"kind": "store_whole", "at": 1010.0, "whole": whole},
    ]
    return [fact for fact in facts if told or fact["kind"] != "told"]


def books() -> dict[str, Any]:
    """Of a job that reserved and was charged 0.2750."""
    common = {"job": JOB, "tenant": "acme", "key": "k1", "amount": "275000", "period": "1970-01-01"}
    return {
        "ledger": [
            {**common, "kind": "reserve", "taken": "0"},
            {**common, "kind": "charge", "taken": "275000"},
        ],
        "balances": {
            f"{{gw}}:tenant:acme:balance:{period}": {"*|charged": "275000", "k1|charged": "275000"}
            for period in ("1970-01-01", "1970-01", "total")
        },
        "suspense": [],
        "suspended": [],
    }


def good() -> Evidence:
    """One job of the tenant acme under `hold`, completed; two endpoints and its callback_url got it."""
    shown = {
        "id": JOB,
        "status": "completed",
        "phase": "completed",
        "output": OUTPUT,
        "error": None,
        "finished_at": FINISHED,
        "spend": "certain",
        "late_result": None,
        "cost": {"reserved": "0.0000", "charged": "0.2750"},
    }
    history = [
        step(1000, "accepted", after="queued", epoch=0),
        step(1001, "claimed", "queued", "submitting"),
        step(1002, "released"),
        step(1003, "upstream_accepted", "submitting", "submitted"),
        step(1004, "upstream_succeeded", "submitted", "completed"),
    ]
    paths = ("/acme/good-endpoint", "/acme/moody-endpoint", "/acme/good")
    return Evidence(
        sandbox=[
            paid(1002.5),
            {"kind": "callback", "task_id": TASK, "reply": 200, "mutation": None, "forgery": None},
        ],
        client=[
            {"kind": "order", "key": KEY, "tenant": "acme", "policy": "hold", "path": "/acme/good"},
            {"kind": "post", "key": KEY, "status": 202, "job": JOB, "sha256": "b", "replayed": False},
            {
                "kind": "seen",
                "at": 1001.5,
                "job": JOB,
                **shown,
                "status": "in_progress",
                "output": None,
                "finished_at": None,
            },
            {"kind": "seen", "at": 1004.5, "job": JOB, **shown},
        ],
        subscriber=[webhook(path) for path in paths],
        nemesis=[
            {"kind": "plan", "scale": 0.1, "faults": 3, "power": True},
            {"kind": "fault", "fault": "kill_worker", "target": "workers1", "seconds": 1.0},
            {"kind": "fault", "fault": "kill_gateway", "target": "gateway1", "seconds": 1.0},
            {"kind": "fault", "fault": "partition", "target": "upstream", "seconds": 1.0},
            {"kind": "crashed", "target": "workers1", "point": "release.after"},
            {"kind": "forged", "job": JOB, "status": 404},
            {"kind": "stopped", "target": "workers1", "code": 0},
        ],
        final={
            "jobs": {
                JOB: {
                    "public": shown,
                    "deliveries": [delivery(path) for path in paths],
                    "ops": {"job": {"task_id": TASK}, "audit": history},
                }
            },
            "listed": [JOB],
            "tasks": [
                {
                    "id": TASK,
                    "status": "completed",
                    "output": OUTPUT,
                    "callback_url": f"http://127.0.0.1/callbacks/{token()}",
                }
            ],
            "state": {
                "counts": {
                    "job:queued": 0,
                    "job:completed": 1,
                    "delivery:pending": 0,
                    "delivery:delivered": 3,
                },
                "roles": {"submit": {"waiting": 0, "slots": 0}},
                "unknown": 0,
                "deadlines": 0,
                "account": {"paused": False},
            },
            "events": {"data": [{"kind": "account_parked"}]},
            "leaks": [],
            "money": books(),
        },
    )
