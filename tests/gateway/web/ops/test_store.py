"""A store of several servers is shown: to probes, to Prometheus, and to operators, also in the browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web.schemas import overview
from gateway.web.state import State
from tests.gateway.web.conftest import add_key, connected, serving
from tests.gateway.web.ops.test_health import samples
from tests.gateway.web.pages.conftest import sign_in
from tests.gateway.web.parsing import parsed
from tests.replicated import Servers, replicate, servers


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


@pytest.fixture
def primary(made: Servers) -> int:
    return made.start()


@pytest.fixture
def settings(settings: Settings, made: Servers, primary: int) -> Settings:
    replicate(made, primary)
    url = f"redis+sentinel://127.0.0.1:{made.start_sentinel('main', primary)}/main/0"
    return settings.model_copy(update={"redis_url": url, "durability": "replicated"})


@pytest.fixture
async def operator(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Signed in, with a key as well."""
    async with serving(settings) as app:
        state: State = app.state.gateway
        key = await add_key(state.resources, "platform", [Scope.OPS_READ])
        async with connected(app, key) as opened:
            await sign_in(opened, key)
            yield opened


async def test_everybody_who_watches_is_told_mode_primary_replicas_and_lag(
    operator: httpx.AsyncClient, primary: int
) -> None:
    place = f"127.0.0.1:{primary}"
    answer = await operator.get("/readyz")
    assert parsed(overview.Readiness, answer.content)["store"] == {"mode": "sentinel", "primary": place}
    found = parsed(overview.Overview, (await operator.get("/ops/api/overview")).content)
    shown = found["redis"]["replication"]
    assert (shown["mode"], shown["primary"], shown["role"]) == ("sentinel", place, "primary")
    assert (shown["replicas"], shown["syncing_replicas"]) == (1, 0)
    assert None not in (*shown["furthest"].values(), *shown["nearest"].values(), shown["replid"])
    metrics = samples((await operator.get("/metrics")).text)
    assert metrics["gateway_redis_info", "sentinel", place, "primary"] == 1
    assert (metrics["gateway_redis_replicas",], metrics["gateway_redis_replicas_syncing",]) == (1, 0)
    for which in ("furthest", "nearest"):
        assert metrics["gateway_redis_replica_lag_bytes", which] >= 0
        assert metrics["gateway_redis_replica_lag_seconds", which] >= 0
    page = re.sub(r"<[^>]*>|\s+", " ", (await operator.get("/ops")).text)
    page = " ".join(page.split())
    assert f"primary {place} mode sentinel replicas 1 furthest replica" in page


async def test_without_replicas_no_lag_is_shown(settings: Settings, made: Servers) -> None:
    single = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{made.start()}/0"})
    async with serving(single) as app, connected(app) as nobody:
        metrics = samples((await nobody.get("/metrics")).text)
    assert metrics["gateway_redis_replicas",] == 0
    assert not any(name[0].startswith("gateway_redis_replica_lag") for name in metrics)
