"""Sessions of the operators' pages on Redis, so that signing out ends one for every process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.client import store_errors
from gateway.store.script_runner import Scripts

#: The most sessions of one key; the next one ends the oldest.
MAX_PER_KEY: Final = 20


@dataclass(frozen=True, slots=True)
class Session:
    """`key_id`: the operator's key that it acts with. `ends_at`: ms."""

    key_id: str
    ends_at: int


class RedisSessions:
    """A session is stored under the SHA-256 of its cookie: what Redis holds signs nobody in."""

    def __init__(self, redis: Redis, scripts: Scripts) -> None:
        self._redis = redis
        self._scripts = scripts

    async def begin(self, digest: str, session: Session) -> None:
        places = [keys.session(digest), keys.key_sessions(session.key_id)]
        await self._scripts.run(
            "begin_session", places, [digest, session.key_id, session.ends_at, MAX_PER_KEY]
        )

    async def find(self, digest: str) -> Session | None:
        """The session; None if there is none, or if it has ended."""
        with store_errors():
            key_id, ends_at = await self._redis.hmget(keys.session(digest), ["key", "ends_at"])  # type: ignore[misc]
        return None if key_id is None else Session(key_id, int(ends_at))

    async def end(self, digest: str) -> None:
        await self._scripts.run("end_session", [keys.session(digest)], [digest])
