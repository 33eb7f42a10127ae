"""What the documents say of jobs, in plain Python: no Redis, no slots, only what is promised.

Times are milliseconds. Each method is one thing that happens; it returns what the caller should be told.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WATCH_MS = 1_800_000
JOB_DEADLINE_MS = 900_000
OFF_PEAK_DEADLINE_MS = 1_800_000
GRACE_MS = 120_000
MOST_REPORTED = 8
FINAL = ("completed", "failed", "canceled")
RANK = {
    "queued": 0,
    "submitting": 0,
    "unknown": 0,
    "submitted": 1,
    "completed": 2,
    "failed": 2,
    "canceled": 2,
}


@dataclass
class Epoch:
    """One submission. `released`: its last byte was let go. `unpaid`: an answer, or its own worker, proved
    that there is no task; `proof`: a callback, that there is. `foreign`: not in our record."""

    released: bool = False
    unpaid: bool = False
    proof: bool = False
    foreign: bool = False
    account: str = ""

    @property
    def may_be_paid(self) -> bool:
        return not self.foreign and self.released and (self.proof or not self.unpaid)


@dataclass
class ModelJob:
    name: str
    tenant: str
    born: int
    state: str = "queued"
    epoch: int = 0
    epochs: dict[int, Epoch] = field(default_factory=dict)
    start_by: int | None = None
    end_by: int | None = None
    policy: str | None = None
    callback_url: bool = False
    evidence: bool = False
    main: str | None = None
    earlier: list[str] = field(default_factory=list)
    answered: dict[int, str] = field(default_factory=dict)  # by the submission that the answer was to
    lost_at: int = 0  # when a task was found to be another job's
    reported_at: int | None = None  # a callback named a task, and no answer has come since
    reported_for: int = 0  # the submission that it was for
    released_at: int | None = None
    idle: bool = False  # it waits for people, and fills none of the upstream's slots
    kept_until: int | None = None  # over, but its task may be at work: so long it fills a slot
    resubmits: int = 0
    lost: int = 0
    refusals: int = 0
    wished: bool = False
    watch_until: int | None = None
    late: bool = False
    since: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    run: str | None = None

    @property
    def final(self) -> bool:
        return self.state in FINAL

    @property
    def this(self) -> Epoch:
        return self.epochs.setdefault(self.epoch, Epoch())

    @property
    def tasks(self) -> list[str]:
        """The one that counts, then all others."""
        return ([self.main] if self.main else []) + self.earlier

    @property
    def unpaid(self) -> bool:
        return self.state == "queued" or (self.state == "submitting" and not self.this.released)

    @property
    def paid_at_most(self) -> int:
        return sum(epoch.may_be_paid for epoch in self.epochs.values())

    def watched(self, now: int) -> bool:
        return self.final and self.watch_until is not None and self.watch_until > now

    def go(self, state: str, now: int) -> None:
        """Into a state; a final one is published once."""
        assert not self.final, f"{self.state} is final"
        if state != self.state:
            self.state = state
            self.idle = False
            self.since[state] = now
            if state in FINAL:
                self.told.append(f"job.{state}")

    def fail(self, now: int, *, ours: bool = False) -> None:
        """Watched for a late result when the outcome is ours, or an earlier submission may be paid for."""
        self.go("failed", now)
        if ours or self.resubmits:
            self.watch_until = now + WATCH_MS

    # -- a submission

    def claim(self, run: str, now: int) -> None:
        self.epoch += 1
        self.this.released = False
        self.evidence, self.run, self.released_at = False, run, None
        self.go("submitting", now)

    def is_of(self, epoch: int, run: str) -> bool:
        """Whether the worker that says so has the newest submission in its hands."""
        return epoch == self.epoch and run == self.run

    def release(self, epoch: int, run: str, now: int) -> bool:
        if self.state != "submitting" or not self.is_of(epoch, run):
            return False
        if not self.this.released and self.start_by is not None and now >= self.start_by:
            return False
        if not self.this.released:
            self.this.released, self.released_at = True, now
        return True

    def busy(self, epoch: int, run: str, now: int) -> str:
        """Provably no task: back to the lane, unless a callback proved that there is one."""
        if not self.is_of(epoch, run):
            return "fenced"
        self.this.unpaid = True
        return self.lose_answer(epoch, run, now) if self.evidence else self._send_back(now)

    def let_go(self, epoch: int, run: str, now: int) -> str:
        """Its worker never let the last byte go."""
        if not self.is_of(epoch, run):
            return "fenced"
        self.this.unpaid = True
        return "fenced" if self.evidence else self._send_back(now)

    def _send_back(self, now: int) -> str:
        if self.state not in ("submitting", "unknown"):
            return "refused"
        self.released_at = None
        self.go("queued", now)
        return "moved"

    def reject(self, epoch: int, run: str, now: int) -> str:
        if epoch != self.epoch:
            return "fenced"
        self.this.unpaid = True
        if self.evidence:
            return self.lose_answer(epoch, run, now)
        if self.state not in ("submitting", "unknown"):
            if self.final:
                self.kept_until = None
            return "refused"
        self.fail(now)
        return "moved"

    def lose_answer(self, epoch: int, run: str, now: int) -> str:
        """The newest submission may have a task: it fills a slot until more is known."""
        if not self.is_of(epoch, run):
            return "fenced"
        if self.final:
            return "absorbed"
        if self.state == "queued":
            return "refused"
        self.idle = False
        if self.state == "submitting":
            self.go("unknown", now)
            return "moved"
        return "repeated"

    def accepted(self, now: int) -> str:
        """Of whichever submission: there is a task."""
        if self.final:
            return "late" if self.watched(now) else "absorbed"
        moved = self.state != "submitted"
        self.go("submitted", now)
        return "moved" if moved else "repeated"

    def lease_ran_out(self, poison_limit: int, now: int) -> None:
        self.kept_until = None
        if self.state != "submitting":
            return
        if self.this.released:
            self.go("unknown", now)
        elif self.lost + 1 >= poison_limit:
            self.fail(now)
        else:
            self.lost += 1
            self.go("queued", now)

    # -- its end

    def overdue(self, now: int) -> None:
        if self.start_by is None or self.end_by is None or self.final:
            return
        if self.unpaid and now >= min(self.start_by, self.end_by):
            self.fail(now)
        elif now >= self.end_by and self.state != "submitting":
            self._keep_slot(now)
            self.fail(now, ours=True)

    def _keep_slot(self, now: int) -> None:
        """We give it up; the upstream may be at work all the same, for as long as we would have waited."""
        patience = GRACE_MS if self.state == "unknown" else JOB_DEADLINE_MS
        until = (self.released_at or self.born) + patience
        self.kept_until = until if until > now and not self.idle else None

    def lose(self, task: str, now: int) -> None:
        """It is known no more to be this job's."""
        self.earlier = [other for other in self.earlier if other != task]
        if self.main == task:
            self.main = None
        self.evidence = True
        self.lost_at = now

    def put_first(self, task: str) -> None:
        """The task that counts, before all others."""
        if task != self.main:
            others = [other for other in self.tasks[bool(self.main) :] if other != task]
            self.earlier = others + ([self.main] if self.main and self.main not in others else [])
            self.main = task

    def resubmit(self, now: int) -> None:
        assert self.state == "unknown"
        assert not self.evidence
        self.resubmits += 1
        self.since.pop("unknown", None)
        self.go("queued", now)


@dataclass
class Model:
    """All jobs, and whose each task is."""

    retention_ms: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    tasks: dict[str, ModelJob | None] = field(default_factory=dict)  # None: two jobs' callbacks named it
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    nonces: set[str] = field(default_factory=set)
    budgets: dict[tuple[str, str], int] = field(default_factory=dict)
    unanswered: dict[tuple[str, int], int] = field(default_factory=dict)  # when each was released
    lost: dict[tuple[str, int], int] = field(default_factory=dict)  # when a callback showed it
    swept: int = 0
    heard_since: int | None = None
    heard_last: int | None = None

    def bind(
        self, job: ModelJob, task: str, now: int, *, answered_to: int | None = None, reported_for: int = 0
    ) -> bool:
        """A task is one job's. What a callback reported for a submission gives way to an answer to our own
        request, to the submission `answered_to`. A job takes so many reported tasks, and no more."""
        answered = answered_to is not None
        if not answered and len(job.earlier) >= MOST_REPORTED:
            return False
        owner = self.tasks.get(task, job)
        if owner is not job:
            if not answered or (owner and task in owner.answered.values()):
                return False
            if owner:
                owner.lose(task, now)
        self.tasks[task] = job
        if answered_to is not None:
            job.answered[answered_to] = task
            job.reported_at = None
            self.unanswered.pop((job.name, answered_to), None)
            self.lost.pop((job.name, answered_to), None)
        elif task not in job.tasks:
            job.reported_at, job.reported_for = now, reported_for
        if job.main is None or answered:
            job.put_first(task)
        elif task not in job.tasks:
            job.earlier.append(task)
        return True

    def trusts(self, job: ModelJob) -> bool:
        """Whether the only task of the job, which a callback named, can be no other job's: the tasks of all
        submissions that were released before are known. Then that of this one is known, too."""
        own = (job.name, job.reported_for)
        if job.reported_at is None or job.main is None or job.earlier or own not in self.unanswered:
            return False
        waiting = [*self.unanswered.items(), *self.lost.items()]
        if any(name != job.name and at <= job.reported_at for (name, _), at in waiting):
            return False
        job.reported_at = None
        del self.unanswered[own]
        self.lost.pop(own, None)
        return True

    def sweep(self, now: int) -> None:
        """Once a minute, submissions are forgotten whose tasks cannot call back any more."""
        if now // 60_000 != self.swept // 60_000:
            since = now - OFF_PEAK_DEADLINE_MS
            self.unanswered = {one: at for one, at in self.unanswered.items() if at > since}
            self.lost = {one: at for one, at in self.lost.items() if at > since}
        self.swept = now

    def contest(self, task: str, now: int) -> None:
        """Callbacks of two jobs named it. It is nobody's, unless its owner has it by an answer or is over."""
        owner = self.tasks.get(task)
        if owner is None or task in owner.answered.values() or (owner.final and not owner.watched(now)):
            return
        owner.lose(task, now)
        self.tasks[task] = None

    @property
    def kept(self) -> set[str]:
        """Tickets of the jobs that are over and fill a slot all the same, for a while."""
        return {f"{job.tenant}|{job.name}" for job in self.jobs.values() if job.kept_until is not None}

    def heard(self, now: int, gap_ms: int) -> None:
        if self.heard_last is None or now - self.heard_last > gap_ms:
            self.heard_since = now
        self.heard_last = now

    def forget(self, job: ModelJob) -> None:
        del self.jobs[job.name]
        self.tasks = {task: owner for task, owner in self.tasks.items() if owner is not job}
        self.keys = {key: used for key, used in self.keys.items() if used[0] != job.name}
        self.unanswered = {one: at for one, at in self.unanswered.items() if one[0] != job.name}
        self.lost = {one: at for one, at in self.lost.items() if one[0] != job.name}
