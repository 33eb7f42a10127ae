"""What the checker judges by: the ledgers of a run and the answers at its end, with the few joins it needs.

No code of the gateway is imported here or by any check: the rules are written down a second time.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.promises.faults.ledgers import Fact, read

FINAL = ("completed", "failed", "canceled")


@dataclass(frozen=True)
class Violation:
    """`invariant`: I1 to I20. `word`: lost, paid_twice, untold, rolled_back or stuck, or empty."""

    invariant: str
    text: str
    evidence: list[Any] = field(default_factory=list)
    word: str = ""

    def __str__(self) -> str:
        lines = [json.dumps(fact, default=str)[:600] for fact in self.evidence[:8]]
        return "\n    ".join([f"{self.invariant} {self.text}", *lines])


@dataclass
class Evidence:
    """`final`: {jobs: {id: {public, deliveries, ops}}, listed, tasks, state, events, leaks, ...}."""

    sandbox: list[Fact] = field(default_factory=list)
    client: list[Fact] = field(default_factory=list)
    subscriber: list[Fact] = field(default_factory=list)
    nemesis: list[Fact] = field(default_factory=list)
    final: dict[str, Any] = field(default_factory=dict)

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.final["jobs"]
        return found

    @cached_property
    def orders(self) -> dict[str, Fact]:
        """By key."""
        return {fact["key"]: fact for fact in self.client if fact["kind"] == "order"}

    @cached_property
    def posts(self) -> dict[str, list[Fact]]:
        """The client's requests, by key, oldest first."""
        return _grouped((fact["key"], fact) for fact in self.client if fact["kind"] == "post")

    @cached_property
    def promised(self) -> dict[str, str]:
        """{job: key} of every job that the client was answered with."""
        return {fact["job"]: key for key, facts in self.posts.items() for fact in facts if fact["job"]}

    def order_of(self, job: str) -> Fact:
        return self.orders[self.promised[job]]

    @cached_property
    def seen(self) -> dict[str, list[Fact]]:
        return _grouped((fact["job"], fact) for fact in self.client if fact["kind"] == "seen")

    @cached_property
    def paid_requests(self) -> dict[str, list[Fact]]:
        """Requests to the upstream that arrived whole, by job, oldest first, each with its `epoch`."""
        whole = [fact for fact in self.sandbox if fact["kind"] == "post" and fact["complete"]]
        whole = [fact for fact in whole if fact["callback_token"]]
        return _grouped(
            (job_of(f["callback_token"]), {**f, "epoch": epoch_of(f["callback_token"])}) for f in whole
        )

    def charged(self, job: str) -> list[Fact]:
        return [fact for fact in self.paid_requests.get(job, []) if fact["charged"] is not None]

    @cached_property
    def tasks(self) -> dict[str, list[Fact]]:
        """The sandbox's tasks by job, oldest first."""
        return _grouped(
            (job_of(task["callback_url"].rsplit("/", 1)[-1]), task) for task in self.final["tasks"]
        )

    @cached_property
    def webhooks(self) -> dict[str, list[Fact]]:
        """By job, as the subscriber saw them; `told` is the event."""
        facts = [{**fact, "told": json.loads(fact["event"])} for fact in self.subscriber]
        return _grouped((fact["told"]["data"]["id"], fact) for fact in facts)

    def history(self, job: str) -> list[Fact]:
        """The job's own history, oldest first, `at` in seconds. Empty when the gateway showed none."""
        ops = self.jobs.get(job, {}).get("ops") or {"audit": []}
        return [{**fact, "at": moment(fact["at"])} for fact in ops["audit"]]


def load(folder: Path) -> Evidence:
    """The evidence that a run left in a folder."""
    return Evidence(
        sandbox=read(folder / "sandbox" / "ledger.jsonl"),
        client=read(folder / "client.jsonl"),
        subscriber=read(folder / "subscriber.jsonl"),
        nemesis=read(folder / "nemesis.jsonl"),
        final=json.loads((folder / "final.json").read_text()),
    )


def job_of(token: str) -> str:
    """From `{kid}.{tenant}.{job}.{epoch}.{mac}`; empty for anything else."""
    parts = token.split(".")
    return parts[2] if len(parts) == 5 else ""


def epoch_of(token: str) -> int:
    return int(token.split(".")[3])


def moment(text: str) -> float:
    """Seconds since the epoch, from RFC 3339."""
    return datetime.fromisoformat(text).timestamp()


def _grouped(pairs: Any) -> dict[str, list[Fact]]:
    found: defaultdict[str, list[Fact]] = defaultdict(list)
    for name, fact in pairs:
        found[name].append(fact)
    return dict(found)
