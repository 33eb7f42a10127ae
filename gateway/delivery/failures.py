"""What an exception of aiohttp means for an attempt: its outcome, and a hint for the subscriber."""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp

from gateway.delivery.attempts import HINT_CHARACTERS, DeliveryOutcome, excerpt
from gateway.delivery.guard import MAX_ADDRESSES, TooManyAddresses
from gateway.delivery.headers import printable
from gateway.delivery.names import TooManyLookups
from gateway.errors import AddressRefused

_START_CHARACTERS: Final = 100
_UNFINISHED: Final = {
    DeliveryOutcome.PROTOCOL_ERROR: "the reply is not HTTP",
    DeliveryOutcome.CONNECTION_RESET: "the connection broke before the head of the reply was complete",
    DeliveryOutcome.TIMEOUT: "the head of the reply was not complete in time",
}


def outcome_of_error(error: Exception) -> DeliveryOutcome:
    """The outcome for one of aiohttp's many exceptions."""
    match error:
        case TimeoutError():
            return DeliveryOutcome.TIMEOUT
        case aiohttp.ClientSSLError() | aiohttp.ServerFingerprintMismatch():
            return DeliveryOutcome.TLS_ERROR
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return DeliveryOutcome.TARGET_FORBIDDEN
        case aiohttp.ClientConnectorDNSError():
            return DeliveryOutcome.DNS_ERROR
        case aiohttp.ClientConnectorError(os_error=ConnectionResetError()):
            return DeliveryOutcome.CONNECTION_RESET
        case aiohttp.ClientConnectorError():
            return DeliveryOutcome.CONNECTION_REFUSED
        case aiohttp.InvalidURL():
            return DeliveryOutcome.INVALID_URL
        case aiohttp.ServerDisconnectedError() | OSError():
            return DeliveryOutcome.CONNECTION_RESET
        case _:
            return DeliveryOutcome.PROTOCOL_ERROR


def hint_of_error(error: Exception) -> str | None:
    """What the subscriber can do about the failure; None if there is no advice."""
    match error:
        case aiohttp.ClientConnectorCertificateError(
            certificate_error=ssl.SSLCertVerificationError() as fault
        ):
            return printable(f"the certificate was refused: {fault.verify_message}")[:HINT_CHARACTERS]
        case aiohttp.ClientConnectorError(os_error=TooManyLookups()):
            return "too many lookups of your names hang; check their name servers"
        case aiohttp.ClientConnectorError(os_error=TooManyAddresses()):
            return f"the name has more than {MAX_ADDRESSES} addresses; give it fewer"
        case aiohttp.ClientConnectorError(os_error=AddressRefused()):
            return "webhooks may not go to this address: its network, its port, http, or the gateway itself"
        case _:
            return None


def hint_of_start(outcome: DeliveryOutcome, received: bytes) -> str | None:
    """What was read of a reply that has no final status line; None if nothing was."""
    if not received:
        return None
    what = _UNFINISHED.get(outcome, "the reply could not be read")
    start = excerpt(received.partition(b"\n")[0].rstrip())[:_START_CHARACTERS]
    return f"{what}; it began with: {start}"[:HINT_CHARACTERS]
