"""Limits attempts to sign in, for each client address and for all together.

A key has 192 random bits, so nobody guesses one: the limits bound what guessing costs.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from gateway.errors import LimitReached
from gateway.local.shared_memory import Shared
from gateway.web.http.rates import Rate

#: Attempts at once, and then per second.
PER_ADDRESS: Final = (10, 0.1)
OVERALL: Final = (100, 5.0)
_OURS_BITS: Final = 64  # of an IPv6 address; the rest is up to its owner


class LoginLimits:
    def __init__(self, monotonic: Callable[[], float], shared: Shared | None = None) -> None:
        shared = shared or Shared()
        addresses = shared.times_of_strangers
        self._of_address = Rate(PER_ADDRESS[1], PER_ADDRESS[0], monotonic, "logins", addresses)
        self._overall = Rate(OVERALL[1], OVERALL[0], monotonic, "all logins", shared.times)

    def count(self, client: str) -> None:
        """Counts an attempt of this client address. Raises LimitReached."""
        self._check_overall(counts=False)  # first, so that an address that is refused anyway takes no memory
        if wait := self._of_address.wait(network_of(client)):
            raise LimitReached(f"too many attempts from your address; try again in {wait} s", wait)
        self._check_overall(counts=True)

    def _check_overall(self, *, counts: bool) -> None:
        if wait := self._overall.wait("", counts=counts):
            raise LimitReached(f"too many attempts from everywhere; try again in {wait} s", wait)


def network_of(client: str) -> str:
    """The client's address; of an IPv6 address its network, which belongs to one owner."""
    try:
        address = ip_address(client)
    except ValueError:  # a proxy that names its client otherwise
        return client[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or int(address) >> (128 - _OURS_BITS))
