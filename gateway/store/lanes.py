"""The lanes of the three roles, as the sweep sees them."""

from __future__ import annotations

from typing import Final

from gateway.dispatch import PREFIX, Role, Ticket
from gateway.store import keys, orders
from gateway.store.lua import Scripts

_ANY: Final = f"{PREFIX}lanes"
_PASS: Final = 100


class Lanes:
    def __init__(self, scripts: Scripts, roles: orders.Roles) -> None:
        self._scripts = scripts
        self._roles = roles

    async def dispatch(self) -> int:
        """Hand out what may run now, in every role; how many pieces of work that were."""
        limits = orders.dump(orders.limits_of(self._roles, *Role))
        handed: int = await self._scripts.run("dispatch", [_ANY], [limits])
        return handed

    async def expired(self, role: Role) -> list[Ticket]:
        """Tickets whose lease ran out, at most 100 of them."""
        flat = await self._scripts.run("expired", [_ANY], [role, _PASS])
        return [
            Ticket.parse(role, text, int(ring or 0)) for text, ring in zip(flat[::2], flat[1::2], strict=True)
        ]

    async def ring(self, ticket: Ticket) -> bool:
        """Hand it to arq again under a new ring; False when somebody did already."""
        lease = self._roles[ticket.role].lease_ms
        args: list[str | int] = [ticket.role, str(ticket), ticket.ring, lease]
        return bool(await self._scripts.run("ring", [_ANY], args))

    async def lead(self, seconds: float) -> bool:
        """True for one caller in this many seconds."""
        return bool(await self._scripts.run("lead", [keys.SWEEP], [int(seconds * 1000)]))

    async def note_sweep(self) -> None:
        """Keep when the last pass came to its end, in milliseconds of the server's clock."""
        await self._scripts.run("swept", [keys.SWEPT], [])
