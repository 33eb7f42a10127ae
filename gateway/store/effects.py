"""The effects of a transition: what goes with a change of state, in the same step.

Each is applied by a function of the same name in scripts/lib, and always in the order of `ORDER`, whatever
their order in the transition; scripts/lib/effects.lua says when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal

from gateway.dispatch import ACCOUNT, Role, Ticket
from gateway.events import Event
from gateway.jobs import confirm_ticket
from gateway.store.effect_base import Effect, Subject, given, kind_of_video, owed, slot_of, texts


@dataclass(frozen=True, slots=True)
class Claim(Effect):
    """`run`: who claims the submission, unlike any other. Asked again by the same, the claim stands."""

    name: ClassVar = "claim"
    run: str

    def document(self, of: Subject) -> dict[str, str]:
        return {"run": self.run}


@dataclass(frozen=True, slots=True)
class SpendBudget(Effect):
    """One of at most `most` resubmissions of the tenant on `day` (UTC, as 2026-11-22), or nothing is done."""

    name: ClassVar = "spend_budget"
    day: str
    most: int

    def document(self, of: Subject) -> dict[str, Any]:
        return {"tenant": of.known_job.tenant, "day": self.day, "most": self.most}


@dataclass(frozen=True, slots=True)
class SetFields(Effect):
    """Fields of the record are written; what is None is left as it is."""

    name: ClassVar = "set_fields"
    fields: Mapping[str, object]

    def document(self, of: Subject) -> dict[str, str]:
        return texts(**self.fields)


@dataclass(frozen=True, slots=True)
class AddToFields(Effect):
    """Numbers of the record are counted up."""

    name: ClassVar = "add_to_fields"
    numbers: Mapping[str, int]

    def document(self, of: Subject) -> Mapping[str, int]:
        return self.numbers


@dataclass(frozen=True, slots=True)
class UnsetFields(Effect):
    """Fields of the record are removed."""

    name: ClassVar = "unset_fields"
    fields: Sequence[str]

    def document(self, of: Subject) -> list[str]:
        return list(self.fields)


@dataclass(frozen=True, slots=True)
class RecordHistory(Effect):
    """What the job's history says beside the event. `why`: in the upstream's words, or ours; `by`: an
    operator."""

    name: ClassVar = "record_history"
    why: str | None = None
    by: str | None = None

    def document(self, of: Subject) -> dict[str, str]:
        return given(why=self.why, by=self.by)


@dataclass(frozen=True, slots=True)
class BindTask(Effect):
    """The upstream named the task in its answer to our own request: it is this job's alone. `by`: an operator
    who names it instead."""

    name: ClassVar = "bind_task"
    task_id: str
    by: str | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        job = of.known_job
        return given(task=self.task_id, epoch=job.epoch, account=job.account, by=self.by)


@dataclass(frozen=True, slots=True)
class AddLateResult(Effect):
    """We gave the job up, and it has a result all the same: written beside its state and owed to subscribers,
    once."""

    name: ClassVar = "add_late_result"
    fields: Mapping[str, object]
    event: Event
    callback_url: str | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        event = owed(self.event, self.callback_url) | {"publish": True}
        return {"fields": texts(**self.fields), "event": event}

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.DELIVER,)


@dataclass(frozen=True, slots=True)
class GiveBackSlot(Effect):
    """The record's slot is given back, and it is due again in `after_ms`. `refused_by`: the account that
    refused it, if it waits for longer than others because of that."""

    name: ClassVar = "give_back_slot"
    after_ms: int
    refused_by: str | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | given(after_ms=self.after_ms, refused_by=self.refused_by)

    def roles(self, of: Subject) -> Collection[Role]:
        return (of.slot.role,)


@dataclass(frozen=True, slots=True)
class HoldSlot(Effect):
    """The record's slot is held for `lease_ms` from now on; None: until it is given back."""

    name: ClassVar = "hold_slot"
    lease_ms: int | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | given(lease_ms=self.lease_ms)


@dataclass(frozen=True, slots=True)
class EndHoldAfter(Effect):
    """A slot that is held until it is given back is given back then, at the latest."""

    name: ClassVar = "end_hold_after"
    after_ms: int

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | {"after_ms": self.after_ms}


@dataclass(frozen=True, slots=True)
class PollAfter(Effect):
    """The job's tasks are polled in `after_ms`. `deviations`: instead, so many mean deviations above the mean
    duration of its kind of video, if that is known; `at_once_if_called_back`: at once, if a callback told of
    the end already."""

    name: ClassVar = "poll_after"
    after_ms: int
    deviations: int | None = None
    at_once_if_called_back: bool = False

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(confirm_ticket(of.known_job)) | given(
            after_ms=self.after_ms,
            kind=None if self.deviations is None else kind_of_video(of.known_job),
            deviations=self.deviations,
            at_once_if_called_back=self.at_once_if_called_back or None,
        )

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.CONFIRM,)


@dataclass(frozen=True, slots=True)
class Finish(Effect):
    """Tickets that are done with: wherever they are, they are there no more."""

    name: ClassVar = "finish"
    tickets: Sequence[Ticket]

    def document(self, of: Subject) -> list[dict[str, str]]:
        return [slot_of(ticket) for ticket in self.tickets]

    def roles(self, of: Subject) -> Collection[Role]:
        return {ticket.role for ticket in self.tickets}


@dataclass(frozen=True, slots=True)
class OweEvent(Effect):
    """The event is made, and owed to each endpoint that wants it, and to the job's own `callback_url`."""

    name: ClassVar = "owe_event"
    event: Event
    callback_url: str | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return owed(self.event, self.callback_url)

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.DELIVER,)


@dataclass(frozen=True, slots=True)
class ChooseTask(Effect):
    """The task whose result the job has comes first among its tasks."""

    name: ClassVar = "choose_task"
    task_id: str

    def document(self, of: Subject) -> dict[str, str]:
        return {"task": self.task_id}


@dataclass(frozen=True, slots=True)
class LearnDuration(Effect):
    """How long the upstream took, for the mean duration of this kind of video."""

    name: ClassVar = "learn_duration"
    ms: int

    def document(self, of: Subject) -> dict[str, Any]:
        return {"kind": kind_of_video(of.known_job), "ms": self.ms}


@dataclass(frozen=True, slots=True)
class JudgeLane(Effect):
    """What the attempt says of its subscriber's health: `ok`, or not."""

    name: ClassVar = "judge_lane"
    lane: str
    endpoint_id: str | None
    tenant: str
    ok: bool

    def document(self, of: Subject) -> dict[str, Any]:
        return {"lane": self.lane, "endpoint": self.endpoint_id or "", "tenant": self.tenant, "ok": self.ok}

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.DELIVER,)


@dataclass(frozen=True, slots=True)
class JudgeAccount(Effect):
    """What the upstream's answer means for the account that it was sent with: `accepted`, `busy` (429: fewer
    slots, none before `retry_after_ms`) or `refused` (401, 402, 403: nothing is sent with it). `code`,
    `reason`: the upstream's own words, for operators."""

    name: ClassVar = "judge_account"
    kind: Literal["accepted", "busy", "refused"]
    retry_after_ms: int = 0
    status: int = 0
    code: str = ""
    reason: str = ""
    account: str = ACCOUNT

    def document(self, of: Subject) -> dict[str, Any]:
        return asdict(self)

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.SUBMIT,)


@dataclass(frozen=True, slots=True)
class Tally(Effect):
    """Counted for the metrics."""

    name: ClassVar = "tally"
    names: Sequence[str]

    def document(self, of: Subject) -> list[str]:
        return list(self.names)


#: As they are applied.
ORDER: Final[Sequence[type[Effect]]] = (
    *(Claim, SpendBudget),
    *(SetFields, AddToFields, UnsetFields, RecordHistory),
    *(BindTask, AddLateResult, GiveBackSlot, HoldSlot, EndHoldAfter, PollAfter, Finish),
    *(OweEvent, ChooseTask, LearnDuration, JudgeLane, JudgeAccount, Tally),
)
