"""Creates a dialect by its name."""

from __future__ import annotations

from gateway.errors import ConfigurationError
from gateway.upstream.base import Dialect
from gateway.upstream.vidu import ViduDialect
from gateway.upstream.vtrix import VtrixDialect


def make(name: str) -> Dialect:
    """`vtrix` or `vidu`. Raises `ConfigurationError` for any other name."""
    match name:
        case "vtrix":
            return VtrixDialect()
        case "vidu":
            return ViduDialect()
        case _:
            raise ConfigurationError(f"there is no dialect named {name!r}")
