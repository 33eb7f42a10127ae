"""Calls a gateway with the Python client, and raises our errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from gateway.client import Client
from gateway.client import errors as client_errors
from gateway.errors import GatewayError, Unavailable

_SECONDS: Final = 15.0


@contextlib.contextmanager
def calling(url: str, key: str, *, seconds: float = _SECONDS, retries: int = 0) -> Iterator[Client]:
    """A client until the block ends. Its refusals are GatewayErrors; no answer is Unavailable."""
    try:
        with Client(url, key, timeout=seconds, retries=retries) as client:
            yield client
    except client_errors.ConnectionFailed as error:
        raise Unavailable(str(error)) from None
    except client_errors.GatewayError as error:
        raise GatewayError(str(error)) from None


def ask(
    method: str, url: str, path: str, key: str, body: Any = None, seconds: float = _SECONDS
) -> dict[str, Any]:
    """The JSON object of the answer of the gateway at `url`."""
    with calling(url, key, seconds=seconds) as client:
        return client.request(method, path, body)


def status(url: str, path: str, key: str = "", seconds: float = 1.0) -> int:
    """The HTTP status of a GET: 200 for each that is fine, and 0 without an answer."""
    with Client(url, key or False, timeout=seconds, retries=0) as client:
        try:
            for _ in client.stream(path):
                break
        except client_errors.GatewayError as error:
            return error.status or 0
    return 200
