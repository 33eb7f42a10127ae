"""The accounts of the upstream, for metrics and operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.dispatch import RoleLimits
from gateway.store.accounts import slots_left, slots_taken
from gateway.store.base import AccountState

#: Fields of an account's record, in the order in which `account_gauges` takes them.
ACCOUNT_FIELDS: Final = ["parked_at", "slots", "cut_at", "hold_until", "parked_by", "reason"]


@dataclass(frozen=True, slots=True)
class AccountGauges:
    """State of one upstream account. `slots`: tasks that it may hold now, of `limit`; `in_flight`: tasks that
    it holds; `held`: nothing is sent until the time that a 429 named, `hold_seconds` from now; `paused`,
    `paused_seconds`: whether and for how long it has been paused. `by`: the operator who paused it, None if
    the upstream refused it; `reason`: theirs."""

    name: str
    paused: bool
    held: bool
    slots: int
    limit: int
    in_flight: int
    paused_seconds: float = 0.0
    hold_seconds: float = 0.0
    by: str | None = None
    reason: str | None = None

    def state(self, *, stopped: bool) -> AccountState:
        """`stopped`: whether the service is paused."""
        return AccountState.of(
            paused=self.paused, stopped=stopped, held=self.held, slowed=self.slots < self.limit
        )


def account_gauges(
    submit: RoleLimits, now: float, found: Sequence[Any], held: int, taken: Mapping[str, str]
) -> tuple[AccountGauges, ...]:
    """`now`: Redis' clock, ms. `found`: for each account the values of ACCOUNT_FIELDS. `held`: slots of the
    role; `taken`: those of each account but `main`."""
    return tuple(
        AccountGauges(
            limits.name,
            paused=paused_at is not None,
            held=float(hold or 0) > now,
            slots=slots_left(
                limits.slots, submit.probe_ms, int(slots) if slots else None, now - float(cut or now)
            ),
            limit=limits.slots,
            in_flight=slots_taken(limits.name, held, taken),
            paused_seconds=0.0 if paused_at is None else max(0.0, now - float(paused_at)) / 1000,
            hold_seconds=max(0.0, float(hold or 0) - now) / 1000,
            by=by if paused_at is not None else None,
            reason=reason if paused_at is not None else None,
        )
        for limits, (paused_at, slots, cut, hold, by, reason) in zip(submit.all_accounts, found, strict=True)
    )
