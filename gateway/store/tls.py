"""TLS of the connections to the store: whom they trust, and what they show of themselves."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import RedisSSLContext, SSLConnection
from redis.exceptions import RedisError

from gateway.errors import ConfigurationError

_Version = tuple[int, int, int] | None
#: {what was wanted: (the versions of its files, what was made of them)}
_made: Final[dict[tuple[Any, ...], tuple[list[_Version], ssl.SSLContext]]] = {}


def use_tls(pool: ConnectionPool) -> None:
    """Lets connections with TLS check that a certificate is for their host, unless the URL says otherwise:
    redis-py would not. Raises ConfigurationError for a file that cannot be used, because redis-py would take
    it for a lost connection."""
    if not issubclass(pool.connection_class, SSLConnection):
        return
    pool.connection_class = _TlsConnection
    options = pool.connection_kwargs
    options.setdefault("ssl_check_hostname", options.get("ssl_cert_reqs") != "none")
    try:
        _context_of(_TlsConnection(**options).ssl_context)
    except (OSError, ValueError, RedisError) as error:
        raise ConfigurationError(
            f"GATEWAY_REDIS_URL: its TLS settings cannot be used: {error}; ssl_ca_certs, ssl_certfile and"
            " ssl_keyfile name PEM files that this process can read"
        ) from None


class _TlsConnection(SSLConnection):
    def _connection_arguments(self) -> Mapping[str, Any]:
        self.ssl_context.context = _context_of(self.ssl_context)
        arguments: Mapping[str, Any] = super()._connection_arguments()
        return arguments


def _context_of(wanted: RedisSSLContext) -> ssl.SSLContext:
    """Made once for all connections, because to read the system's authorities stops the process for up to a
    tenth of a second; and anew when a file has changed, because certificates are renewed."""
    files = (wanted.ca_certs, wanted.certfile, wanted.keyfile, os.environ.get("SSL_CERT_FILE"))
    more = (wanted.cert_reqs, wanted.ca_data, wanted.check_hostname, wanted.min_version, wanted.ciphers)
    versions = [_version(file) for file in files]
    known, context = _made.get((*files, *more), (None, None))
    if context is None or known != versions:
        wanted.context = None
        context = wanted.get()
        _made[*files, *more] = versions, context
    return context


def _version(file: str | None) -> _Version:
    if file is None:
        return None
    try:
        found = os.stat(file)
    except OSError:  # the context will say so
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
