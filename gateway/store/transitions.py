"""A transition: an event that happened to a record, a guard that must hold, and effects.

It is one durable step. gateway/lifecycle.py defines which state the event leads to.
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
    """`fields`: must have these values (None: must be absent), or the outcome is fenced. `holder`: must be
    the newest dispatch of its ticket, or the outcome is stale."""

    fields: Mapping[str, int | str | None] = field(default_factory=dict)
    holder: Ticket | None = None

    @classmethod
    def held_by(cls, ticket: Ticket) -> Self:
        """The ticket was not dispatched again."""
        return cls(holder=ticket)

    @classmethod
    def same_submission(cls, job: Job) -> Self:
        """No newer submission of the job has begun."""
        return cls({"epoch": job.epoch or None})

    @classmethod
    def same_claim(cls, job: Job) -> Self:
        """The same submission and claim: a Redis that was rolled back may give an epoch twice."""
        return cls({"epoch": job.epoch or None, "run": job.run})

    @classmethod
    def same_state(cls, job: Job) -> Self:
        """The same submission, in the same state."""
        return cls({"epoch": job.epoch or None, "state": job.state})

    @classmethod
    def same_release(cls, job: Job) -> Self:
        """The same submission and state, and still released or still not released."""
        return cls.same_state(job) & cls({"released_at": job.released_at})

    def without(self, *names: str) -> Self:
        """This guard, and these fields must be absent."""
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
        kinds = {type(effect) for effect in self.effects}
        if len(kinds) < len(self.effects) or not kinds <= _KNOWN:
            raise ValueError(f"two effects of one kind, or an effect missing in ORDER: {kinds}")

    def find(self, kind: type[E]) -> E | None:
        """The effect of that kind, or None."""
        return next((effect for effect in self.effects if isinstance(effect, kind)), None)

    def also(self, *effects: Effect) -> Self:
        """The transition with more effects."""
        return replace(self, effects=[*self.effects, *effects])

    def guarded(self, guard: Guard) -> Self:
        """The transition with this guard instead of its own."""
        return replace(self, guard=guard)
