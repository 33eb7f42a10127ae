"""Rules: a job is taken in, dispatched, claimed, released and answered, by workers that may be zombies."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from gateway.dispatch import Role, Ticket
from gateway.errors import IdempotencyMismatch, LimitReached
from gateway.jobs import Job
from gateway.lifecycle import JobState, OnUnknown
from gateway.store.base import Admission, AdmissionLimits
from tests.promises.properties import dump
from tests.promises.properties.ground import NUMBER, TWICE, Ground
from tests.promises.properties.hands import Hands, answer_of, held, pick
from tests.promises.properties.model import Epoch, ModelJob
from tests.promises.properties.money import PRICE
from tests.promises.properties.stage import LEASE, now

#: What a job takes at least, beside what its client sent.
RECORD_BYTES = 4096


class Submitting(Ground):
    # -- intake

    @initialize(
        policies=st.lists(
            st.sampled_from([None, "resubmit", "resubmit", "resubmit", "manual"]), min_size=2, max_size=3
        )
    )
    def begin(self, policies: list[str | None]) -> None:
        for place, policy in enumerate(policies):
            tenant = ("acme", "acme", "zeta")[place]
            chosen = OnUnknown(policy) if policy else None
            self.accept(tenant, None, "body", (3600, 7200), chosen, True, False, False, False)
            self.look = dump.read(self.server)

    @rule(
        tenant=st.sampled_from(["acme", "zeta"]),
        key=st.sampled_from([None, None, "k1", "k2"]),
        body=st.sampled_from(["body", "body", "other"]),
        limits=st.sampled_from([(3600, 7200), (60, 7200), (3600, 600), (600, 300)]),
        policy=st.sampled_from(
            [None, OnUnknown.HOLD, OnUnknown.RESUBMIT, OnUnknown.RESUBMIT, OnUnknown.MANUAL]
        ),
        url=st.booleans(),
        full=st.sampled_from([False, False, False, True]),
        heavy=st.sampled_from([False] * 5 + [True]),
        twice=TWICE,
    )
    def accept(
        self,
        tenant: str,
        key: str | None,
        body: str,
        limits: tuple[int, int],
        policy: OnUnknown | None,
        url: bool,
        full: bool,
        heavy: bool,
        twice: bool,
    ) -> None:
        job = Job(
            self.stage.environment.new_job_id(),
            tenant,
            JobState.QUEUED,
            "viduq2_pro_reference",
            {"prompt": "a fox", "images": ["https://cdn.example.com/a.png"]},
            self.ms,
            callback_url="https://client.example.com/hook" if url else None,
            start_by=self.ms + limits[0] * 1000,
            end_by=self.ms + limits[1] * 1000,
            on_unknown=policy,
            idempotency=key,
            key="k1",
            estimate=PRICE,
            priced="2026-12-01",
        )
        waiting = len(self.look.role(Role.SUBMIT).lanes.get(tenant, []))
        room = waiting if full else waiting + 1
        taken = int(self.look.hash(f"tenant:{tenant}:usage").get("bytes", 0))
        most = taken + (RECORD_BYTES if heavy else 1000 * RECORD_BYTES)
        earlier = self.model.keys.get((tenant, key)) if key else None

        def call() -> Awaitable[Admission]:
            return self.stage.jobs.accept(job, None, body, AdmissionLimits(queue_max=room, bytes_max=most))

        if earlier is not None and earlier[1] != body:
            with contextlib.suppress(IdempotencyMismatch):
                self.again(call, False)
                raise AssertionError("another body under the same key was taken")
            self.seen["mismatch"] += 1
            return
        if earlier is None and (full or heavy):
            with contextlib.suppress(LimitReached):
                self.again(call, False)
                raise AssertionError("more was taken than there is room for")
            self.seen["full" if full else "heavy"] += 1
            return
        accepted = self.again(call, twice)
        if earlier is not None:
            assert accepted == Admission(earlier[0], replayed=True)
            self.seen["replayed key"] += 1
            return
        assert (accepted.job_id, accepted.replayed) == (job.id, False)
        self.model.jobs[job.id] = ModelJob(
            job.id, tenant, self.ms, start_by=job.start_by, end_by=job.end_by, policy=policy, callback_url=url
        )
        self.tenants[job.id] = tenant
        if key:
            self.model.keys[tenant, key] = (job.id, body)

    # -- submission

    @precondition(lambda self: any(self.look.role(role).due or self.look.role(role).waiting for role in Role))
    @rule()
    def dispatch(self) -> None:
        now(self.stage.lanes.dispatch())

    @precondition(lambda self: self.jobs("queued"))
    @rule(number=NUMBER, again=TWICE)
    def claim(self, number: int, again: bool) -> None:
        tickets = held(self.look, Role.SUBMIT)
        wanted = [
            t for t in tickets if t.name in self.model.jobs and self.model.jobs[t.name].state == "queued"
        ]
        if not (wanted or tickets):
            return
        ticket = pick(wanted or tickets, number)
        self.runs += 1
        self._claim(ticket, f"run {self.runs}", again)

    @precondition(lambda self: self.stale or self.hands)
    @rule(number=NUMBER, same=st.booleans())
    def claim_once_more(self, number: int, same: bool) -> None:
        """By a run that comes too late, or by the same one whose answer was lost."""
        if same and self.hands:
            hands = pick(self.hands, number)
            self._claim(hands.ticket, hands.run, False, keep=False)
        elif self.stale:
            self.runs += 1
            self._claim(pick(self.stale, number), f"run {self.runs}", False)

    def _claim(self, ticket: Ticket, run: str, again: bool, *, keep: bool = True) -> None:
        job = self.model.jobs.get(ticket.name)
        newest = self.look.role(Role.SUBMIT).holders.get(str(ticket)) == str(ticket.dispatch_number)
        got = self.again(lambda: self.stage.jobs.claim(ticket, run), again)
        if not newest or job is None:
            assert got is None, "a stale ticket claimed a job"
        elif job.run == run:
            assert got is not None
            assert got.epoch == job.epoch
        elif job.state != "queued":
            assert got is None
        else:
            last = job.epochs.get(job.epoch)
            job.claim(run, self.ms)
            assert got is not None
            assert got.epoch == job.epoch
            self._choose(job, got.account, last)
            if keep:
                self.hands.append(Hands(ticket, got, run))
                self.stale.append(ticket)

    def _choose(self, job: ModelJob, account: str, last: Epoch | None) -> None:
        """Whatever a job may have been paid by is all that may send it; and else any account."""
        job.this.account = account
        if last is not None and last.account not in ("", account):
            self.seen["failover"] += 1
        payers = {epoch.account for epoch in job.epochs.values() if epoch.may_be_paid}
        assert payers <= {account}, f"{account} is to send what {payers} may have been paid for"
        if payers:
            self.seen[f"bound to {account}"] += 1

    @precondition(lambda self: self.hands)
    @rule(number=NUMBER, twice=TWICE)
    def release(self, number: int, twice: bool) -> None:
        self._release(pick(self.hands, number), twice)

    def _release(self, hands: Hands, twice: bool) -> None:
        job = self.model.jobs.get(hands.job.id)
        allowed = self.again(lambda: self.stage.jobs.release(hands.job), twice)
        if hands.released is None:  # asked a second time it is the same question
            assert allowed == (job is not None and job.release(hands.job.epoch, hands.run, self.ms))
            hands.released = allowed
            if allowed and job is not None and job.released_at is not None:
                self.model.unanswered.setdefault((job.name, hands.job.epoch), job.released_at)
        if allowed and job is not None:
            self.sent[job.name, hands.job.epoch] = hands.job.account
            assert job.paid_at_most <= 1 + job.resubmits, "it may be paid for more often than its owner chose"

    @precondition(lambda self: any(hands.released for hands in self.hands))
    @rule(
        number=NUMBER,
        kind=st.sampled_from(
            ["accepted", "accepted", "busy", "busy, later", "refused", "rejected", "unknown", "unknown"]
        ),
        foreign=st.sampled_from([False] * 5 + [True]),
        twice=TWICE,
    )
    def answer(self, number: int, kind: str, foreign: bool, twice: bool) -> None:
        hands = pick([hands for hands in self.hands if hands.released], number)
        self._answer(hands, kind, foreign, twice)

    def _answer(self, hands: Hands, kind: str, foreign: bool, twice: bool) -> None:
        task = self.new_task()
        others = sorted(self.model.tasks)
        if foreign and others:
            task = pick(others, len(self.hands))
        outcome = answer_of(kind, task)
        got = self.again(
            lambda: self.stage.submitter.recorder.record(hands.job, outcome, hands.ticket), twice
        )
        self.hands.remove(hands)
        self.seen[f"answer {kind}"] += 1
        job, epoch = self.model.jobs.get(hands.job.id), hands.job.epoch
        before = job.tasks if job else []
        if job is None:
            assert got.outcome == "missing"
            return
        match kind:
            case "accepted":
                expected = job.accepted(self.ms)
                if expected in ("moved", "repeated", "late"):
                    self.model.bind(job, task, self.ms, answered_to=epoch)
                    self.own(job, [known for known in before if known != task], hands.job.account)
            case "rejected":
                expected = job.reject(epoch, hands.run, self.ms)
            case "unknown":
                expected = job.lose_answer(epoch, hands.run, self.ms)
            case _:
                expected = job.busy(epoch, hands.run, self.ms)
        assert got.outcome == expected
        if kind == "refused" and job.state == "queued" and got.outcome == "moved":
            self._stands_back(job, hands)

    def _stands_back(self, job: ModelJob, hands: Hands) -> None:
        """Behind whom the account was refused, longer each time: another job is the next probe."""
        seconds = 1.5 * self.stage.settings.account_retry_seconds * 2 ** min(job.refusals, 5)
        if not job.refusals:  # the first time it goes to the other account, soon
            seconds = self.stage.submitter.recorder._busy_seconds(hands.job)
        due = dump.read(self.server).role(Role.SUBMIT).due
        assert due[str(hands.ticket)] == self.ms + int(seconds * 1000)
        job.refusals += 1

    @precondition(lambda self: self.hands)
    @rule(number=NUMBER, kind=st.sampled_from(["let go", "unreachable", "refused early"]), twice=TWICE)
    def not_sent(self, number: int, kind: str, twice: bool) -> None:
        """The last byte never went out: the worker was fenced or stopped, or there was no connection, or the
        gate answered too late to be believed."""
        hands = pick([hands for hands in self.hands if not hands.released] or self.hands, number)
        self.hands.remove(hands)
        submitter, job = self.stage.submitter, self.model.jobs.get(hands.job.id)
        if kind == "let go" or hands.released is not None:
            self.again(lambda: submitter.recorder.give_up(hands.job, "stopped", at_once=False), twice)
            if job is not None:
                became = job.let_go(hands.job.epoch, hands.run, self.ms)
                self.seen[f"let go {became}"] += 1
            return
        outcome = answer_of("unreachable" if kind == "unreachable" else "refused", "")
        got = self.again(lambda: submitter.recorder.record(hands.job, outcome, hands.ticket), twice)
        if job is None:
            assert got.outcome == "missing"
            return
        assert got.outcome == job.busy(hands.job.epoch, hands.run, self.ms)
        if kind == "refused early" and got.outcome == "moved" and job.state == "queued":
            self._stands_back(job, hands)

    @precondition(lambda self: self.hands)
    @rule(number=NUMBER)
    def renew(self, number: int) -> None:
        ticket = pick(self.hands, number).ticket
        newest = self.look.role(Role.SUBMIT).holders.get(str(ticket)) == str(ticket.dispatch_number)
        assert now(self.stage.jobs.renew(ticket)) == newest
        job = self.model.jobs.get(ticket.name)
        if newest and job is not None and job.kept_until is not None:
            job.kept_until = max(job.kept_until, self.ms + int(LEASE * 1000))

    @precondition(lambda self: self.jobs("queued"))
    @rule(number=NUMBER, kind=st.sampled_from(["silence", "accepted", "unknown", "unknown", "busy"]))
    def send(self, number: int, kind: str) -> None:
        """A whole submission in one step: what is worth seeing comes after many of them."""
        self.claim(number, False)
        self.look = dump.read(self.server)
        if not self.hands:
            return
        hands = self.hands[-1]
        if hands.released is None:
            self._release(hands, False)
        if hands.released and kind != "silence":
            self._answer(hands, kind, False, False)
