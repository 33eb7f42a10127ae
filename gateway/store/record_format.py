"""Which form the stored records have, so that a version that would misread them does not start.

Records have no version of their own. A program ignores fields that it does not know; if it does not know a
value, it reports the record as unreadable and leaves it alone. A change of form that older programs would
misread raises FORMAT: the newer version reads both forms. It stores its number, and writes the new form, only
when no process of another version uses this Redis (`FunctionLoader.alone`).
"""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from gateway.errors import ConfigurationError
from gateway.store import keys
from gateway.store.client import store_errors

FORMAT: Final = 1


async def refuse_newer(redis: Redis) -> None:
    """Raises ConfigurationError if the records have a form that this version does not know."""
    with store_errors():
        stored = int(await redis.get(keys.FORMAT) or FORMAT)
    if stored > FORMAT:
        raise ConfigurationError(
            f"GATEWAY_REDIS_URL: a newer version has stored records of form {stored} here, and this version "
            f"knows form {FORMAT}: start that version again, or a newer one"
        )
