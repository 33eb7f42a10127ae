"""A connection by which arq goes on when Redis is full.

To take up a job arq writes two small keys with plain commands, which a full Redis refuses; arq would then run
nothing any more, and what Redis holds could never be worked off. As scripts they are let through.
"""

from __future__ import annotations

from typing import Any, Final

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

_DRAINING: Final = "#!lua flags=allow-oom\n"
_PSETEX: Final = f"{_DRAINING}return redis.call('PSETEX', KEYS[1], ARGV[1], ARGV[2])"
_INCR: Final = f"{_DRAINING}return redis.call('INCRBY', KEYS[1], ARGV[1])"


class _DrainingPipeline(Pipeline):
    def psetex(self, name: Any, time_ms: Any, value: Any) -> Any:
        return self.eval(_PSETEX, 1, name, time_ms, value)

    def incr(self, name: Any, amount: int = 1) -> Any:
        return self.eval(_INCR, 1, name, amount)  # type: ignore[arg-type]


class DrainingRedis(ArqRedis):
    def psetex(self, name: Any, time_ms: Any, value: Any) -> Any:
        return self.eval(_PSETEX, 1, name, time_ms, value)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _DrainingPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
