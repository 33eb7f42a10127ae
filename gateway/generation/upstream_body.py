"""How large the body becomes that the upstream gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

#: The upstream's limit for a body, in bytes. Our own fields around the parameters count too.
UPSTREAM_BODY_BYTES: Final = 20_000_000
ENVELOPE_BYTES: Final = 4096


def bytes_of(params: Mapping[str, object]) -> int:
    """At most the bytes of a body with these parameters."""
    return len(orjson.dumps(params)) + ENVELOPE_BYTES
