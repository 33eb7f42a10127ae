"""Serves files that belong to the pages."""

from __future__ import annotations

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send


class Assets(StaticFiles):
    """Always whole files: Starlette answers a malformed Range with a plain text, and nobody needs ranges."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = [header for header in scope["headers"] if header[0] not in (b"range", b"if-range")]
        await super().__call__({**scope, "headers": whole}, receive, send)
