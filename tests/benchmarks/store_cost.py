"""What a job costs the store: scripts and commands by its own counters, and the memory that stays."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

_SCRIPTS = ("evalsha", "eval", "fcall")
#: What the benchmark itself asks.
_OURS = ("info", "memory|usage", "scan", "config|set", "config|get")
_ID = re.compile(r"(job|evt|dlv|ep|whk|key)_[0-9A-Za-z]{20,}(_[a-z]+)?(_[0-9A-Za-z]{20,})?|[0-9A-Fa-f-]{24,}")
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Calls:
    """`at`: monotonic seconds. `count`: how often each command was called until then, also by scripts."""

    at: float
    count: Counter[str]


def calls(client: redis.Redis) -> Calls:
    found: Any = client.info("commandstats")
    counts = {name.removeprefix("cmdstat_"): int(stats["calls"]) for name, stats in found.items()}
    return Calls(time.monotonic(), Counter({name: n for name, n in counts.items() if name not in _OURS}))


def between(before: Calls, after: Calls) -> Counter[str]:
    return Counter({name: number - before.count[name] for name, number in after.count.items()})


def per_second(before: Calls, after: Calls) -> dict[str, float]:
    seconds = after.at - before.at
    return {name: number / seconds for name, number in between(before, after).items()}


def cost(before: Calls, after: Calls, idle: Mapping[str, float], jobs: int) -> tuple[float, float]:
    """Scripts and commands for each of the jobs; what the idle processes ask anyway is taken off. A script
    itself is no command."""
    seconds = after.at - before.at
    spent = {
        name: (number - idle.get(name, 0.0) * seconds) / jobs
        for name, number in between(before, after).items()
    }
    scripts = sum(spent.pop(name, 0.0) for name in _SCRIPTS)
    return scripts, sum(spent.values())


def used_bytes(client: redis.Redis) -> int:
    """Memory in use, without the buffers of clients and of the append-only file."""
    memory: Any = client.info("memory")
    return int(memory["used_memory"] - memory["mem_clients_normal"] - memory["mem_aof_buffer"])


def by_kind(client: redis.Redis) -> Counter[str]:
    """{kind of key: bytes of all keys of that kind}; a kind is a name with a star for each id."""
    names = list(client.scan_iter(count=_CHUNK))
    found: Counter[str] = Counter()
    for start in range(0, len(names), _CHUNK):
        chunk = names[start : start + _CHUNK]
        with client.pipeline(transaction=False) as pipe:
            for name in chunk:
                pipe.memory_usage(name, samples=0)
            for name, size in zip(chunk, pipe.execute(), strict=True):
                found[kind_of(name.decode())] += size or 0
    return found


def kind_of(name: str) -> str:
    return _ID.sub("*", name.removeprefix("{gw}:"))
