"""A transition: an event that happened to a record, a guard that must hold, and the effects that go with it.

It is one durable step. gateway/lifecycle.py says which state the event leads to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self, TypeVar

from gateway.dispatch import Ticket
from gateway.jobs import Job
from gateway.lifecycle import DeliveryEvent, JobEvent
from gateway.store.effect_base import Effect
from gateway.store.effects import ORDER

_KNOWN: Final = frozenset(ORDER)
E = TypeVar("E", bound=Effect)


@dataclass(frozen=True, slots=True)
class Guard:
    """`fields`: must have these values (None: must be absent), or the transition is fenced. `holder`: only
    the newest dispatch of this ticket may do it."""

    fields: Mapping[str, int | str | None] = field(default_factory=dict)
    holder: Ticket | None = None

    @classmethod
    def held_by(cls, ticket: Ticket) -> Self:
        """The ticket was not dispatched anew."""
        return cls(holder=ticket)

    @classmethod
    def same_submission(cls, job: Job) -> Self:
        """No newer submission of the job was begun."""
        return cls({"epoch": job.epoch or None})

    @classmethod
    def same_claim(cls, job: Job) -> Self:
        """The same, and by the same claim: a Redis that was rolled back may give an epoch twice."""
        return cls({"epoch": job.epoch or None, "run": job.run})

    @classmethod
    def same_state(cls, job: Job) -> Self:
        """The newest submission is the same, and in the same state."""
        return cls({"epoch": job.epoch or None, "state": job.state})

    @classmethod
    def same_release(cls, job: Job) -> Self:
        """The same, and its last byte was let go, or held back, as it was."""
        return cls.same_state(job) & cls({"released_at": job.released_at})

    def without(self, *names: str) -> Self:
        """And these fields are absent."""
        return replace(self, fields={**self.fields, **dict.fromkeys(names)})

    def __and__(self, other: Guard) -> Self:
        holder = self.holder or other.holder
        return replace(self, fields={**self.fields, **other.fields}, holder=holder)


@dataclass(frozen=True, slots=True)
class Transition:
    """`effects`: at most one of each kind, in any order."""

    event: JobEvent | DeliveryEvent
    guard: Guard = field(default_factory=Guard)
    effects: Sequence[Effect] = ()

    def __post_init__(self) -> None:
        kinds = [type(effect) for effect in self.effects]
        if len(set(kinds)) < len(kinds) or not _KNOWN.issuperset(kinds):
            raise ValueError(f"two effects of a kind, or one that nobody knows: {kinds}")

    def find(self, kind: type[E]) -> E | None:
        """Its effect of that kind, if it has one."""
        return next((effect for effect in self.effects if isinstance(effect, kind)), None)

    def also(self, *effects: Effect) -> Self:
        """The same, with more effects."""
        return replace(self, effects=[*self.effects, *effects])

    def guarded(self, guard: Guard) -> Self:
        """The same, under this guard."""
        return replace(self, guard=guard)
