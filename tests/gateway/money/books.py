"""Prices for tests."""

from __future__ import annotations

from typing import Any

MODEL = "viduq2_pro_reference"


def row(**changes: Any) -> dict[str, Any]:
    """A price of 720p as in a price file: three tiers, all different."""
    found = {
        "dialect": "vtrix",
        "model": MODEL,
        "resolution": "720p",
        "valid_from": "2026-01-01",
        "first_second": "0.0750",
        "second_second": "0.0650",
        "further_second": "0.0450",
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


def document(*rows: dict[str, Any], currency: str = "USD") -> dict[str, Any]:
    return {"currency": currency, "prices": list(rows)}
