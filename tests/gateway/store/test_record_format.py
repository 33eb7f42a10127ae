"""Records of a form that this version does not know are refused, loudly."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.errors import ConfigurationError
from gateway.local.valkey import valkey
from gateway.settings.types import Demand
from gateway.store import durability, keys
from gateway.store.record_format import FORMAT


async def test_a_store_with_records_of_a_newer_form_is_refused_whatever_is_assumed(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        async with Redis.from_url(server.url) as redis:
            for known in (None, FORMAT):
                if known is not None:
                    await redis.set(keys.FORMAT, known)
                await durability.check(server.url, Demand("require"))
            await redis.set(keys.FORMAT, FORMAT + 1)
        for value in ("require", "assume"):
            with pytest.raises(ConfigurationError, match="form 2 here, and this version knows form 1"):
                await durability.check(server.url, Demand(value))
