"""Everything that the server holds under a pattern, read in one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from gateway.dispatch import Role
from tests.promises.crashes.store import Server

_READ: Final = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if string.sub(key, 1, 8) ~= 'arq:job:' then
    if kind == 'hash' then value = redis.call('HGETALL', key)
    elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'set' then value = redis.call('SMEMBERS', key)
    elseif kind == 'list' then value = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'stream' then value = redis.call('XRANGE', key, '-', '+')
    else value = redis.call('GET', key) end
    found[#found + 1] = {key, kind, value}
  end
end
return found
"""


@dataclass(frozen=True, slots=True)
class Lanes:
    """One role. `lanes`: lane -> tickets in order; `ranks`: of all of these; times in ms. `accounts`: of
    slots that are not of `main`; `pinned`: tickets that wait for an account, and `lines` of each account."""

    lanes: dict[str, list[str]] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    slots: dict[str, float] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    inflight: dict[str, str] = field(default_factory=dict)
    fair: dict[str, float] = field(default_factory=dict)
    blocked: dict[str, float] = field(default_factory=dict)
    parked: dict[str, float] = field(default_factory=dict)
    probing: set[str] = field(default_factory=set)
    caps: dict[str, str] = field(default_factory=dict)
    retrying: set[str] = field(default_factory=set)
    retries: dict[str, str] = field(default_factory=dict)
    ranks: dict[str, float] = field(default_factory=dict)
    tenants: dict[str, str] = field(default_factory=dict)
    tenant_inflight: dict[str, str] = field(default_factory=dict)
    crowds: dict[str, dict[str, float]] = field(default_factory=dict)
    relieved: set[str] = field(default_factory=set)
    accounts: dict[str, str] = field(default_factory=dict)
    account_inflight: dict[str, str] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    lines: dict[str, dict[str, float]] = field(default_factory=dict)

    def cap(self, lane: str, slots: int) -> int:
        """How many slots the lane may hold, in a role where a lane has so many."""
        return 1 if lane in self.probing else min(slots, int(self.caps.get(lane, slots)))

    @property
    def crowded(self) -> set[str]:
        """Lanes that wait for their tenant to hold fewer slots."""
        return {lane for crowd in self.crowds.values() for lane in crowd}

    @property
    def in_lanes(self) -> set[str]:
        """Those that wait for their account, too."""
        return {ticket for tickets in self.lanes.values() for ticket in tickets} | set(self.pinned)

    def of_lane(self, lane: str) -> int:
        return sum(ticket.startswith(f"{lane}|") for ticket in self.slots)


@dataclass(frozen=True, slots=True)
class Dump:
    keys: dict[str, Any]
    streams: dict[str, list[dict[str, str]]]

    def hash(self, name: str) -> dict[str, str]:
        return cast("dict[str, str]", self.keys.get(f"{{gw}}:{name}", {}))

    def zset(self, name: str) -> dict[str, float]:
        return cast("dict[str, float]", self.keys.get(f"{{gw}}:{name}", {}))

    def records(self, kind: str) -> dict[str, dict[str, str]]:
        """Hashes by their name: {gw}:<kind>:<name>."""
        return {name: value for name, value in self._named(kind) if isinstance(value, dict)}

    def texts(self, kind: str) -> dict[str, str]:
        return {name: value for name, value in self._named(kind) if isinstance(value, str)}

    def _named(self, kind: str) -> Iterator[tuple[str, Any]]:
        head = f"{{gw}}:{kind}:"
        for key, value in self.keys.items():
            if key.startswith(head) and ":" not in key[len(head) :]:
                yield key[len(head) :], value

    def role(self, role: Role) -> Lanes:
        head = f"{{gw}}:{role}:"
        lanes = {key[len(head) + 5 :]: v for key, v in self.keys.items() if key.startswith(f"{head}lane:")}
        got: dict[str, Any] = {}
        for name in ("waiting", "due", "slots", "fair", "blocked", "parked"):
            got[name] = self.keys.get(head + name, {})
        hashes = ("holders", "inflight", "caps", "retries", "tenants", "tenant_inflight")
        for name in (*hashes, "accounts", "account_inflight", "pinned"):
            got[name] = self.keys.get(head + name, {})
        for name in ("again", "probing", "retrying", "relieved"):
            got[name] = set(self.keys.get(head + name, ()))
        return Lanes(
            lanes={lane: list(ranks) for lane, ranks in lanes.items()},
            ranks={ticket: rank for ranks in lanes.values() for ticket, rank in ranks.items()},
            crowds={
                key[len(head) + 6 :]: v for key, v in self.keys.items() if key.startswith(f"{head}crowd:")
            },
            lines={
                key[len(head) + 7 :]: v for key, v in self.keys.items() if key.startswith(f"{head}pinned:")
            },
            **got,
        )


def read(server: Server, pattern: str = "*") -> Dump:
    keys: dict[str, Any] = {}
    streams: dict[str, list[dict[str, str]]] = {}
    for key, kind, value in cast("list[tuple[str, str, Any]]", server.client.eval(_READ, 0, pattern)):
        if kind == "hash":
            keys[key] = dict(zip(value[::2], value[1::2], strict=True))
        elif kind == "zset":
            keys[key] = {name: float(score) for name, score in zip(value[::2], value[1::2], strict=True)}
        elif kind == "stream":
            streams[key] = [dict(zip(flat[::2], flat[1::2], strict=True)) for _, flat in value]
        elif kind == "set":
            keys[key] = sorted(value)
        else:
            keys[key] = value
    return Dump(keys, streams)
