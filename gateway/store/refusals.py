"""Why a server will not serve us however long we wait: a wrong user, database, node or TLS certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any, Final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from gateway.store.replies import NobodyKnowsError

#: How long a server may take to refuse our certificate.
_ALERT_SECONDS: Final = 0.5
#: OpenSSL's codes of a certificate that is for another name or address.
_FOR_ANOTHER_HOST: Final = (62, 64)
#: Words in the alerts by which a server refuses our certificate, or asks for one.
_OF_OUR_CERTIFICATE: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE")


def refusal(error: BaseException | None) -> str | None:
    """The cause of this error, if waiting cannot fix it. It may name the host: for operators alone."""
    for cause in _causes(error):
        if isinstance(cause, NobodyKnowsError) and (reason := refusal(cause.__cause__)):
            return f"{cause}: {reason}"
        if isinstance(cause, ssl.SSLError) and (reason := _of_tls(cause)):
            return reason
        if isinstance(cause, AuthenticationError):
            return "Redis wants another user name or password"
        if isinstance(cause, ResponseError) and "DB index" in str(cause):
            return "Redis has no database with this number"
        if (reply := str(cause)).startswith("MOVED"):
            return f"another node of its cluster has our keys ({reply}); name the node that has them"
    return None


def _of_tls(error: ssl.SSLError) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _FOR_ANOTHER_HOST:
            return (
                f"its TLS certificate is for another host ({error.verify_message}); name the host as the"
                " certificate does, or accept any host with ?ssl_check_hostname=false"
            )
        return (
            f"its TLS certificate is not trusted ({error.verify_message}); name its authority with"
            " ?ssl_ca_certs=/path or SSL_CERT_FILE"
        )
    reason = str(error.reason or "")
    if "ALERT" in reason and any(word in reason for word in _OF_OUR_CERTIFICATE):
        return (
            f"it refuses our TLS certificate, or we have none ({reason}); name one that it trusts with"
            " ?ssl_certfile=/path&ssl_keyfile=/path"
        )
    return None


async def explained(error: BaseException, pool: ConnectionPool) -> BaseException:
    """The alert with which the server of this pool refuses our certificate, or else the error itself. A
    server sends the alert before it cuts the connection, but what we have sent by then makes the system drop
    it: so this connects, and only listens."""
    if not issubclass(pool.connection_class, SSLConnection) or refusal(error):
        return error
    connection: Any = pool.make_connection()  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(_ALERT_SECONDS):
            await connection._connect()
            await connection._reader.read(1)
    except ssl.SSLError as alert:
        return alert
    except (RedisError, OSError):
        return error
    finally:
        await connection.disconnect(nowait=True)
    return error


def name_of(error: BaseException) -> str:
    """The class of an error, never its text, which may hold what was sent. An error of TLS is named even if
    redis-py made a lost connection of it."""
    return type(next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), error)).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it: redis-py wraps errors while connecting, and not always as a cause."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
