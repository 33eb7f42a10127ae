"""Looks up names, so that a tenant whose lookups hang does not hold up the others.

The event loop's own lookup is not good enough: uvloop uses libuv's four threads, two at a time per process.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import partial
from typing import Final, Self
from weakref import WeakValueDictionary

_LOOKUP_SECONDS: Final = 3.0
_MAX_WAIT_SECONDS: Final = 5.0
_THREADS: Final = 128
_THREADS_PER_TENANT: Final = 8
_THREADS_PER_DOMAIN: Final = 4
_KEPT_SECONDS: Final = 10.0
_MOST_KEPT: Final = 1000
# The tenant on whose behalf names are looked up; "" for the service itself.
_tenant: ContextVar[str] = ContextVar("lookup_tenant", default="")
# Second-level labels under which a country registers names, as in co.uk. A rule such as "any short label"
# would be wrong: the owner of a short domain could then get many threads.
_SHARED_IN_COUNTRIES: Final = frozenset(("co", "com", "net", "org", "edu", "gov", "ac", "ne", "or", "go"))

Found = tuple[socket.AddressFamily, int, str]  # family, protocol, address


@contextlib.contextmanager
def on_behalf_of(tenant: str) -> Iterator[None]:
    """Names that are looked up inside the block use the tenant's threads."""
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)


class TooManyLookups(socket.gaierror):
    """The tenant's threads are all busy with other lookups."""


class NameService:
    """The system's name lookup, each in its own thread. Addresses are remembered for `kept_seconds`. A
    process has one, so that the limits hold for all its lookups.

    A lookup cannot be stopped: if it hangs, it keeps its thread until the system ends it, even if nobody
    waits for it any more. So the threads are limited: `threads` in total, `threads_per_tenant` for one tenant
    (`on_behalf_of`), `threads_per_domain` for its names of one domain, and one for each of its names.
    `max_wait_seconds`: how long a lookup waits for a free thread before it fails as if no name server
    answered.
    """

    def __init__(
        self,
        threads: int = _THREADS,
        threads_per_domain: int = _THREADS_PER_DOMAIN,
        max_wait_seconds: float = _MAX_WAIT_SECONDS,
        *,
        threads_per_tenant: int = _THREADS_PER_TENANT,
        kept_seconds: float = _KEPT_SECONDS,
    ) -> None:
        self._threads = asyncio.Semaphore(threads)
        self._threads_per_tenant = threads_per_tenant
        self._threads_per_domain = threads_per_domain
        self._max_wait_seconds = max_wait_seconds
        self._kept_seconds = kept_seconds
        # A semaphore lives as long as a lookup holds it or waits for it. Keys: a tenant, a tenant's domain.
        self._limits: WeakValueDictionary[tuple[str, ...], asyncio.Semaphore] = WeakValueDictionary()
        # Of each tenant its own: a name that waits for one tenant's threads must not wait for all.
        self._running: dict[tuple[str, str, int], asyncio.Task[list[Found]]] = {}
        self._kept: dict[tuple[str, int], tuple[float, list[Found]]] = {}

    @classmethod
    def for_attempts(cls, total_seconds: float) -> Self:
        """One that suits attempts with this deadline: even if both requests of an attempt wait for a thread
        in vain, they end within it."""
        return cls(max_wait_seconds=total_seconds / 3)

    async def __call__(self, name: str, port: int) -> list[str]:
        """The addresses of the name, within 3 seconds. OSError if it has none or the lookup failed."""
        async with asyncio.timeout(_LOOKUP_SECONDS):
            return [address for _, _, address in await self.find(name)]

    async def find(self, name: str, family: int = socket.AF_UNSPEC) -> list[Found]:
        """The addresses of the name. OSError if it has none or the lookup failed. Callers of one tenant share
        a lookup of the same name; a caller that is cancelled does not stop it for the others."""
        until, kept = self._kept.get((name.lower(), family), (0.0, []))
        if asyncio.get_running_loop().time() < until:
            return kept
        tenant = _tenant.get()
        key = (tenant, name.lower(), family)
        lookup = self._running.get(key)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(tenant, name, family), name=f"lookup {name}")
            self._running[key] = lookup
            lookup.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """Stops waiting for lookups. Their threads run on."""
        lookups = list(self._running.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, tenant: str, name: str, family: int) -> list[Found]:
        of_domain = self._limit((tenant, domain_of(name)), self._threads_per_domain)
        of_tenant = self._limit((tenant,), self._threads_per_tenant)
        async with AsyncExitStack() as permits:
            try:
                async with asyncio.timeout(self._max_wait_seconds):
                    for threads in (of_domain, of_tenant, self._threads):
                        await permits.enter_async_context(threads)
            except TimeoutError:
                raise TooManyLookups(socket.EAI_AGAIN, "too many lookups are running") from None
            found = await _in_a_thread(f"lookup {name}", partial(_getaddrinfo, name, family))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        until = asyncio.get_running_loop().time() + self._kept_seconds
        self._kept[name.lower(), family] = until, found
        return found

    def _limit(self, key: tuple[str, ...], threads: int) -> asyncio.Semaphore:
        found = self._limits.get(key)
        if found is None:
            found = self._limits[key] = asyncio.Semaphore(threads)
        return found

    def _forget(self, key: tuple[str, str, int], lookup: asyncio.Task[list[Found]]) -> None:
        del self._running[key]
        if not lookup.cancelled():
            lookup.exception()  # mark it as retrieved: there may be no caller left that would


def domain_of(name: str) -> str:
    """The part of a name that belongs to one owner, judging by its form: `hooks.example` for
    `a.b.hooks.example`, `hooks.co.uk` for `a.hooks.co.uk`."""
    labels = name.rstrip(".").lower().split(".")
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED_IN_COUNTRIES
    return ".".join(labels[-3 if shared else -2 :])


def _getaddrinfo(name: str, family: int) -> list[Found]:
    # AI_ADDRCONFIG leaves out address families that this machine cannot dial.
    flags = socket.AddressInfo.AI_ADDRCONFIG
    try:
        found = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # raised by Python's own codec for host names, before the lookup
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from None
    return [(kind, proto, str(address[0])) for kind, _, proto, _, address in found]


async def _in_a_thread(name: str, work: Callable[[], list[Found]]) -> list[Found]:
    """Runs `work` in a daemon thread. An executor would not do: Python waits for its threads before the
    process ends, and these may hang."""
    done: Future[list[Found]] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again for the caller
            done.set_exception(error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # the system cannot start another thread
        raise socket.gaierror(socket.EAI_AGAIN, str(error)) from None
    return await asyncio.wrap_future(done)
