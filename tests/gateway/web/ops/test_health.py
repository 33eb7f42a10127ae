"""Liveness, readiness, metrics, and what is left without Redis."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.settings import Settings
from gateway.store import keys
from gateway.tenants import Key, Scope, digest_of, new_key
from gateway.web.state import State
from tests.gateway.web.conftest import BODY, connected, serving

ROOT = Path(__file__).parents[4]
GUIDE = ROOT / "docs" / "operations.md"
PRODUCT = [
    path
    for name in ("gateway", "workers")
    for kind in ("*.py", "*.lua")
    for path in (ROOT / name).rglob(kind)
]
#: What is counted, as in `tally=["submissions|accepted"]` or `'tally', 'quarantined|'`.
TALLY = re.compile(r"""(?:\[f?|append\(|else |log.tally\()["']([a-z_]+)\|""")


def samples(text: str) -> dict[tuple[str, ...], float]:
    """{(name, label value, ...): value}"""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The server of the tests keeps nothing."""
    return settings.model_copy(update={"durability": "assume"})


@pytest.fixture
async def lost(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a good key of a gateway whose Redis is away: its port answers nobody."""
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "redis_timeout_seconds": 0.8})
    async with serving(away) as app:
        state: State = app.state.gateway
        key_id, secret, text = new_key(state.resources.environment.entropy)
        key = Key(key_id, "acme", frozenset(Scope), digest_of(secret), "", 0)
        memory = state.resources.client_keys._remembered
        memory[key_id] = (state.resources.environment.monotonic(), key)
        async with connected(app, text) as client:
            yield client


async def test_it_is_alive_and_ready(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    answer = await nobody.get("/readyz")
    store = {"mode": "one server", "primary": None}  # behind a Unix socket
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "store": store})


async def test_without_redis_it_is_alive_but_not_ready(lost: httpx.AsyncClient) -> None:
    assert (await lost.get("/livez")).status_code == 200
    answer = await lost.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


async def test_on_a_redis_that_could_forget_it_is_not_ready_and_says_why(
    settings: Settings, empty_redis: None
) -> None:
    strict = settings.model_copy(update={"durability": "require"})
    async with serving(strict) as app, connected(app) as nobody:
        answer = await nobody.get("/readyz")
        assert answer.status_code == 503
        assert "appendonly is no" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs"),
        ("GET", f"/v1/jobs/job_{'0' * 26}?wait=30"),
        ("POST", f"/v1/jobs/job_{'0' * 26}/cancel"),
        ("POST", "/v1/endpoints"),
        ("GET", "/v1/endpoints"),
        ("GET", f"/ops/api/jobs/job_{'0' * 26}"),
        ("GET", "/ops/api/accounts/main"),
        ("POST", "/ops/api/accounts/main/resume"),
        ("GET", "/ops/api/events"),
        ("GET", "/ops/api/quarantine"),
        ("GET", "/ops/api/unknown"),
        ("GET", "/ops/api/tenants/acme"),
        ("GET", "/ops/api/state"),
    ],
)
async def test_without_redis_every_route_answers_503_with_retry_after_within_a_second(
    lost: httpx.AsyncClient, method: str, path: str
) -> None:
    body = {"url": "https://hooks.example.com/"} if "endpoints" in path else BODY
    async with asyncio.timeout(1):
        answer = await lost.request(method, path, json=body if method == "POST" else None)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


async def test_a_redis_that_does_not_answer_is_503_within_a_second(settings: Settings) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    away = settings.model_copy(
        update={"redis_url": f"redis://127.0.0.1:{port}/0", "redis_timeout_seconds": 0.4}
    )
    async with server, serving(away) as app, connected(app) as nobody:
        async with asyncio.timeout(2):
            assert (await nobody.get("/readyz")).status_code == 503


async def test_a_check_needs_no_redis_once_the_key_is_known(lost: httpx.AsyncClient) -> None:
    assert (await lost.post("/v1/jobs/check", json=BODY)).status_code == 200


async def test_metrics_show_phases_queues_slots_and_traffic(
    client: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    for _ in range(7):
        await client.post("/v1/jobs", json=BODY)
    answer = await nobody.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = samples(answer.text)
    assert found["gateway_redis_up",] == 1
    assert found["gateway_jobs", "queued"] == 7
    assert found["gateway_jobs", "completed"] == 0
    assert found["gateway_deliveries", "dead"] == 0
    assert found["gateway_slots", "submit"] == found["gateway_slots_in_use", "submit"] == 5
    assert found["gateway_queue_depth", "submit"] == 2
    assert found["gateway_due", "confirm"] == 0
    assert found["gateway_lease_overdue_seconds", "submit"] == 0
    assert found["gateway_workers",] == 0
    assert ("gateway_sweep_age_seconds",) not in found  # no worker has ever run
    assert found["gateway_redis_durable",] == 0
    assert (found["gateway_account_parked", "main"], found["gateway_account_slots", "main"]) == (0, 5)
    assert ("gateway_callback_path_age_seconds",) not in found  # no callback has ever come
    assert ("gateway_callback_path_unproven_seconds",) not in found  # and none was tried
    assert found["gateway_unknown_oldest_age_seconds",] == 0
    assert 0 <= found["gateway_redis_memory_ratio",] < 1
    assert found["gateway_http_requests_total", "/v1/jobs", "202"] == 7
    assert found["process_resident_memory_bytes",] > 0


async def test_a_paused_account_shows_with_the_slots_that_a_busy_upstream_left(
    state: State, nobody: httpx.AsyncClient
) -> None:
    await state.resources.redis.hset(keys.account("main"), mapping={"parked_at": 1, "slots": 2})  # type: ignore[misc]
    found = samples((await nobody.get("/metrics")).text)
    assert (found["gateway_account_parked", "main"], found["gateway_account_slots", "main"]) == (1, 2)


async def test_slots_that_came_back_since_the_cut_and_a_hold_show(
    state: State, nobody: httpx.AsyncClient
) -> None:
    assert samples((await nobody.get("/metrics")).text)["gateway_account_held", "main"] == 0
    redis, interval = state.resources.redis, state.resources.settings.account_retry_seconds
    seconds, _ = await redis.time()
    cut = {"slots": 1, "cut_at": int((seconds - 2.5 * interval) * 1000), "hold_until": (seconds + 60) * 1000}
    await redis.hset(keys.account("main"), mapping=cut)  # type: ignore[misc]
    found = samples((await nobody.get("/metrics")).text)
    assert (found["gateway_account_held", "main"], found["gateway_account_slots", "main"]) == (1, 3)


async def test_more_slots_than_are_configured_now_do_not_show(
    state: State, nobody: httpx.AsyncClient
) -> None:
    await state.resources.redis.hset(keys.account("main"), "slots", "9")  # type: ignore[misc]
    assert samples((await nobody.get("/metrics")).text)["gateway_account_slots", "main"] == 5


async def test_what_must_never_happen_shows_before_it_does(state: State, nobody: httpx.AsyncClient) -> None:
    found = samples((await nobody.get("/metrics")).text)
    for name in ("callback_lost", "late_results", "duplicate_spend"):
        assert found[f"gateway_{name}_total",] == 0
    for outcome in ("ahead", "orphan"):
        assert found["gateway_rollback_seen_total", outcome] == 0
    for outcome in ("ahead", "crossed", "distrusted", "orphan", "unreadable"):
        assert found["gateway_quarantined_total", outcome] == 0
    counted = {"callback_lost": 2, "late_results|told": 3, "rollback_seen|ahead": 4, "of_tomorrow|x": 5}
    await state.resources.redis.hset(keys.TALLY, mapping=counted)  # type: ignore[misc]
    found = samples((await nobody.get("/metrics")).text)
    assert found["gateway_callback_lost_total",] == 2
    assert found["gateway_late_results_total",] == 3
    assert found["gateway_rollback_seen_total", "ahead"] == 4
    assert found["gateway_of_tomorrow_total", "x"] == 5


async def test_metrics_never_hold_a_path_that_somebody_made_up(nobody: httpx.AsyncClient) -> None:
    await nobody.post("/callbacks/some-token")
    await nobody.get("/some-path")
    text = (await nobody.get("/metrics")).text
    assert "some-" not in text
    found = samples(text)
    assert found["gateway_http_requests_total", "/callbacks/{token}", "404"] == 1
    assert found["gateway_callback_requests_total", "forged"] == 1


async def test_without_redis_metrics_still_show_what_the_process_knows(lost: httpx.AsyncClient) -> None:
    await lost.get("/v1/jobs")
    answer = await lost.get("/metrics")
    assert answer.status_code == 200
    found = samples(answer.text)
    assert found["gateway_redis_up",] == 0
    assert found["gateway_http_requests_total", "/v1/jobs", "503"] == 1
    assert not any(name[0] == "gateway_jobs" for name in found)
    assert not any(name[0] == "gateway_redis_durable" for name in found)


async def test_no_metric_shows_a_time_since_1970(state: State, nobody: httpx.AsyncClient) -> None:
    """But for when this process started, which is a date by its name."""
    for _ in range(2):
        found = samples((await nobody.get("/metrics")).text)
        ages = {name: value for name, value in found.items() if name[0] != "process_start_time_seconds"}
        assert {name for name, value in ages.items() if value > 1e9 and "seconds" in name[0]} == set()
        await state.resources.jobs.note_callback_probe()
        await state.resources.lanes.note_sweep()


async def test_every_metric_is_in_the_operations_guide(
    state: State, client: httpx.AsyncClient, nobody: httpx.AsyncClient
) -> None:
    await state.resources.jobs.note_callback_probe()
    text = (await nobody.get("/metrics")).text
    assert "`gateway_callback_path_unproven_seconds`" in GUIDE.read_text()
    assert "gateway_callback_path_unproven_seconds" in text
    await state.resources.jobs.note_callback_path()
    await state.resources.lanes.note_sweep()
    await client.post("/v1/jobs", json=BODY)
    await nobody.post("/callbacks/some-token")
    names = {name for path in PRODUCT for name in TALLY.findall(path.read_text())}
    assert names >= {"submissions", "callback_lost", "duplicate_spend", "quarantined", "rollback_seen"}
    await state.resources.redis.hset(keys.TALLY, mapping={f"{name}|x": 1 for name in names})  # type: ignore[misc]
    text = (await nobody.get("/metrics")).text
    found = {re.sub("_(bucket|sum|count)$", "", name[0]) for name in samples(text)}
    told = set(re.findall(r"`(gateway_[a-z_]+)[`{]", GUIDE.read_text()))
    missing = {name for name in found if name.startswith("gateway_")} - told
    assert missing == set()
