"""The store of the compose files has users, alone and under sentinels; no container engine is needed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped]
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from gateway.local.valkey import server_program
from gateway.settings.redis_url import read_redis_url
from tests.deploy.kustomize import KUBERNETES
from tests.processes import free_port
from tests.replicated import ask, info, role, wait_until

DEPLOY = KUBERNETES.parent
PASSWORD, PEERS = "a1-b2_c3", "peers"
URL = f"redis://gateway:{PASSWORD}@redis:6379/0"


@dataclass
class Containers:
    """What the containers of Valkey are made of: their files under one folder, and ports on loopback."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("bin", "settings", "secrets"):
            (self.folder / name).mkdir()
        entry = self.folder / "bin" / "docker-entrypoint.sh"
        entry.write_text('#!/bin/sh\nexec "$@"\n')
        entry.chmod(0o755)
        (self.folder / "bin" / "valkey-server").symlink_to(server_program())
        for path in (DEPLOY / "redis").iterdir():
            shutil.copy(path, self.folder / "settings")
        shutil.copy(DEPLOY / "redis.conf", self.folder / "settings" / "valkey.conf")
        self.write("redis_url", URL)
        self.write("redis_peer_password", f"{PEERS}\n")

    def write(self, name: str, text: str) -> None:
        (self.folder / "secrets" / name).write_text(text)

    def port(self, name: str) -> int:
        return self.ports.setdefault(name, free_port())

    def start(self, name: str, *words: str) -> None:
        """`start.sh` as the container of this name would run it, but on loopback and a port of its own."""
        settings, data = self.folder / f"{name}-settings", self.folder / name
        data.mkdir(exist_ok=True)
        if not settings.exists():
            shutil.copytree(self.folder / "settings", settings)
            with (settings / "valkey.conf").open("a") as file:
                file.write(f"\nport {self.port(name)}\nbind 127.0.0.1\n")
            sentinel = (settings / "sentinel.conf").read_text()
            sentinel = sentinel.replace("port 26379", f"port {self.port(name)}\nbind 127.0.0.1")
            sentinel = sentinel.replace("redis 6379", f"127.0.0.1 {self.port('redis')}")
            (settings / "sentinel.conf").write_text(sentinel.replace("main 5000", "main 500"))
        environment = {
            **os.environ,
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "SECRETS": str(self.folder / "secrets"),
            "SETTINGS": str(settings),
            "DATA": str(data),
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["sh", str(settings / "start.sh"), *words], env=environment, stdout=log, stderr=log
            )

    def ready(self, name: str) -> None:
        with self.client(name, "probe", "-") as client:
            wait_until(lambda: self.running[name].poll() is None and _answers(client))

    def stop(self, name: str) -> None:
        self.running[name].terminate()
        self.running[name].wait()

    def client(self, name: str, user: str = "gateway", password: str = PASSWORD) -> redis.Redis:
        """One that outlives the promotion of its server, which cuts all connections."""
        return redis.Redis(
            port=self.port(name),
            username=user,
            password=password,
            decode_responses=True,
            retry=Retry(ConstantBackoff(0.05), 20),
            retry_on_error=[redis.ConnectionError],
        )

    def refused(self, *words: str) -> str:
        self.start("refused", *words)
        assert self.running["refused"].wait(30) == 2
        return (self.folder / "refused.log").read_text()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False


@pytest.fixture
def containers(tmp_path: Path) -> Iterator[Containers]:
    made = Containers(tmp_path)
    try:
        yield made
    finally:
        for process in made.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def test_the_store_lets_nobody_in_but_who_has_the_password_of_the_url(containers: Containers) -> None:
    containers.start("redis", "server")
    containers.ready("redis")
    with containers.client("redis") as client:
        client.set("{gw}:name", "1")
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        assert client.config_get(*wanted) == wanted
    for user, password in (("gateway", "other"), ("default", ""), ("replica", PEERS), ("sentinel", PEERS)):
        with containers.client("redis", user, password) as client, pytest.raises(redis.RedisError):
            client.get("{gw}:name")
    containers.stop("redis")
    containers.start("redis", "server")
    containers.ready("redis")
    with containers.client("redis") as client:
        assert client.get("{gw}:name") == "1"
    for path in (containers.folder / "redis").glob("*.*"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
        assert path.is_dir() or PASSWORD not in path.read_text(errors="replace")


@pytest.mark.parametrize("url", ["", "redis://redis:6379/0", "redis://gateway:a%2Fb@redis:6379/0"])
def test_a_url_without_a_plain_password_is_refused_in_words(containers: Containers, url: str) -> None:
    containers.write("redis_url", url)
    assert "redis_url needs a password of letters, digits" in containers.refused("server")
    containers.write("redis_url", URL)
    containers.write("redis_peer_password", "")
    assert "redis_peer_password needs a password" in containers.refused("member", "refused")


def test_members_and_sentinels_know_each_other_and_a_role_outlives_a_restart(containers: Containers) -> None:
    first, second = (f"127.0.0.1 {containers.port(name)}" for name in ("redis", "redis-2"))
    sentinel_url = f"redis+sentinel://gateway:{PASSWORD}@sentinel-1,sentinel-2,sentinel-3/main/0"
    containers.write("redis_url", f"{sentinel_url}?sentinel_username=gateway&sentinel_password={PASSWORD}")
    containers.start("redis", "member", "127.0.0.1")
    containers.ready("redis")
    containers.start("redis-2", "member", "127.0.0.1", first)
    containers.ready("redis-2")
    sentinels = ("sentinel-1", "sentinel-2", "sentinel-3")
    for name in sentinels:
        containers.start(name, "sentinel", "127.0.0.1")
        containers.ready(name)
    with containers.client("sentinel-1") as client:

        def primary() -> str:
            return " ".join(ask(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"))

        assert primary() == first
        wait_until(lambda: len(ask(client, "SENTINEL", "REPLICAS", "main")) == 1)
        for name in sentinels:  # each knows the two others, which only its file shows to us
            path = containers.folder / name / "sentinel.conf"
            wait_until(lambda path=path: path.read_text().count("sentinel known-sentinel") == 2)
        containers.stop("redis")
        wait_until(lambda: primary() == second)
    with containers.client("redis-2") as client:
        wait_until(lambda: role(client) == "master")
        with pytest.raises(redis.RedisError, match="NOREPLICAS"):
            client.set("{gw}:name", "1")
        containers.start("redis", "member", "127.0.0.1")
        containers.ready("redis")
        wait_until(lambda: info(client)["min_slaves_good_slaves"] == 1)
        client.set("{gw}:name", "1")
    with containers.client("redis") as client:
        wait_until(lambda: role(client) == "slave")
    containers.stop("redis")
    containers.start("redis", "member", "127.0.0.1")
    containers.ready("redis")
    with containers.client("redis") as client:
        assert role(client) == "slave"


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def test_compose_mounts_what_start_reads_and_keeps_what_it_writes() -> None:
    services = compose("compose.yaml")["services"]
    more = compose("compose.sentinel.yaml")
    base = services["redis"]["volumes"]
    files = {"valkey.conf": "redis.conf", "start.sh": "redis/start.sh", "users.acl": "redis/users.acl"}
    assert {f"./{path}:/etc/valkey/{name}:ro" for name, path in files.items()} < set(base)
    for name in ("redis-2", "redis-3"):
        assert set(base[:-1]) < set(more["services"][name]["volumes"])
        assert f"{name}:/data" in more["services"][name]["volumes"]
    for name in ("sentinel-1", "sentinel-2", "sentinel-3"):
        mounted = more["services"][name]["volumes"]
        assert {f"{name}:/data", "./redis/start.sh:/etc/valkey/start.sh:ro"} < set(mounted)
        for file in ("sentinel.conf", "sentinel-users.acl"):
            assert f"./redis/{file}:/etc/valkey/{file}:ro" in mounted
            assert (DEPLOY / "redis" / file).exists()
    for service in more["services"].values():
        if "command" in service:
            assert service["secrets"] == ["redis_url", "redis_peer_password"]
    assert set(more["volumes"]) == {"redis-2", "redis-3", "sentinel-1", "sentinel-2", "sentinel-3"}


def test_a_write_counts_when_a_replica_has_it_and_each_primary_has_one_to_lose() -> None:
    services = compose("compose.sentinel.yaml")["services"]
    for name in ("gateway", "workers"):
        assert services[name]["environment"] == {
            "GATEWAY_DURABILITY": "replicated",
            "GATEWAY_REPLICAS_ACK": "1",
        }
    members = [name for name, one in services.items() if "member" in one.get("command", [])]
    assert members == ["redis", "redis-2", "redis-3"]
    [line] = re.findall(
        r"^sentinel monitor (.*)$", (DEPLOY / "redis/sentinel.conf").read_text(), re.MULTILINE
    )
    assert line == "main redis 6379 2"


def test_the_urls_that_the_files_name_can_be_read() -> None:
    for name, mode in (("compose.yaml", ""), ("compose.sentinel.yaml", "sentinel")):
        text = (DEPLOY / name).read_text()
        [url] = re.findall(r"printf '(\S+)'", text)
        assert read_redis_url(url.replace("%s", PASSWORD)).mode == mode
