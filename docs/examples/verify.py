"""Verify a webhook in Python (needs the package standardwebhooks)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook


# begin: verify
def verify(secret: str, headers: Mapping[str, str], body: bytes) -> Any:
    """The event, if it is genuine and fresh; otherwise an exception. `body`: the raw bytes."""
    lowered = {name.lower(): value for name, value in headers.items()}
    return Webhook(secret).verify(body, lowered)


# end: verify
