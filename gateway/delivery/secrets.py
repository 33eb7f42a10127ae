"""The secrets that webhooks are signed with, derived from the keyring whenever they are needed.

Nothing is stored but the key's name and a version; a leak of Redis leaks no webhook secret.
"""

from __future__ import annotations

import base64

from gateway.endpoints import Endpoint
from gateway.keyring import Keyring


def signing_secrets(keyring: Keyring, endpoint: Endpoint, now: int) -> list[str]:
    """What an endpoint's webhooks are signed with at `now` (ms): its secret, then those from before a
    rotation that are still valid. ConfigurationError when the key of its secret is in the keyring no more."""
    current = endpoint_secret(keyring, endpoint.kid, endpoint.id, endpoint.version)
    # One whose key is gone can not be made again, and need not: the current one is known to the owner.
    previous = [
        endpoint_secret(keyring, former.kid, endpoint.id, former.version)
        for former in endpoint.previous
        if former.until > now and former.kid in keyring.kids
    ]
    return [current, *previous]


def endpoint_secret(keyring: Keyring, kid: str, endpoint_id: str, version: int) -> str:
    """`whsec_` and the base64 of 32 bytes; rotating an endpoint's secret is counting `version` up."""
    return _secret(keyring.derive(kid, "endpoint-secret", endpoint_id, str(version)))


def tenant_secret(keyring: Keyring, kid: str, tenant: str) -> str:
    """The same for a tenant's webhooks that go to a job's own callback_url, which has no endpoint."""
    return _secret(keyring.derive(kid, "tenant-secret", tenant))


def _secret(key: bytes) -> str:
    return f"whsec_{base64.b64encode(key).decode()}"
