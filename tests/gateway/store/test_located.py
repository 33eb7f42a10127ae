"""A connection finds the primary again: after a failover by sentinels, and in a cluster."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest
from redis.asyncio import Redis

from gateway.errors import StoreUnavailable
from gateway.settings.redis_url import read_redis_url
from gateway.store.client import connection_pool, redis_at, store_errors
from gateway.store.located import Fixed, OwnerOfSlot, Sentinels, locator_of
from gateway.store.script_runner import Scripts
from tests.processes import free_port
from tests.replicated import IN_CLUSTER, ask, cluster, replicate, servers, wait_until

KEY = "{gw}:name"


async def test_after_a_failover_the_same_pool_and_scripts_go_on_with_the_new_primary(tmp_path: Path) -> None:
    with servers(tmp_path) as made:
        first = made.start()
        second = replicate(made, first)
        sentinel = made.start_sentinel("main", first)
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel}/main/0"
        pool = connection_pool(url, timeout_seconds=2, retries=1, connections=4)
        redis, scripts = Redis(connection_pool=pool), Scripts(Redis(connection_pool=pool))
        await redis.set(KEY, "1")
        assert await scripts.run("expired_leases", ["{gw}:lanes"], ["submit", 10]) == []
        with made.at(second) as replica:
            await asyncio.to_thread(wait_until, lambda: replica.get(KEY) == "1")
        made.kill(first)
        async with asyncio.timeout(60):
            while True:
                try:
                    with store_errors():
                        await redis.set(KEY, "2")
                    assert await scripts.run("expired_leases", ["{gw}:lanes"], ["submit", 10]) == []
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
        with made.at(second) as primary:
            assert primary.get(KEY) == "2"
        await pool.disconnect()
        known = set(locator_of(url).places())
        assert {("127.0.0.1", sentinel), ("127.0.0.1", first), ("127.0.0.1", second)} <= known


async def test_a_sentinel_that_names_a_replica_is_not_believed_and_no_client_learns_where_it_is(
    tmp_path: Path,
) -> None:
    with servers(tmp_path) as made:
        first = made.start()
        second = replicate(made, first)
        sentinel = made.start_sentinel("main", first)
        with made.at(first) as old, made.at(second) as new:
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", str(second))
            async with redis_at(f"redis+sentinel://127.0.0.1:{sentinel}/main", 2) as redis:
                with pytest.raises(StoreUnavailable, match="is not the primary") as told, store_errors():
                    await redis.get(KEY)
    assert not {str(first), "127.0.0.1"} & set(re.split(r"[: ]", str(told.value)))


async def test_in_a_cluster_the_node_that_has_our_keys_is_asked(tmp_path: Path) -> None:
    with servers(tmp_path) as made:
        ports = cluster(made, 3)
        for port in ports:
            async with redis_at(f"redis+cluster://127.0.0.1:{port}", 2) as redis:
                await redis.set(KEY, str(port))
                assert await redis.get(KEY) == str(port)
            known = {place[1] for place in locator_of(f"redis+cluster://127.0.0.1:{port}").places()}
            assert known == set(ports)


async def test_when_nobody_knows_the_store_is_away() -> None:
    for url in ("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main", "redis+cluster://127.0.0.1:1"):
        async with redis_at(url, 2) as redis:
            with pytest.raises(StoreUnavailable, match="knows"), store_errors():
                await redis.get(KEY)


async def why_it_is_not_found(url: str) -> str:
    async with redis_at(url, 2) as redis:
        with pytest.raises(StoreUnavailable) as told, store_errors():
            await redis.get(KEY)
    return str(told.value).partition("(")[2].removesuffix(")")


async def test_what_keeps_the_sentinels_from_naming_it_is_in_the_error(tmp_path: Path) -> None:
    with servers(tmp_path) as made, socket.create_server(("127.0.0.1", 0)) as silent:
        sentinel = made.start_sentinel("main", made.start())
        with made.at(sentinel) as client:
            ask(client, "ACL", "SETUSER", "gw", "on", ">pw", "+client")
        at, hangs = f"127.0.0.1:{sentinel}", f"127.0.0.1:{silent.getsockname()[1]}"
        user = "?sentinel_username=gw&sentinel_password="
        for url, reasons in (
            (f"{at}/main{user}wrong", "AuthenticationError"),
            (f"{at}/main{user}pw", "NoPermissionError"),
            (f"{at}/another", "unknown name"),
            (f"{hangs}/main", "TimeoutError"),
            (f"127.0.0.1:1,127.0.0.1:2,{at}/another", "ConnectionError, unknown name"),
        ):
            assert await why_it_is_not_found(f"redis+sentinel://{url}") == reasons


async def test_a_sentinel_that_keeps_its_replicas_to_itself_still_names_the_primary(tmp_path: Path) -> None:
    with servers(tmp_path) as made:
        sentinel = made.start_sentinel("main", made.start())
        with made.at(sentinel) as client:
            may = ("+client", "+sentinel|get-master-addr-by-name")
            ask(client, "ACL", "SETUSER", "gw", "on", ">pw", *may)
        user = "sentinel_username=gw&sentinel_password=pw"
        async with redis_at(f"redis+sentinel://127.0.0.1:{sentinel}/main?{user}", 2) as redis:
            assert await redis.get(KEY) is None


async def test_what_keeps_the_nodes_of_a_cluster_from_naming_it_is_in_the_error(tmp_path: Path) -> None:
    with servers(tmp_path) as made:
        single, empty = made.start(), made.start(*IN_CLUSTER, "--cluster-port", str(free_port()))
        with made.at(single) as client:
            ask(client, "ACL", "SETUSER", "gw", "on", ">pw", "+client")
        for url, reasons in (
            (f"127.0.0.1:{single}", "ResponseError"),
            (f"gw:wrong@127.0.0.1:{single}", "AuthenticationError"),
            (f"gw:pw@127.0.0.1:{single}", "NoPermissionError"),
            (f"127.0.0.1:1,127.0.0.1:{empty}", "ConnectionError, unknown slot"),
        ):
            assert await why_it_is_not_found(f"redis+cluster://{url}") == reasons


def test_a_url_has_one_locator_in_a_process() -> None:
    url = "redis+sentinel://a,b:1/main"
    assert locator_of(url) is locator_of(url)
    assert isinstance(locator_of(url), Sentinels)
    assert isinstance(locator_of("redis+cluster://a"), OwnerOfSlot)
    assert isinstance(locator_of("redis://a"), Fixed)


def test_the_users_of_servers_and_sentinels_are_apart() -> None:
    url = read_redis_url(
        "rediss+sentinel://gw:p%40ss@s1,s2:5/main/3?sentinel_username=watch&sentinel_password=a%2Fb"
        "&ssl_ca_certs=/ca.pem"
    )
    assert url.hosts == (("s1", 26379), ("s2", 5))
    assert url.of_server(("h", 1)) == "rediss://gw:p%40ss@h:1/3?ssl_ca_certs=%2Fca.pem"
    assert url.of_sentinel(("::1", 2)) == "rediss://watch:a%2Fb@[::1]:2/0?ssl_ca_certs=%2Fca.pem"
    assert not {"p%40ss", "a%2Fb"} & set(repr(url).split("'"))
    assert "p%40ss" not in repr(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://h", "must start with redis://"),
        ("redis+magic://h", "must start with"),
        ("unix+sentinel:///s", "must start with"),
        ("redis://a,b", "several hosts"),
        ("redis+sentinel://a,b", "name of the primary"),
        ("redis+cluster://a/3", "only database 0"),
        ("redis+sentinel://a/main/x", "not a number"),
        ("redis://h:port", "percent-encode"),
        ("redis://:hunter2/secret@db:6379/0", "percent-encode"),
        ("redis+sentinel://u:hunter2?ret@h1,h2/name", "percent-encode"),
        ("redis://:hunter2\u2100@h", "percent-encode"),
    ],
)
def test_a_wrong_url_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        read_redis_url(url)
    assert "hunter2" not in str(told.value)
