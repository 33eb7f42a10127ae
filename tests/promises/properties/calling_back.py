"""Rules: callbacks with genuine tokens, of any submission, with any body, at any time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.jobs import born_at
from gateway.store.base import Callback
from tests.promises.properties import callbacks
from tests.promises.properties.ground import NUMBER, TWICE
from tests.promises.properties.hands import pick
from tests.promises.properties.stage import ACCOUNTS, GAP
from tests.promises.properties.submitting import Submitting

#: The task that a callback names: of the job, a new one, another job's, or none.
NAMES = st.sampled_from(["own", "own", "new", "another's", "none", "none"])
KINDS = st.sampled_from(["working", "terminal", "terminal", "unreadable"])
NONCES = st.sampled_from([None, None, None, "n1", "n2"])


class CallingBack(Submitting):
    @precondition(lambda self: self.sent)
    @rule(
        number=NUMBER,
        name=NAMES,
        kind=KINDS,
        nonce=NONCES,
        distrusted=st.sampled_from([False] * 4 + [True]),
        twice=TWICE,
    )
    def call_back(
        self, number: int, name: str, kind: str, nonce: str | None, distrusted: bool, twice: bool
    ) -> None:
        job_id, epoch = pick(self.of_jobs_that_run() or sorted(self.sent), number)
        if distrusted:
            name, kind, nonce = "none", "unreadable", None
        self._call_back(job_id, epoch, name, kind, nonce, distrusted, twice)

    @precondition(lambda self: self.jobs("queued", "submitting", "unknown", "submitted"))
    @rule(number=NUMBER, name=NAMES, kind=KINDS, ahead=st.integers(0, 2))
    def call_back_after_a_rollback(self, number: int, name: str, kind: str, ahead: int) -> None:
        """Of a submission that our record knows nothing of: Redis lost what it had acknowledged."""
        job = pick(self.jobs("queued", "submitting", "unknown", "submitted"), number)
        if number % 3:
            return
        if ahead or (job.state == "submitting" and not job.this.released):
            account = ACCOUNTS[number % 2]
            self._call_back(job.name, job.epoch + ahead, name, kind, None, False, False, account)

    @rule(
        number=NUMBER, name=NAMES, kind=KINDS, distrusted=st.sampled_from([False] * 4 + [True]), twice=TWICE
    )
    def call_back_for_a_lost_job(
        self, number: int, name: str, kind: str, distrusted: bool, twice: bool
    ) -> None:
        if number % 2 == 0 and self.gone:
            self._call_back(pick(self.gone, number), 1, name, kind, None, distrusted, twice)
        elif number % 4 == 1:
            self._call_back(self.stage.environment.new_job_id(), 1, name, kind, None, distrusted, twice)

    def _call_back(
        self,
        job_id: str,
        epoch: int,
        name: str,
        kind: str,
        nonce: str | None,
        distrusted: bool,
        twice: bool,
        account: str | None = None,
    ) -> None:
        """`account`: in the token, where the submission is not one of those that were sent here."""
        job = self.model.jobs.get(job_id)
        account = account or self.sent.get((job_id, epoch)) or ACCOUNTS[epoch % 2]
        before_tasks = job.tasks if job else []
        callback = Callback(
            job_id,
            self.tenants.get(job_id, "acme"),
            epoch,
            "a label",
            task_id=None if kind == "unreadable" else self._named(job_id, name),
            terminal=kind == "terminal",
            working=kind == "working",
            distrusted=distrusted,
            raw=b"not json" if kind == "unreadable" else b"",
            nonce=nonce,
            account=account,
        )
        self.model.heard(self.ms, int(GAP * 1000))
        self.tenants.setdefault(job_id, "acme")
        expected = callbacks.happens(self.model, callback, born_at(job_id), self.ms)
        before = job.state if job else "none"
        got = self.again(lambda: self.stage.jobs.callback(callback), twice)
        assert got == expected, f"a callback for a job that was {before}"
        if (found := self.model.jobs.get(job_id)) is not None:
            self.own(found, before_tasks, account)

    def of_jobs_that_run(self) -> list[tuple[str, int]]:
        """Submissions whose callbacks may still change something; now and then, it is any."""
        if len(self.sent) % 3 == 0:
            return []
        running = {job.name for job in self.jobs() if not job.final or job.watched(self.ms)}
        return sorted(sent for sent in self.sent if sent[0] in running)

    def _named(self, job_id: str, name: str) -> str | None:
        job = self.model.jobs.get(job_id)
        if name == "own":
            return min(job.tasks) if job and job.tasks else self.new_task()
        if name == "another's":
            others = sorted(task for task, owner in self.model.tasks.items() if owner is not job)
            return others[0] if others else self.new_task()
        return self.new_task() if name == "new" else None
