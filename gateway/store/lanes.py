"""Operations on the lanes of all roles, for the sweep, the dispatcher and operators."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from gateway.dispatch import PREFIX, FailoverLimits, Role, Ticket
from gateway.store import arguments, keys
from gateway.store.effects import AuditEntry
from gateway.store.exchange import Word
from gateway.store.script_runner import Scripts
from gateway.telemetry.context import REQUEST

_ANY: Final = f"{PREFIX}lanes"
_PASS: Final = 100


@dataclass(frozen=True, slots=True)
class Dispatched:
    """`number`: tickets that were dispatched. `next_ms`: ms until more becomes due by time; None: nothing
    will."""

    number: int
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """The circuit breaker of a subscriber's lane. `paused`: nothing is sent until `paused_until` (ms; None:
    until it is resumed). `probing`: half-open, one attempt at a time until one succeeds. `failing_since`
    (ms): the first failure after the last success. `failed` of `total`: attempts in the window. `waiting`:
    deliveries in the lane; `in_flight`: slots that it holds."""

    paused: bool = False
    paused_until: int | None = None
    probing: bool = False
    failing_since: int | None = None
    failed: int = 0
    total: int = 0
    waiting: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class PausedLane:
    """A subscriber's lane that is paused `until` then (ms; inf: until it is resumed). `tenant`: None if not
    known; `url`: None if the lane is not an endpoint's. `by`, `reason`: of the operator who paused it; None
    if its circuit breaker did."""

    lane: str
    until: float
    waiting: int
    tenant: str | None
    url: str | None
    by: str | None = None
    reason: str | None = None


class Lanes:
    def __init__(self, scripts: Scripts, roles: arguments.Roles) -> None:
        self._scripts = scripts
        self._roles = roles
        self._failovers: int | None = None
        self._failover = roles[Role.SUBMIT].failover if Role.SUBMIT in roles else FailoverLimits()
        self._all = arguments.dump(arguments.limits_of(roles, *roles))

    async def dispatch(self) -> int:
        """Dispatches the work that may run now, in every role. Returns the number of tickets."""
        return (await self.tick()).number

    async def tick(self) -> Dispatched:
        """The same; also returns when to do it again."""
        number, next_ms = await self._scripts.run("dispatch", [_ANY], [self._all])
        return Dispatched(number, next_ms if next_ms >= 0 else None)

    async def pause(
        self,
        role: Role,
        lane: str,
        in_ms: int | None,
        *,
        reason: str = "",
        asked: str = "",
        audit: AuditEntry | None = None,
    ) -> bool:
        """Pauses the lane for `in_ms` (None: until it is resumed). Waiting work stays in it. `audit`: if an
        operator pauses it; `asked`: a unique id of that request, so that it can be repeated. False if it was
        so before."""
        pause = b"" if audit is None else _pause(reason, asked, audit)
        args: list[Word] = [role, lane, "" if in_ms is None else in_ms, pause]
        return bool(await self._scripts.run("pause_lane", [_ANY], args))

    async def resume(self, role: Role, *lanes: str, audit: AuditEntry | None = None) -> int:
        """Resumes the lanes at once, and resets their circuit breakers. `audit`: if an operator resumes them.
        Returns how many were paused or failing."""
        args: list[Word] = [role, arguments.dump(lanes), self._all, arguments.dump_audit(audit)]
        return int(await self._scripts.run("resume_lanes", [_ANY], args))

    async def paused(self, limit: int) -> list[PausedLane]:
        """Paused lanes of the deliver role, those whose pause ends first come first."""
        found = await self._scripts.run("list_paused_lanes", [_ANY], [limit])
        return [_paused(orjson.loads(one)) for one in found]

    async def pause_all(self, reason: str, by: str) -> bool:
        """Pauses the service: nothing more is sent to the upstream. Work in progress goes on. False if it was
        paused already."""
        return bool(await self._scripts.run("pause", [keys.PAUSED], [reason, by, REQUEST.get(), self._all]))

    async def resume_all(self, by: str) -> bool:
        """Resumes the service. False if it was not paused."""
        return bool(await self._scripts.run("pause", [keys.PAUSED], ["", by, REQUEST.get(), self._all]))

    async def health(self, lane: str) -> LaneHealth:
        """The health of a lane of the deliver role. `lane`: an endpoint's id, or the lane of a callback
        URL."""
        limits = arguments.dump(arguments.health_limits(self._roles[Role.DELIVER].health))
        found = orjson.loads(await self._scripts.run("lane_state", [_ANY], [lane, limits]))
        until, since = found.get("parked_until"), found.get("failing_since")
        return LaneHealth(
            paused=until is not None,
            paused_until=int(float(until)) if until and math.isfinite(float(until)) else None,
            probing=found["probing"],
            failing_since=int(since) if since else None,
            failed=found["failed"],
            total=found["attempts"],
            waiting=found["waiting"],
            in_flight=found["in_flight"],
        )

    async def expired(self, role: Role) -> list[Ticket]:
        """Tickets whose lease ran out, at most 100."""
        flat = await self._scripts.run("expired_leases", [_ANY], [role, _PASS])
        return [
            Ticket.parse(role, text, int(number or 0))
            for text, number in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def redispatch(self, ticket: Ticket) -> bool:
        """Dispatches the ticket again. False if that has happened already."""
        lease = self._roles[ticket.role].lease_ms
        args: list[str | int] = [ticket.role, str(ticket), ticket.dispatch_number, lease]
        return bool(await self._scripts.run("redispatch", [_ANY], args))

    async def note_sweep(self, unanswered_seconds: float = 7200.0) -> None:
        """Stores when the last sweep ended, in ms of Redis' clock. `unanswered_seconds`: how long a task may
        still call back whose submission was never answered. Logs a failover of the store."""
        args: list[Word] = [int(unanswered_seconds * 1000), arguments.dump(self._failover.document())]
        failovers = int(await self._scripts.run("note_sweep", [keys.SWEPT], args))
        if self._failovers is not None and failovers > self._failovers:
            lost = (
                "nothing acknowledged" if self._failover.acknowledged else "acknowledged writes may be gone"
            )
            structlog.get_logger().error(
                "store_failed_over", lost=lost, hold_seconds=self._failover.hold_ms / 1000
            )
        self._failovers = failovers


def _pause(reason: str, asked: str, audit: AuditEntry) -> bytes:
    return arguments.dump({"reason": reason, "asked": asked, "audit": audit.document()})


def _paused(one: Mapping[str, Any]) -> PausedLane:
    pause = one.get("pause", {})
    return PausedLane(
        lane=one["lane"],
        until=float(one["until"]),
        waiting=one["waiting"],
        tenant=one.get("tenant"),
        url=one.get("url"),
        by=pause.get("by"),
        reason=pause.get("reason"),
    )
