"""The secrets that sign webhooks. They are derived from the keyring, and never stored.

Redis stores only the name of the key and a version, so a leak of Redis does not leak webhook secrets.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from gateway.endpoints import Endpoint
from gateway.keyring import Keyring


def signing_secrets(keyring: Keyring, endpoint: Endpoint, now: int) -> list[str]:
    """The secrets that sign an endpoint's webhooks at `now` (ms): the current one, then those from before a
    rotation that are still valid. ConfigurationError if the key of the current one left the keyring."""
    current = endpoint_secret(keyring, endpoint.kid, endpoint.id, endpoint.version)
    # A previous secret whose key is gone cannot be derived. It is not needed: the owner has the current one.
    previous = [
        endpoint_secret(keyring, former.kid, endpoint.id, former.version)
        for former in endpoint.previous
        if former.until > now and former.kid in keyring.kids
    ]
    return [current, *previous]


@lru_cache(maxsize=1024)
def endpoint_secret(keyring: Keyring, kid: str, endpoint_id: str, version: int) -> str:
    """`whsec_` and 32 bytes in Base64. Rotating an endpoint's secret means increasing `version`."""
    return _secret(keyring.derive(kid, "endpoint-secret", endpoint_id, str(version)))


@lru_cache(maxsize=1024)
def tenant_secret(keyring: Keyring, kid: str, tenant: str) -> str:
    """The secret for a tenant's webhooks to a job's own callback_url, which has no endpoint."""
    return _secret(keyring.derive(kid, "tenant-secret", tenant))


def _secret(key: bytes) -> str:
    return f"whsec_{base64.b64encode(key).decode()}"
