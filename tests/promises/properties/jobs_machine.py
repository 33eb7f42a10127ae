"""Rules: time passes, the sweep comes round, tasks are polled, and operators decide. All rules together."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway import cancellation
from gateway.dispatch import Role, Ticket
from gateway.endpoints import EVENTS_LANES
from gateway.errors import CannotCancel, Conflict
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent
from gateway.resolution import Action
from tests.promises.properties import dump
from tests.promises.properties.calling_back import CallingBack
from tests.promises.properties.ground import LOOKS, NUMBER, TWICE
from tests.promises.properties.hands import held, pick, shown
from tests.promises.properties.model import ModelJob
from tests.promises.properties.money import PRICE
from tests.promises.properties.polls import Looker
from tests.promises.properties.stage import GAP, POISON_LIMIT, RETENTION, now
from workers.step_events import StepEventCreator


class JobsMachine(CallingBack):
    # -- time and the sweep

    @rule(seconds=st.sampled_from([0.25, 2.0, 16.0, 61.0, 600.0, 2000.0]), proven=st.booleans())
    def wait(self, seconds: float, proven: bool) -> None:
        """`proven`: probes come in all the while."""
        left = seconds
        while proven and left > 0:
            step = min(left, 60.0)
            self.stage.clock.advance(step)
            left -= step
            now(self.stage.jobs.note_callback_path())
            self.model.heard(self.ms, int(GAP * 1000))
        self.stage.clock.advance(left)

    @rule()
    def grow_old(self) -> None:
        self.stage.clock.advance(RETENTION)

    @rule()
    def sweep(self) -> None:
        self.stage.clock.advance(1.0)
        expired = [t for t, until in self.look.role(Role.SUBMIT).slots.items() if until <= self.ms]
        self.stale += [ticket for ticket in held(self.look, Role.SUBMIT) if str(ticket) in expired]
        now(self.stage.sweeper.sweep())
        self.model.sweep(self.ms)
        for text in expired:
            job = self.model.jobs.get(text.partition("|")[2])
            if job is not None:
                job.lease_ran_out(POISON_LIMIT, self.ms)
        for name, at in self.look.zset("deadlines").items():
            if at <= self.ms // 1000 * 1000:
                self.model.jobs[name].overdue(self.ms)
        after = dump.read(self.server)
        for role in Role:
            late = [t for t, until in after.role(role).slots.items() if until <= self.ms]
            assert not late, f"{role}: the sweep left what nobody holds: {late}"

    # -- polls, ends, operators

    @precondition(lambda self: self.look.role(Role.CONFIRM).holders)
    @rule(number=NUMBER, main=LOOKS, others=LOOKS, twice=TWICE)
    def confirm(self, number: int, main: str, others: str, twice: bool) -> None:
        tickets = held(self.look, Role.CONFIRM)
        if tickets:
            self._confirm(pick(tickets, number), main, others, twice)

    @precondition(lambda self: self.jobs("unknown", "submitted"))
    @rule(look=st.sampled_from(["later", "later", "working", "completed"]))
    def look_when_grace_is_over(self, look: str) -> None:
        """At every job that is due by then."""
        self.wait(150.0, True)
        now(self.stage.lanes.dispatch())
        for ticket in held(dump.read(self.server), Role.CONFIRM):
            self._confirm(ticket, look, look, False)

    def _confirm(self, ticket: Ticket, main: str, others: str, twice: bool) -> None:
        job = self.model.jobs.get(ticket.name)
        newest = job.tasks[0] if job and job.tasks else None

        def show(task: str) -> str:
            return main if task == newest else others

        for upstream in self.stage.upstreams.values():
            upstream.show = lambda task: shown(task, show(task))
            upstream.queried.clear()
        self.again(lambda: self.stage.confirmer._confirm(ticket), twice)
        for account, upstream in self.stage.upstreams.items():
            for task in upstream.queried:
                owner = self.owners.get((ticket.name, task))
                assert owner == account, f"{owner}'s {task} was polled with the key of {account}"
                self.seen[f"polled with {account}"] += 1
        if job is not None:
            Looker(self.model, show, self.ms).look(job)
        self.seen[f"polled {job.state if job else 'nothing'}"] += 1

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBER, can=st.booleans(), twice=TWICE)
    def cancel(self, number: int, can: bool, twice: bool) -> None:
        job = pick(self.jobs(), number)
        found, stage = self.fresh(job), self.stage

        def call() -> Awaitable[Job]:
            return cancellation.cancel(
                found, stage.jobs, stage.settlement, stage.environment, upstream_can=can
            )

        if job.state == "canceled":
            assert self.again(call, twice).state == "canceled"
        elif job.final:
            with contextlib.suppress(Conflict):
                now(call())
                raise AssertionError("what is over was canceled")
        elif job.unpaid:
            assert self.again(call, twice).state == "canceled"
            job.go("canceled", self.ms)
        elif not can:
            with contextlib.suppress(CannotCancel):
                now(call())
                raise AssertionError("a cancel that nobody can carry out was taken")
        else:
            assert self.again(call, twice).cancel_wished_at is not None
            job.wished = True

    @precondition(lambda self: self.jobs("unknown"))
    @rule(number=NUMBER, action=st.sampled_from(list(Action)), twice=TWICE)
    def resolve(self, number: int, action: Action, twice: bool) -> None:
        job = pick(self.jobs("unknown"), number)
        found = self.fresh(job)
        task = self.new_task() if action is Action.BIND else None
        refused = action is Action.RESUBMIT and job.evidence
        try:
            self.again(lambda: self.stage.resolver.resolve(found, action, task, "key_1"), twice)
        except Conflict:
            assert refused
            return
        assert not refused
        if task is not None:
            before = job.tasks
            job.accepted(self.ms)
            self.model.bind(job, task, self.ms, answered_to=job.epoch)
            self.own(job, before, found.account)
        elif action is Action.RESUBMIT:
            job.resubmit(self.ms)
        else:
            job.fail(self.ms, ours=True)

    @precondition(lambda self: self.look.role(Role.DELIVER).holders)
    @rule()
    def deliver(self) -> None:
        for ticket in held(dump.read(self.server), Role.DELIVER):
            if ticket.lane.startswith(EVENTS_LANES):
                now(StepEventCreator(self.stage.jobs, self.stage.deliveries).create(ticket))
                continue
            begun = now(self.stage.deliveries.begin(ticket))
            assert begun is not None
            call = self.stage.deliveries.finish(
                ticket, begun[0], DeliveryEvent.ATTEMPT_SUCCEEDED, retry_in_ms=None, tally=[]
            )
            assert now(call).outcome == "moved"

    def decide(self, job: ModelJob) -> None:
        """An operator says what a job in suspense cost; a second decision is refused."""
        found = self.fresh(job)
        now(self.stage.charges.decide(found, PRICE, "as on the invoice", "op1"))
        with contextlib.suppress(Conflict):
            now(self.stage.charges.decide(found, PRICE, "as on the invoice", "op1"))
            raise AssertionError("it was decided twice")
        self.seen["decided"] += 1

    @precondition(lambda self: self.model.jobs)
    @rule(number=NUMBER, twice=TWICE)
    def forget(self, number: int, twice: bool) -> None:
        job = pick(self.jobs("completed", "failed", "canceled") or self.jobs(), number)
        old = job.final and job.since[job.state] + RETENTION * 1000 <= self.ms
        owed = [d for d in self.look.records("delivery").values() if d["job_id"] == job.name]
        pending = any(found["state"] == "pending" for found in owed)
        in_doubt = job.name in self.look.zset("suspense")
        if in_doubt and twice:
            self.decide(job)
            in_doubt = False
        gone = self.again(lambda: self.stage.retention.forget(job.name), twice)
        assert gone == (old and not job.watched(self.ms) and not pending and not in_doubt)
        if gone:
            self.seen["forgotten"] += 1
            self.model.forget(job)
            self.gone.append(job.name)
            after = dump.read(self.server).keys.items()
            left = [k for k, value in after if not k.endswith(":arq") and job.name in f"{k} {value}"]
            assert not left, f"what is left of a forgotten job: {left}"
