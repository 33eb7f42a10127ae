"""The lookup of names, so that those of one subscriber that hang hold up nobody else's.

The event loop's own lookup will not do: uvloop's runs in libuv's four threads, two at once in a process.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

_LOOKUP_SECONDS: Final = 3.0
_PATIENCE_SECONDS: Final = 5.0
_THREADS: Final = 64
_OF_ONE_DOMAIN: Final = 4
# Under these a country gives out names, as in co.uk. Any short label would do for who has a short domain.
_SHARED_IN_COUNTRIES: Final = frozenset(("co", "com", "net", "org", "edu", "gov", "ac", "ne", "or", "go"))

Found = tuple[socket.AddressFamily, int, str]  # family, protocol, address


class NameService:
    """The system's lookup of names, each in a thread of its own.

    A lookup cannot be ended: one that hangs keeps its thread until the system gives it up, whoever still
    waits. Hence the bounds: `threads` in all, `of_one_domain` for the names of one domain, one for a name.
    `patience_seconds`: how long a lookup waits for its turn before it fails like one that nobody answers.
    """

    def __init__(
        self,
        threads: int = _THREADS,
        of_one_domain: int = _OF_ONE_DOMAIN,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._threads = asyncio.Semaphore(threads)
        self._of_one_domain = of_one_domain
        self._patience = patience_seconds
        # Each is kept by the lookups that hold it or wait for it.
        self._domains: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._under_way: dict[tuple[str, int], asyncio.Task[list[Found]]] = {}

    async def __call__(self, name: str, port: int) -> list[str]:
        """The addresses of the name, within seconds; OSError when there are none or nobody can tell now."""
        async with asyncio.timeout(_LOOKUP_SECONDS):
            return [address for _, _, address in await self.find(name)]

    async def find(self, name: str, family: int = socket.AF_UNSPEC) -> list[Found]:
        """OSError: it has no address, or nobody can tell now. Who gives up ends it for nobody else."""
        key = (name.lower(), family)
        lookup = self._under_way.get(key)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(name, family), name=f"lookup {name}")
            self._under_way[key] = lookup
            lookup.add_done_callback(partial(self._forget, key))
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """Ends the waiting for lookups, not the lookups."""
        lookups = list(self._under_way.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _look_up(self, name: str, family: int) -> list[Found]:
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(self._patience):
                    await turn.enter_async_context(self._turn_of(domain_of(name)))
                    await turn.enter_async_context(self._threads)
            except TimeoutError:
                raise socket.gaierror(socket.EAI_AGAIN, "too many lookups are under way") from None
            return await _in_a_thread(f"lookup {name}", partial(_ask, name, family))

    def _turn_of(self, domain: str) -> asyncio.Semaphore:
        turn = self._domains.get(domain)
        if turn is None:
            turn = self._domains[domain] = asyncio.Semaphore(self._of_one_domain)
        return turn

    def _forget(self, key: tuple[str, int], lookup: asyncio.Task[list[Found]]) -> None:
        del self._under_way[key]
        if not lookup.cancelled():
            lookup.exception()  # told to those who still wait; there may be nobody


def domain_of(name: str) -> str:
    """The part of a name that belongs to one owner, as far as its form tells: `hooks.example` of
    `a.b.hooks.example`, `hooks.co.uk` of `a.hooks.co.uk`."""
    labels = name.rstrip(".").lower().split(".")
    shared = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SHARED_IN_COUNTRIES
    return ".".join(labels[-3 if shared else -2 :])


def _ask(name: str, family: int) -> list[Found]:
    # AI_ADDRCONFIG: what this machine could not dial anyway is neither judged nor dialled.
    flags = socket.AddressInfo.AI_ADDRCONFIG
    try:
        found = socket.getaddrinfo(name, None, family=family, type=socket.SOCK_STREAM, flags=flags)
    except UnicodeError as error:  # Python's own codec of host names, before the lookup
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from None
    return [(kind, proto, str(address[0])) for kind, _, proto, _, address in found]


async def _in_a_thread(name: str, work: Callable[[], list[Found]]) -> list[Found]:
    """No executor: Python waits for the threads of one before a process can end, and these may hang."""
    done: Future[list[Found]] = Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 - told to who waits
            done.set_exception(error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:  # the system has no thread left
        raise socket.gaierror(socket.EAI_AGAIN, str(error)) from None
    return await asyncio.wrap_future(done)
