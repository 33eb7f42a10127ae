"""The effects of a transition: what changes together with the state, in the same step.

A function of the same name in scripts/lib applies each, in the order of `ORDER`. lib/effects.lua says when.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from gateway.dispatch import ACCOUNT, FailoverLimits, Role, Ticket
from gateway.events import Event
from gateway.jobs import confirm_ticket
from gateway.store.asset_effects import CopyAssets
from gateway.store.delivery_effects import JudgeLane, WriteLog
from gateway.store.effect_base import Effect, Subject, given, kind_of_video, owed, slot_of, texts
from gateway.store.money_effects import Charge, ReserveAgain
from gateway.telemetry.context import REQUEST


@dataclass(frozen=True, slots=True)
class Claim(Effect):
    """`run`: a unique id; a repeat changes nothing. Right after a failover of the store, nothing happens."""

    name: ClassVar = "claim"
    run: str
    failover: FailoverLimits = field(default_factory=FailoverLimits)

    def document(self, of: Subject) -> dict[str, Any]:
        return {"run": self.run, "failover": self.failover.document()}


@dataclass(frozen=True, slots=True)
class UseResubmission(Effect):
    """Uses one of the tenant's `most` resubmissions on `day` (UTC, such as 2026-11-22). If none is left,
    nothing of the transition is applied."""

    name: ClassVar = "use_resubmission"
    day: str
    most: int

    def document(self, of: Subject) -> dict[str, Any]:
        return {"tenant": of.known_job.tenant, "day": self.day, "most": self.most}


@dataclass(frozen=True, slots=True)
class SetFields(Effect):
    """Writes fields of the record. None: the field stays as it is."""

    name: ClassVar = "set_fields"
    fields: Mapping[str, object]

    def document(self, of: Subject) -> dict[str, str]:
        return texts(**self.fields)


@dataclass(frozen=True, slots=True)
class AddToFields(Effect):
    """Adds to integer fields of the record."""

    name: ClassVar = "add_to_fields"
    numbers: Mapping[str, int]

    def document(self, of: Subject) -> Mapping[str, int]:
        return self.numbers


@dataclass(frozen=True, slots=True)
class UnsetFields(Effect):
    """Removes fields of the record."""

    name: ClassVar = "unset_fields"
    fields: Sequence[str]

    def document(self, of: Subject) -> list[str]:
        return list(self.fields)


@dataclass(frozen=True, slots=True)
class RecordHistory(Effect):
    """Details for the event's entry in the job history. `why`: the reason; `by`: an operator's key."""

    name: ClassVar = "record_history"
    why: str | None = None
    by: str | None = None

    def document(self, of: Subject) -> dict[str, str]:
        return given(why=self.why, by=self.by)


@dataclass(frozen=True, slots=True)
class BindTask(Effect):
    """Binds the task to this job only, because the upstream's answer to our request named it. `by`: the
    operator who named it instead. `epoch`: of the task's submission, if not the job's newest."""

    name: ClassVar = "bind_task"
    task_id: str
    by: str | None = None
    epoch: int | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        job = of.known_job
        epoch = job.epoch if self.epoch is None else self.epoch
        return given(task=self.task_id, epoch=epoch, account=job.account, by=self.by)


@dataclass(frozen=True, slots=True)
class AddLateResult(Effect):
    """Stores the late result of a job that we gave up, and creates its event and deliveries, once."""

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
    """Frees the record's slot and makes it due again in `after_ms`. `refused_by`: the account that refused
    the job, if the job waits longer because of that."""

    name: ClassVar = "give_back_slot"
    after_ms: int
    refused_by: str | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | given(after_ms=self.after_ms, refused_by=self.refused_by)

    def roles(self, of: Subject) -> Collection[Role]:
        return (of.slot.role,)


@dataclass(frozen=True, slots=True)
class HoldSlot(Effect):
    """Holds the record's slot for `lease_ms` from now; None: until it is given back."""

    name: ClassVar = "hold_slot"
    lease_ms: int | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | given(lease_ms=self.lease_ms)


@dataclass(frozen=True, slots=True)
class EndHoldAfter(Effect):
    """Limits a slot that is held until it is given back: the sweep frees it after `after_ms`."""

    name: ClassVar = "end_hold_after"
    after_ms: int

    def document(self, of: Subject) -> dict[str, Any]:
        return slot_of(of.slot) | {"after_ms": self.after_ms}


@dataclass(frozen=True, slots=True)
class PollAfter(Effect):
    """Polls the job's tasks in `after_ms`. `deviations`: if the mean duration of its kind of video is known,
    poll this many mean deviations after it instead. `at_once_if_called_back`: poll at once if a callback has
    already reported a final status."""

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
    """Removes these tickets from lanes, slots and due times."""

    name: ClassVar = "finish"
    tickets: Sequence[Ticket]

    def document(self, of: Subject) -> list[dict[str, str]]:
        return [slot_of(ticket) for ticket in self.tickets]

    def roles(self, of: Subject) -> Collection[Role]:
        return {ticket.role for ticket in self.tickets}


@dataclass(frozen=True, slots=True)
class OweEvent(Effect):
    """Creates the event and a delivery to each endpoint that wants it and to the job's `callback_url`.
    `told`: what the callback URL gets, if not the event itself."""

    name: ClassVar = "owe_event"
    event: Event
    callback_url: str | None = None
    told: Event | None = None

    def document(self, of: Subject) -> dict[str, Any]:
        return owed(self.event, self.callback_url, self.told)

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.DELIVER,)


@dataclass(frozen=True, slots=True)
class ChooseTask(Effect):
    """Makes the task whose result the job has the first of its tasks."""

    name: ClassVar = "choose_task"
    task_id: str

    def document(self, of: Subject) -> dict[str, str]:
        return {"task": self.task_id}


@dataclass(frozen=True, slots=True)
class LearnDuration(Effect):
    """Adds how long the upstream took to the mean duration of this kind of video."""

    name: ClassVar = "learn_duration"
    ms: int

    def document(self, of: Subject) -> dict[str, Any]:
        return {"kind": kind_of_video(of.known_job), "ms": self.ms}


@dataclass(frozen=True, slots=True)
class JudgeAccount(Effect):
    """Applies the upstream's answer to the account of the submission: `accepted`, `busy` (429: fewer slots,
    and nothing is sent for `retry_after_ms`) or `refused` (401, 402, 403: the account is paused). `code`,
    `reason`: from the upstream, for operators."""

    name: ClassVar = "judge_account"
    kind: Literal["accepted", "busy", "refused"]
    retry_after_ms: int = 0
    status: int = 0
    code: str = ""
    reason: str = ""
    account: str = ACCOUNT

    def document(self, of: Subject) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "retry_after_ms": self.retry_after_ms,
            "status": self.status,
            "code": self.code,
            "reason": self.reason,
            "account": self.account,
        }

    def roles(self, of: Subject) -> Collection[Role]:
        return (Role.SUBMIT,)


@dataclass(frozen=True, slots=True)
class Tally(Effect):
    """Counts these names (`metric|label`) for the metrics."""

    name: ClassVar = "tally"
    names: Sequence[str]

    def document(self, of: Subject) -> list[str]:
        return list(self.names)


@dataclass(frozen=True, slots=True)
class AuditEntry(Effect):
    """An operator's act, which the script of the act itself writes to the audit. `by`: the id of a key, or
    "command line". As an effect: if the record moved or the event repeated."""

    name: ClassVar = "record_audit"
    act: str
    by: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def document(self, of: Subject | None = None) -> dict[str, Any]:
        """The `entry` of `write_audit` in scripts/lib/lanes.lua."""
        flat = [part for one in self.fields.items() for part in one]
        return {"act": self.act, "by": self.by, "request": REQUEST.get(), "fields": flat}


#: The order in which effects are applied.
ORDER: Final[Sequence[type[Effect]]] = (
    *(Claim, UseResubmission, ReserveAgain, SetFields, WriteLog, AddToFields, UnsetFields, RecordHistory),
    *(BindTask, AddLateResult, Charge, GiveBackSlot, HoldSlot, EndHoldAfter, PollAfter, Finish),
    *(CopyAssets, OweEvent, ChooseTask, LearnDuration, JudgeLane, JudgeAccount, Tally, AuditEntry),
)
