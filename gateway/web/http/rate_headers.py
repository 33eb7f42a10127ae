"""Headers that show the rest of a tenant's rate limit (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

from gateway.store.base import Allowance


def rate_headers(allowance: Allowance | None) -> dict[str, str]:
    """`allowance`: None for a tenant without a rate limit, which gets no headers."""
    if allowance is None:
        return {}
    name = f'"{allowance.kind}"'
    return {
        "ratelimit-policy": f"{name};q={allowance.quota};w={allowance.window_seconds}",
        "ratelimit": f"{name};r={allowance.left};t={allowance.reset_seconds}",
    }
