"""`vidu-gateway doctor` and `status`, on a service of real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.store import keys
from gateway.tenants import Scope
from tests.buckets import S3Server
from tests.gateway.local.test_valkey import eventually
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.replicated import replicate, servers

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("doctor"), nursery) as made:
        (made.folder / "blobs").mkdir()
        made.start_sandbox()
        made.start_gateway()
        made.start_workers()
        with redis.Redis.from_url(made.url) as store:
            eventually(lambda: bool(store.exists(keys.WORKERS)))  # the first heartbeat
        yield made


_NUMBERS = count()
SECOND = '[{"name": "second", "key": "wrong-key-canary"}]'


def run(service: Machine, *words: str, **more: str) -> tuple[int, str]:
    """Of `vidu-gateway` with these words: the exit code and what was printed."""
    assert service.nursery is not None
    printed = service.folder / f"command-{next(_NUMBERS)}.log"
    environment = {**service.environment, "COLUMNS": "160", **more}
    code = service.nursery.spawn(["gateway.cli", *words], environment, printed).wait(60)
    return code, printed.read_text()


def examined(service: Machine, **more: str) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    code, text = run(service, "doctor", "--json", **more)
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        finding = json.loads(line)
        found.setdefault(finding["check"], []).append(finding)
    return code, found


def errors(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str, str]]:
    return [
        (name, one["text"], one["fix"])
        for name, all_of in found.items()
        for one in all_of
        if one["level"] == "error"
    ]


def test_a_service_that_is_well_has_nothing_wrong_with_it(service: Machine) -> None:
    code, found = examined(service)
    assert errors(found) == []
    assert code == 0
    assert found.keys() == {"settings", "redis", "workers", "callbacks", "upstream", "files"}
    code, text = run(service, "doctor")
    assert (code, "ERROR" in text) == (0, False)
    assert "accepts the key" in text


@pytest.mark.parametrize(
    ("more", "check", "says"),
    [
        ({"GATEWAY_UPSTREAM_KEY": "wrong-key-canary"}, "upstream", "refuses the key"),
        ({"GATEWAY_UPSTREAM_ACCOUNTS": SECOND}, "upstream", "refuses the key of account second"),
        ({"GATEWAY_UPSTREAM_URL": "http://127.0.0.1:1"}, "upstream", "no answer"),
        ({"GATEWAY_BLOB_DIR": "/nowhere/at/all"}, "files", "No such file"),
        ({"GATEWAY_REDIS_URL": "redis://:pw-canary@127.0.0.1:1/0"}, "redis", "Redis"),
        ({"GATEWAY_UPSTREAM_SLOTS": "many"}, "settings", "GATEWAY_UPSTREAM_SLOTS"),
    ],
    ids=["key", "second key", "upstream", "blobs", "redis", "setting"],
)
def test_what_is_wrong_is_named_with_a_way_out_and_no_secret(
    service: Machine, more: dict[str, str], check: str, says: str
) -> None:
    code, found = examined(service, **more)
    assert code == 1
    named = [(text, fix) for name, text, fix in errors(found) if name == check]
    assert named
    assert says in named[0][0]
    assert all(fix for _, fix in named)
    assert "canary" not in json.dumps(found)


def test_a_bucket_is_written_and_read_and_one_that_is_away_is_named(service: Machine, s3: S3Server) -> None:
    place = {"GATEWAY_MEDIA_URL": f"s3://{s3.new_bucket()}/media", "GATEWAY_BLOB_DIR": "blobs"}
    code, found = examined(service, **s3.environment, **place)
    assert (code, errors(found)) == (0, [])
    assert f"the bucket {place['GATEWAY_MEDIA_URL']} can be written and read" in found["files"][0]["text"]
    away = s3.environment | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    code, found = examined(service, **away, **place)
    [(name, text, fix)] = errors(found)
    assert (code, name, "AWS_*" in fix) == (1, "files", True)
    assert text.endswith("a file could not be written: no connection to the bucket")
    assert "canary" not in json.dumps(found)


def test_a_public_url_that_leads_elsewhere_is_named(service: Machine) -> None:
    for url, says in (
        (f"http://127.0.0.1:{free_port()}", "nothing answers"),
        (service.sandbox, "something else"),
    ):
        code, found = examined(service, GATEWAY_PUBLIC_URL=url)
        assert code == 1
        assert [text for name, text, _ in errors(found) if name == "callbacks" and says in text]


def test_a_redis_that_could_forget_is_named(service: Machine) -> None:
    with redis.Redis.from_url(service.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            code, found = examined(service)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert code == 1
    [(name, text, fix)] = errors(found)
    assert (name, "allkeys-lru" in text, "noeviction" in fix) == ("redis", True, True)


def test_a_store_of_several_servers_is_described_and_each_sentinel_asked(
    service: Machine, tmp_path: Path
) -> None:
    with servers(tmp_path) as made:
        first = made.start()
        replicate(made, first)
        sentinel = made.start_sentinel("main", first)
        url = f"redis+sentinel://gw:canary@127.0.0.1:{sentinel},127.0.0.1:1/main"
        with made.at(first) as client:
            client.acl_setuser("gw", enabled=True, passwords=["+canary"], keys=["*"], categories=["+@all"])
        _, asked = examined(service, GATEWAY_REDIS_URL=url)
        _, found = examined(service, GATEWAY_REDIS_URL=url, GATEWAY_DURABILITY="replicated")
        plain = f"redis://127.0.0.1:{first}"
        _, unsafe = examined(service, GATEWAY_REDIS_URL=plain)
    assert [fix for _, _, fix in errors(asked | {"workers": []})] == ["set GATEWAY_DURABILITY=replicated"]
    assert [one["fix"] for one in unsafe["redis"] if "a failover loses acknowledged" in one["text"]] == [
        "set GATEWAY_DURABILITY=replicated, unless nothing ever fails over to them"
    ]
    shown = {one["text"]: one for one in found["redis"]}
    assert any(
        text.startswith(f"sentinel: primary 127.0.0.1:{first}, 1 replica; the furthest ") for text in shown
    )
    warned = [one for one in found["redis"] if one["level"] == "warning"]
    for says in ("127.0.0.1:1 does not answer", "names 2 of the sentinels", "min-replicas-to-write is 0"):
        assert [bool(one["fix"]) for one in warned if says in one["text"]] == [True]
    assert errors(found | {"workers": []}) == []
    assert "canary" not in json.dumps(found)


def test_the_status_is_one_reading(service: Machine) -> None:
    key = service.make_key("ops", [Scope.OPS_READ])
    code, text = run(service, "status", "--url", service.gateway, VIDU_GATEWAY_OPS_KEY=key)
    assert code == 0
    assert "submit" in text
    assert "deliver" in text
    code, text = run(service, "status", "--url", service.gateway, "--json", VIDU_GATEWAY_OPS_KEY=key)
    assert json.loads(text)["object"] == "overview"
    assert run(service, "status", "--url", service.gateway, VIDU_GATEWAY_OPS_KEY="")[0] == 2
    code, text = run(service, "status", "--url", service.gateway, VIDU_GATEWAY_OPS_KEY=service.key)
    assert (code, "ops:read" in text, "Traceback" in text) == (1, True, False)


def test_operators_work_from_the_command_line(service: Machine) -> None:
    key = service.make_key("ops", [Scope.OPS_READ, Scope.OPS_WRITE])
    where = {"VIDU_GATEWAY_OPS_KEY": key, "VIDU_GATEWAY_URL": service.gateway}
    assert run(service, "accounts", "pause", "--reason", "a test", **where) == (
        0,
        f"main is paused, 0 of 5 slots, by {key.split('_')[1]}: a test\n",
    )
    status, job, _ = call("POST", f"{service.gateway}/v1/jobs", service.key, ORDER)
    assert status == 202
    code, text = run(service, "jobs", "show", job["id"], **where)
    assert (code, "accepted and stored durably" in text) == (0, True)
    assert run(service, "jobs", "cancel", job["id"], **where) == (0, f"{job['id']} is canceled\n")
    code, text = run(service, "jobs", "resolve", job["id"], "--action", "fail", **where)
    assert (code, "the job is canceled" in text) == (1, True)
    assert run(service, "jobs", "unknown", **where) == (0, "none\n")
    assert run(service, "deliveries", "list", "--tenant", "acme", **where) == (0, "none\n")
    assert run(service, "subscribers", "paused", **where) == (0, "none\n")
    subscriber = f"url-{'0' * 20}"
    code, text = run(service, "subscribers", "pause", subscriber, "--reason", "a test", **where)
    assert (code, text) == (0, f"{subscriber} is paused; 1 paused in total\n")
    code, text = run(service, "subscribers", "paused", "--json", **where)
    assert (code, json.loads(text)["data"][0]["id"]) == (0, subscriber)
    assert run(service, "subscribers", "resume", **where) == (0, "0 are still paused\n")
    assert run(service, "accounts", "resume", "main", **where) == (0, "main is active, 0 of 5 slots\n")
    code, text = run(service, "accounts", "show", "--json", **where)
    assert json.loads(text)["paused"] is False
    code, text = run(service, "accounts", "list", "--json", **where)
    assert [account["name"] for account in json.loads(text)["data"]] == ["main"]
    code, text = run(service, "accounts", "show", "nobodys", **where)
    assert (code, "no account" in text) == (1, True)


def test_each_worker_process_is_shown_and_more_processes_than_cores_are_a_warning(service: Machine) -> None:
    _, found = examined(service, GATEWAY_PROCESSES="64")
    [shown] = [one["text"] for one in found["workers"]]
    assert f" {service.processes['workers'].pid})" in shown
    warned = [one for one in found["settings"] if "GATEWAY_PROCESSES=64" in one["text"]]
    assert [(one["level"], bool(one["fix"])) for one in warned] == [("warning", True)]


def test_no_worker_is_named(service: Machine, tmp_path: Path) -> None:
    service.stop("workers")
    with redis.Redis.from_url(service.url) as client:
        client.set("{gw}:swept", "0")
    code, found = examined(service)
    assert code == 1
    assert [text for name, text, _ in errors(found) if name == "workers" and "no worker is running" in text]
    service.start_workers()
