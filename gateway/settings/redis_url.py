"""The URL of the store: one server, the sentinels of a replicated one, or nodes of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """A URL of Redis. `mode`: "", "sentinel" or "cluster". `hosts`: of the server, of all sentinels, or of
    nodes; empty for a Unix socket. `name`: of the primary, for sentinels. Its `repr` shows no password."""

    text: str = field(repr=False)
    mode: str
    hosts: tuple[tuple[str, int], ...]
    name: str = ""
    scheme: str = "redis"
    user: str = field(default="", repr=False)
    database: int = 0
    query: str = field(default="", repr=False)
    sentinel_user: str = field(default="", repr=False)

    def of_server(self, place: tuple[str, int]) -> str:
        """The URL of one server of the store."""
        return self._of(self.user, place, self.database)

    def of_sentinel(self, place: tuple[str, int]) -> str:
        return self._of(self.sentinel_user, place, 0)

    def _of(self, user: str, place: tuple[str, int], database: int) -> str:
        host = f"[{place[0]}]" if ":" in place[0] else place[0]
        at = f"{user}@" if user else ""
        more = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{at}{host}:{place[1]}/{database}{more}"


_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


def read_redis_url(text: str) -> RedisUrl:
    """`redis[s]://[user:password@]host[:port][/db]`, `unix://path`,
    `redis[s]+sentinel://[user:password@]host[:port],.../name[/db]` and
    `redis[s]+cluster://[user:password@]host[:port],...`. Sentinels with users of their own:
    `?sentinel_username=...&sentinel_password=...`. Other parameters are redis-py's. ValueError says what is
    wrong, without a secret."""
    scheme, _, mode = text.partition("://")[0].partition("+")
    if scheme == "unix" and not mode:
        return RedisUrl(text, "", ())
    if scheme not in ("redis", "rediss") or mode not in ("", "sentinel", "cluster"):
        raise ValueError(
            "must start with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// (or rediss+)"
        )
    parts = urlsplit(text)
    user, _, hosts = parts.netloc.rpartition("@")
    default = _SENTINEL_PORT if mode == "sentinel" else _REDIS_PORT
    places = tuple(_redis_place(host, default) for host in hosts.split(","))
    if not mode:
        if len(places) > 1:
            raise ValueError("names several hosts; use redis+sentinel:// or redis+cluster://")
        return RedisUrl(text, "", places, scheme=scheme, user=user)
    name, _, database = parts.path.strip("/").partition("/")
    if mode == "cluster":
        name, database = "", name
        if database not in ("", "0"):
            raise ValueError("a cluster has only database 0")
    elif not name:
        raise ValueError("needs the name of the primary: redis+sentinel://host,host,host/name")
    if database and not database.isdigit():
        raise ValueError("has a database that is not a number")
    given = dict(parse_qsl(parts.query))
    sentinel = f"{given.pop('sentinel_username', '')}:{given.pop('sentinel_password', '')}"
    sentinel_user = quote(sentinel, safe=":") if sentinel != ":" else ""
    query = urlencode(given)
    return RedisUrl(text, mode, places, name, scheme, user, int(database or 0), query, sentinel_user)


def _redis_place(text: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    port = parts.port  # ValueError if it is no number
    return parts.hostname or "localhost", port or default
