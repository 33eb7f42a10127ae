"""What is left of a tenant's rate, as headers (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from gateway.store.base import Allowance


def rate_headers(allowance: Allowance | None) -> dict[str, str]:
    """None for a tenant that may post any number."""
    if allowance is None:
        return {}
    policy = f'"jobs";q={allowance.quota};w={allowance.window_seconds}'
    return {"ratelimit-policy": policy, "ratelimit": f'"jobs";r={allowance.left};t={allowance.reset_seconds}'}
