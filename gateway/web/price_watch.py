"""Keeps the prices of this process current: those of the price file, or those in the store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import structlog

from gateway.background import cancel_all
from gateway.environment import Environment
from gateway.errors import ConfigurationError, InvalidRequest, StoreUnavailable
from gateway.money import price_document
from gateway.money.prices import CurrentPrices, PriceBook, changes_between
from gateway.store.prices import FROM_FILE, RedisPrices
from gateway.telemetry.logs import Outage

#: How often newer prices are looked for.
LOOK_SECONDS: Final = 2.0


class PriceWatch:
    """`async with PriceWatch(...) as watch:` looks for newer prices every `LOOK_SECONDS`, and reports which
    ones this process has. What cannot be read changes nothing: the last good prices stay. `path`: the price
    file; None: prices are in the store. ConfigurationError if the file cannot be read at first."""

    def __init__(
        self,
        store: RedisPrices,
        current: CurrentPrices,
        environment: Environment,
        path: Path | None,
        currency: str,
    ) -> None:
        self.path = path
        self._fault: str | None = None
        self._crash: str | None = None
        self._store, self._current, self._currency = store, current, currency
        self._now_ms: Callable[[], int] = environment.now_ms
        self._process = f"{socket.gethostname()}:{os.getpid()}:{environment.entropy(4).hex()}"
        self._unreadable = Outage("prices_unreadable", "prices_readable")
        self._raw = b""
        self._version: int | None = None
        self._unsaid = ""
        self._since = 0
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self.path is not None:
            self._raw = await asyncio.to_thread(price_document.raw_file, self.path)
            self._use(price_document.parse_file(self._raw, self.path, self._currency))
            self._unsaid = f"{len(self._current.book.prices)} prices in {self.path}"
        else:
            self._current.book = PriceBook(currency=self._currency)
            self._since = self._now_ms()
        with contextlib.suppress(StoreUnavailable):
            await self.look()
        self._task = asyncio.create_task(self._run(), name="prices")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_all(self._task)
        with contextlib.suppress(StoreUnavailable):
            await self._store.leave(self._process)

    @property
    def fault(self) -> str | None:
        """Why newer prices could not be read."""
        return self._fault or self._crash

    async def known(self) -> None:
        """Returns when the prices are known, also if the process began without the store. Raises
        StoreUnavailable."""
        if self._version is None:
            await self.look()

    async def look(self) -> None:
        """Uses newer prices, if there are any, and reports those in use. Raises StoreUnavailable."""
        async with self._looking:
            if self.path is not None:
                await self._look_at_file(self.path)
            known = FROM_FILE if self.path is not None else self._version or 0
            said, before = self._unsaid, self._current.book.digest
            version, document = await self._report(known, said)
            self._unsaid = ""
            self._version = version
            if document is not None and self._adopt(document) and self._current.book.digest != before:
                await self._report(version, "")  # operators see at once who has it

    async def _report(self, known: int, said: str) -> tuple[int, dict[str, Any] | None]:
        return await self._store.report(
            *(self._process, self._current.book, self._since, known),
            fault=self.fault is not None,
            file_change=said,
        )

    async def _look_at_file(self, path: Path) -> None:
        try:
            raw = await asyncio.to_thread(price_document.raw_file, path)
            if raw == self._raw and self._fault is None:
                return
            book = price_document.parse_file(raw, path, self._currency)
        except ConfigurationError as error:
            self._failed(str(error))
            return
        self._raw = raw
        self._recovered()
        if said := changes_between(self._current.book, book):
            self._use(book)
            self._unsaid = said

    def _adopt(self, document: dict[str, Any]) -> bool:
        try:
            book = price_document.read(document, self._currency)
        except InvalidRequest as error:  # stored by a gateway with another currency, or by a newer one
            self._failed(f"the stored prices cannot be used: {error}")
            return False
        self._recovered()
        self._use(book)
        return True

    def _use(self, book: PriceBook) -> None:
        self._current.book, self._since = book, self._now_ms()
        structlog.get_logger().info("prices_in_use", prices=len(book.prices), digest=book.digest)

    def _failed(self, reason: str) -> None:
        self._fault = reason
        self._unreadable.failed(reason)

    def _recovered(self) -> None:
        self._fault = None
        self._unreadable.recovered()

    async def _run(self) -> None:
        crashed = Outage("prices_unreadable", "prices_readable")
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
                self._crash = None
                crashed.recovered()
            except StoreUnavailable:
                pass  # the next look will do
            except Exception as error:  # noqa: BLE001  # a watch that ended would keep old prices, unseen
                self._crash = f"newer prices cannot be read: {type(error).__name__}: {error}"
                crashed.failed(self._crash)
