"""P4, P5: each subscriber is notified, under one id, whatever hits workers, Redis and other subscribers."""

from __future__ import annotations

import asyncio
import base64
import importlib
import itertools
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from standardwebhooks import WebhookVerificationError

from tests.effort import scaled
from tests.extras import missing
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine
from tests.promises.conftest import SHORT, eventually
from tests.promises.hooks import HANG, Hooks, listening
from tests.publisher import event_of, publisher, start_deliverers

pytestmark = pytest.mark.processes

#: Its argument is a file: headers, body (base64) and secret, as JSON. It needs what node brings along alone.
VERIFY_IN_NODE = """
const crypto = require('crypto');
const {headers, body, secret} = JSON.parse(require('fs').readFileSync(process.argv[1]));
const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
const text = Buffer.concat([
  Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`), Buffer.from(body, 'base64')]);
const wanted = Buffer.from('v1,' + crypto.createHmac('sha256', key).update(text).digest('base64'));
const found = headers['webhook-signature'].split(' ').some((given) => {
  const bytes = Buffer.from(given);
  return bytes.length === wanted.length && crypto.timingSafeEqual(bytes, wanted);
});
process.exit(found ? 0 : 1);
"""


@pytest.fixture
def service(tmp_path: Path, nursery: Nursery) -> Iterator[Machine]:
    """Nothing is started yet; no test here needs an upstream."""
    with machine(tmp_path, nursery, restricted=True) as made:
        made.environment |= SHORT
        yield made


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with listening() as made:
        yield made


def start(service: Machine, **more: str) -> None:
    service.environment |= more
    service.start_gateway()
    start_deliverers(service)


def ask(service: Machine, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """What was answered to a request that must succeed."""
    status, answer, _ = call(method, f"{service.gateway}{path}", service.key, body)
    assert 200 <= status < 300, answer
    return answer


def register(service: Machine, url: str, **fields: object) -> dict[str, Any]:
    return ask(service, "POST", "/v1/endpoints", {"url": url, **fields})


def publish(service: Machine, **fields: object) -> str:
    """A job that is canceled while it waits; the id of its event."""
    job = ask(service, "POST", "/v1/jobs", {**ORDER, **fields})["id"]
    ask(service, "POST", f"/v1/jobs/{job}/cancel")
    return f"evt_{job.removeprefix('job_')}_canceled"


def owed(service: Machine, endpoint: dict[str, Any], state: str | None = None) -> list[dict[str, Any]]:
    """The endpoint's deliveries, in this state, each with its log."""
    asked = f"&state={state}" if state else ""
    found = ask(service, "GET", f"/v1/deliveries?limit=100&endpoint={endpoint['id']}{asked}")["data"]
    return [ask(service, "GET", f"/v1/deliveries/{one['id']}") for one in found]


def test_one_that_hangs_and_one_that_is_not_there_hold_up_nobody(service: Machine, hooks: Hooks) -> None:
    slots = {"GATEWAY_DELIVERY_SLOTS": "10", "GATEWAY_DELIVERY_ENDPOINT_SLOTS": "4"}
    start(service, GATEWAY_DELIVERY_TIMEOUT_SECONDS="100", **slots)
    hooks.always("/hangs", HANG)
    register(service, hooks.url("/hangs"))
    absent = register(service, f"http://127.0.0.1:{free_port()}/hook")
    healthy = ["/a", "/b", "/c"]
    for path in healthy:
        register(service, hooks.url(path))
    publish(service)
    eventually(lambda: bool(hooks.at("/hangs")))
    events = {publish(service) for _ in range(20)}
    for path in healthy:
        eventually(lambda path=path: events <= set(hooks.received(path)))  # type: ignore[misc]
    # Not one attempt at it has come to its end, and it holds what one endpoint may hold.
    assert {one.answer for one in hooks.at("/hangs")} == {HANG}
    assert len(hooks.at("/hangs")) == 4
    eventually(lambda: any(one["attempts"] for one in owed(service, absent)))
    assert {one["state"] for one in owed(service, absent)} == {"pending"}
    for path in healthy:
        assert max(Counter(hooks.received(path)).values()) == 1


def test_retries_come_in_the_order_in_which_they_became_due(service: Machine, hooks: Hooks) -> None:
    start(service, GATEWAY_DELIVERY_TIMEOUT_SECONDS="100")
    seen: Counter[str] = Counter()
    blocking: list[str] = []

    def answer(event: str) -> int:
        seen[event] += 1
        if len(seen) <= 5 and seen[event] == 1:
            return 500
        blocking[:] = blocking or [event]
        return HANG if event == blocking[0] else 204

    hooks.by_event("/one", answer)
    endpoint = register(service, hooks.url("/one"), slots=1, schedule=[5])
    failed = [publish(service) for _ in range(5)]
    eventually(lambda: len(hooks.at("/one")) == 5)
    last = publish(service)  # takes the only slot, until all retries are due
    eventually(lambda: blocking == [last])
    due = {
        one["event"]["id"]: datetime.fromisoformat(one["next_attempt_at"])
        for one in owed(service, endpoint)
        if one["next_attempt_at"]
    }
    assert set(due) == set(failed)
    eventually(lambda: datetime.now(UTC) > max(due.values()) + timedelta(seconds=0.2))
    hooks.release()
    eventually(lambda: set(failed) <= set(hooks.received("/one")))
    order = [event for event in hooks.received("/one") if event in due]
    # The store's clock and the worker's may order two that are due within some milliseconds otherwise.
    slack = timedelta(seconds=0.05)
    assert all(due[one] <= due[other] + slack for one, other in itertools.pairwise(order))


def test_a_dead_letter_that_is_sent_again_keeps_its_id_and_its_bytes(service: Machine, hooks: Hooks) -> None:
    start(service)
    hooks.first("/dies", 500)
    endpoint = register(service, hooks.url("/dies"), schedule=[])
    event = publish(service)
    eventually(lambda: bool(owed(service, endpoint, "dead")))
    [dead] = owed(service, endpoint)
    ask(service, "POST", f"/v1/deliveries/{dead['id']}/redeliver")
    eventually(lambda: bool(owed(service, endpoint, "delivered")))
    first, second = hooks.at("/dies")
    assert (first.event_id, first.body) == (second.event_id, second.body)
    assert second.event_id == event
    [delivered] = owed(service, endpoint)
    assert (delivered["id"], delivered["trigger"]) == (dead["id"], "manual")
    assert [entry["status"] for entry in delivered["log"]] == [500, 204]


def test_what_was_held_while_it_was_gone_is_recovered_once_it_is_back(service: Machine, hooks: Hooks) -> None:
    start(service)
    hooks.first("/gone", 410)
    endpoint = register(service, hooks.url("/gone"))
    path = f"/v1/endpoints/{endpoint['id']}"
    held = [publish(service)]
    eventually(lambda: ask(service, "GET", path)["disabled_at"] is not None)
    held += [publish(service) for _ in range(3)]
    eventually(lambda: len(owed(service, endpoint, "held")) == 4)
    ask(service, "PATCH", path, {"disabled": False})
    live = publish(service)
    eventually(lambda: hooks.received("/gone") == [live])
    assert len(owed(service, endpoint, "held")) == 4
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    recovery = ask(service, "POST", f"{path}/recover", {"since": since})
    eventually(lambda: len(owed(service, endpoint, "delivered")) == 5)
    assert sorted(hooks.received("/gone")) == sorted([*held, live])
    eventually(lambda: ask(service, "GET", f"/v1/recoveries/{recovery['id']}")["state"] == "done")
    assert ask(service, "GET", f"/v1/recoveries/{recovery['id']}")["done"] == 4


def test_while_two_secrets_are_valid_webhooks_verify_with_both(service: Machine, hooks: Hooks) -> None:
    start(service)
    endpoint = register(service, hooks.url("/turns"))
    path = f"/v1/endpoints/{endpoint['id']}/rotate"
    first = endpoint["secret"]
    second = ask(service, "POST", path, {"overlap_seconds": 3600})["secret"]
    publish(service)
    eventually(lambda: len(hooks.at("/turns")) == 1)
    third = ask(service, "POST", path, {"overlap_seconds": 0})["secret"]
    publish(service)
    eventually(lambda: len(hooks.at("/turns")) == 2)
    during, after = hooks.at("/turns")
    assert during.verified(first) == during.verified(second) == during.event
    assert after.verified(third) == after.event
    for arrival, secret in ((during, third), (after, first), (after, second)):
        with pytest.raises(WebhookVerificationError):
            arrival.verified(secret)


def test_a_worker_that_is_killed_in_mid_attempt_leaves_nothing_undelivered(
    service: Machine, hooks: Hooks
) -> None:
    start(service, GATEWAY_LEASE_SECONDS="1")
    hooks.always("/slow", HANG)
    endpoint = register(service, hooks.url("/slow"))
    events = [publish(service) for _ in range(3)]
    eventually(lambda: len(hooks.at("/slow")) == 3)
    service.kill("deliver")
    hooks.release()
    start_deliverers(service)
    eventually(lambda: len(owed(service, endpoint, "delivered")) == 3)
    assert sorted(hooks.received("/slow")) == sorted(events)
    for event in events:
        again = [one for one in hooks.at("/slow") if one.event_id == event]
        assert len(again) == 2
        assert len({one.body for one in again}) == 1


@pytest.mark.timeout(400)  # it has much to do, on a machine that may have more to do
def test_of_hundreds_that_are_owed_a_restart_of_redis_loses_none(service: Machine, hooks: Hooks) -> None:
    endpoints, each = scaled(100), 4  # few for each: none fails so often that its lane is paused
    start(service, GATEWAY_DELIVERY_SCHEDULE_SECONDS=",".join(["5"] * 9))
    hooks.everywhere(500)

    async def fill() -> list[str]:
        async with publisher(service) as told:
            for number in range(endpoints):
                await told.endpoint("acme", hooks.url(f"/{number}"))
            jobs = await told.accept(["acme"] * each)
            await told.publish(jobs)
            return [event_of(job) for job in jobs]

    def answered(status: int) -> set[tuple[str, str]]:
        return {(one.path, one.event_id) for one in hooks.all() if one.answer == status}

    owed = {(f"/{number}", event) for event in asyncio.run(fill()) for number in range(endpoints)}
    half = len(owed) // 2  # wait for a retry; of the others some are under way and some were not tried
    eventually(lambda: len(hooks.all()) >= half and len(answered(500)) >= half, 150)
    service.kill_valkey()
    before = len(hooks.all())
    hooks.everywhere(204)
    service.start_valkey()
    eventually(lambda: len(hooks.all()) >= before + half and answered(204) >= owed, 150)
    with redis.Redis.from_url(service.url, decode_responses=True) as client:
        eventually(lambda: client.hget("{gw}:counts", "delivery:delivered") == str(len(owed)))


@pytest.mark.parametrize("verifier", ["standardwebhooks", "svix", "node"])
def test_webhooks_verify_with_what_subscribers_use(
    service: Machine, hooks: Hooks, verifier: str, tmp_path: Path
) -> None:
    verifies = verifier_named(verifier, tmp_path)
    start(service)
    secret = register(service, hooks.url("/signed"))["secret"]
    publish(service, payload="视频完成 ✓")
    eventually(lambda: bool(hooks.at("/signed")))
    [arrival] = hooks.at("/signed")
    assert "视频完成 ✓".encode() in arrival.body
    assert verifies(secret, arrival.body, arrival.headers)
    assert not verifies(secret, arrival.body + b" ", arrival.headers)


def verifier_named(name: str, folder: Path) -> Callable[[str, bytes, dict[str, str]], bool]:
    if name != "node":
        library = importlib.import_module(f"{name}.webhooks")

        def by_library(secret: str, body: bytes, headers: dict[str, str]) -> bool:
            try:
                library.Webhook(secret).verify(body, headers)
            except library.WebhookVerificationError:
                return False
            return True

        return by_library
    node = shutil.which("node") or missing("node, with which subscribers verify webhooks")

    def by_node(secret: str, body: bytes, headers: dict[str, str]) -> bool:
        file = folder / "webhook.json"
        told = {"headers": headers, "body": base64.b64encode(body).decode(), "secret": secret}
        file.write_text(json.dumps(told))
        return subprocess.run([node, "-e", VERIFY_IN_NODE, str(file)], check=False).returncode == 0

    return by_node
