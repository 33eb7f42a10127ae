"""The users of the store may do what is needed and no more. The promises are tested as these users too."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, ResponseError
from redis.asyncio import Redis as AsyncRedis

from gateway.errors import StoreUnavailable
from gateway.local.valkey import valkey
from gateway.store import script_library
from gateway.store.client import connection_pool, store_errors
from gateway.store.script_runner import Scripts
from tests import least_rights
from tests.replicated import Servers, ask, replicate, role, servers, wait_until

#: What is called from Python alone, and by whom.
OUTSIDE_SCRIPTS = {
    "gateway/store/script_runner.py": {"fcall", "eval"},
    "gateway/store/function_loader.py": {"function|load", "function|list", "function|delete"},
    "gateway/store/durability.py, to check the store": {"info", "config|get"},
    "GATEWAY_DURABILITY=replicated": {"wait"},
    "gateway/store/located.py and client.py": {"role", "cluster|slots", "select", "client|setinfo"},
    "workers/arq_worker.py": {"blpop"},
    "gateway/store/notifications.py": {"subscribe", "ping"},
    "lists and event streams": {
        *("zrevrange", "zrevrangebylex", "zrangebylex", "lrange", "xrange", "xinfo|stream"),
    },
}
SAMPLE = "{gw}:name"


def allowed(user: str, name: str = "users.acl") -> set[str]:
    [rules] = re.findall(rf"^user {user} (.*)$", (least_rights.FOLDER / name).read_text(), re.MULTILINE)
    words = rules.split()
    assert "-@all" in words
    assert not [word for word in words if word.startswith("+@")]
    return {word[1:] for word in words if word.startswith("+")}


def test_gateways_may_call_what_scripts_and_python_call_and_nothing_else() -> None:
    sources = [*script_library.parts().values(), *script_library.verbs().values()]
    calls = [re.findall(r"\bredis\.p?call\((.)(\w*)", source) for source in sources]
    assert {quote for found in calls for quote, _ in found} == {"'"}, "a command that is not a literal"
    in_scripts = {command.lower() for found in calls for _, command in found}
    assert allowed("gateway") == in_scripts.union(*OUTSIDE_SCRIPTS.values())


@pytest.mark.parametrize("name", ["users.acl", "sentinel-users.acl"])
def test_no_user_has_a_password_yet_and_none_comes_in_without_one_but_to_ping(name: str) -> None:
    lines = (least_rights.FOLDER / name).read_text().splitlines()
    assert lines[0] == "user default off"
    for line in lines[1:]:
        _, user, state, password, *rules = line.split()
        assert state == "on"
        if user == "probe":
            assert (password, rules) == ("nopass", ["resetkeys", "resetchannels", "-@all", "+ping"])
        else:
            assert re.fullmatch(r"#PASSWORD_OF_[A-Z]+_SHA256", password)


def test_the_user_of_gateways_reaches_our_keys_alone_and_no_settings(tmp_path: Path) -> None:
    (tmp_path / "users.acl").write_text(least_rights.users())
    with (
        valkey(tmp_path, "--aclfile", str(tmp_path / "users.acl")) as server,
        Redis.from_url(least_rights.as_gateway(server.url), decode_responses=True) as gateway,
    ):
        gateway.set(SAMPLE, "1")
        for words in (
            ("SET", "other", "1"),
            ("CONFIG", "SET", "appendonly", "no"),
            ("FLUSHALL",),
            ("KEYS", "*"),
            ("REPLICAOF", "NO", "ONE"),
            ("ACL", "LIST"),
            ("FUNCTION", "FLUSH"),
            ("CLIENT", "KILL", "TYPE", "normal"),
            ("SHUTDOWN",),
            ("PUBLISH", "other", "1"),
            ("EVAL", "return redis.call('GET', 'other')", 0),
        ):
            with pytest.raises(ResponseError, match=r"(?i)permission"):
                ask(gateway, *words)
        assert gateway.get(SAMPLE) == "1"


@pytest.fixture
def made(tmp_path: Path) -> Any:
    for name in ("users.acl", "sentinel-users.acl"):
        (tmp_path / name).write_text(least_rights.users(name))
    with servers(tmp_path) as found:
        yield found


async def test_sentinels_and_replicas_fail_over_as_their_users(made: Servers, tmp_path: Path) -> None:
    own = ["--aclfile", str(tmp_path / "users.acl"), "--masteruser", "replica"]
    own += ["--masterauth", least_rights.PASSWORD]
    first = made.start(*own)
    second = replicate(made, first, *own)
    more = f"aclfile {tmp_path}/sentinel-users.acl\nsentinel auth-user main sentinel\n"
    more += f"sentinel auth-pass main {least_rights.PASSWORD}\nsentinel sentinel-user sentinel\n"
    more += f"sentinel sentinel-pass {least_rights.PASSWORD}\n"
    asked = [made.start_sentinel("main", first, 2, more=more) for _ in range(3)]
    for port in asked:
        with made.at(port) as sentinel:
            wait_until(lambda sentinel=sentinel: known(sentinel) == ("2", "1"))
    hosts = ",".join(f"127.0.0.1:{port}" for port in asked)
    user = f"gateway:{least_rights.PASSWORD}"
    url = f"redis+sentinel://{user}@{hosts}/main/0?sentinel_username=gateway&sentinel_password={user[8:]}"
    pool = connection_pool(url, timeout_seconds=2, retries=1, connections=4)
    redis = AsyncRedis(connection_pool=pool)
    scripts = Scripts(redis)
    assert await scripts.run("expired_leases", ["{gw}:lanes"], ["submit", 10]) == []
    made.kill(first)
    async with asyncio.timeout(120):
        while True:
            try:
                with store_errors():
                    await redis.set(SAMPLE, "2")
                assert await scripts.run("expired_leases", ["{gw}:lanes"], ["submit", 10]) == []
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    await pool.disconnect()
    made.start(*own, port=first)  # it comes back as what it was, and the sentinels make it a replica
    with made.at(first) as old:
        await asyncio.to_thread(wait_until, lambda: role(old) == "slave")
        await asyncio.to_thread(wait_until, lambda: old.get(SAMPLE) == "2")
    for port in (first, second, *asked):
        with made.at(port) as client:
            assert least_rights.denied(client) == []


def known(sentinel: Redis) -> tuple[str, str]:
    """How many other sentinels and replicas it knows."""
    told = ask(sentinel, "SENTINEL", "MASTER", "main")
    fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
    return fields["num-other-sentinels"], fields["num-slaves"]
