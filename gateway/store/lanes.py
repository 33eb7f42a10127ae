"""The lanes of the three roles, as the sweep, the dispatcher and operators see them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.context import REQUEST
from gateway.dispatch import PREFIX, Role, Ticket
from gateway.store import arguments, keys
from gateway.store.script_runner import Scripts

_ANY: Final = f"{PREFIX}lanes"
_PASS: Final = 100


@dataclass(frozen=True, slots=True)
class Dispatched:
    """`number`: how much work was dispatched. `next_ms`: from now until time alone makes more to do; None:
    it does not."""

    number: int
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """How a subscriber's lane stands. `paused`: nothing is sent, until `paused_until` (ms; None: until it is
    resumed); `probing`: one attempt at a time, until one succeeds. `failing_since` (ms): the first failure
    after the last success. `failed` of `total` attempts of the last minutes; `waiting` in the lane,
    `in_flight` now."""

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
    """A subscriber to whom nothing is sent `until` then (ms; inf: until it is resumed). `tenant`: as far as
    it is known; `url`: of an endpoint."""

    lane: str
    until: float
    waiting: int
    tenant: str | None
    url: str | None


class Lanes:
    def __init__(self, scripts: Scripts, roles: arguments.Roles) -> None:
        self._scripts = scripts
        self._roles = roles
        self._all = arguments.dump(arguments.limits_of(roles, *Role))

    async def dispatch(self) -> int:
        """Dispatch what may run now, in every role; how many pieces of work that were."""
        return (await self.tick()).number

    async def tick(self) -> Dispatched:
        """The same, and when to do it again."""
        number, next_ms = await self._scripts.run("dispatch", [_ANY], [self._all])
        return Dispatched(number, next_ms if next_ms >= 0 else None)

    async def pause(self, role: Role, lane: str, in_ms: int | None) -> None:
        """Dispatch nothing of the lane for so long (None: until it is resumed). What waits there stays."""
        await self._scripts.run("park", [_ANY], [role, lane, "" if in_ms is None else in_ms])

    async def resume(self, role: Role, lane: str) -> None:
        """The lane goes on at once, as if it had never been paused and nothing had ever failed."""
        await self._scripts.run("resume", [_ANY], [role, lane, self._all])

    async def paused(self, limit: int) -> list[PausedLane]:
        """Of the deliver role, those first that are tried again first."""
        found = await self._scripts.run("list_parked", [_ANY], [limit])
        return [
            PausedLane(one["lane"], float(one["until"]), one["waiting"], one.get("tenant"), one.get("url"))
            for one in map(orjson.loads, found)
        ]

    async def pause_all(self, reason: str, by: str) -> bool:
        """Send nothing more to the upstream, in any lane; what is under way goes on. False when it was so."""
        return bool(await self._scripts.run("pause", [keys.PAUSED], [reason, by, REQUEST.get(), self._all]))

    async def resume_all(self, by: str) -> bool:
        """Send again. False when nothing was paused."""
        return bool(await self._scripts.run("pause", [keys.PAUSED], ["", by, REQUEST.get(), self._all]))

    async def health(self, lane: str) -> LaneHealth:
        """Of a lane of the deliver role: an endpoint's id, or a job's own callback URL's."""
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
        """Tickets whose lease ran out, at most 100 of them."""
        flat = await self._scripts.run("expired_leases", [_ANY], [role, _PASS])
        return [
            Ticket.parse(role, text, int(number or 0))
            for text, number in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def redispatch(self, ticket: Ticket) -> bool:
        """Put it before arq again, as a new dispatch; False when somebody did already."""
        lease = self._roles[ticket.role].lease_ms
        args: list[str | int] = [ticket.role, str(ticket), ticket.dispatch_number, lease]
        return bool(await self._scripts.run("redispatch", [_ANY], args))

    async def acquire_leadership(self, seconds: float) -> bool:
        """True for one caller in this many seconds."""
        return bool(await self._scripts.run("acquire_leadership", [keys.SWEEP], [int(seconds * 1000)]))

    async def note_sweep(self) -> None:
        """Keep when the last pass came to its end, in milliseconds of the server's clock."""
        await self._scripts.run("note_sweep", [keys.SWEPT], [])
