"""Probes of our own callback route, by the URL that the upstream is given."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.callbacks import tokens
from gateway.store import keys
from tests.workers.conftest import Rig, end, eventually
from workers.probe import Prober

PUBLIC = "https://gateway.example.com"


def prober(rig: Rig, gap_seconds: float = 90) -> Prober:
    resources = rig.resources
    return Prober(resources.jobs, rig.upstream, resources.keyring, resources.environment, PUBLIC, gap_seconds)


async def test_a_probe_takes_the_way_of_callbacks_with_a_token_of_this_minute(rig: Rig) -> None:
    assert await prober(rig).probe()
    [url] = rig.upstream.probed
    base, _, token = url.rpartition("/")
    assert base == f"{PUBLIC}/callbacks/probe"
    minute = int(rig.clock() // 60)
    assert tokens.verify_probe(rig.resources.keyring, token, minute)
    assert not tokens.verify_probe(rig.resources.keyring, token, minute + 3)


async def test_a_probe_is_no_callback_of_any_job(rig: Rig) -> None:
    await prober(rig).probe()
    token = rig.upstream.probed[0].rpartition("/")[2]
    assert tokens.verify(rig.resources.keyring, token) is None


async def test_a_probe_that_is_not_answered_is_logged(rig: Rig) -> None:
    rig.upstream.probes.append(False)
    assert not await prober(rig).probe()


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_way_that_is_shut_is_logged_when_it_shuts_and_when_it_opens(rig: Rig, failures: int) -> None:
    rig.upstream.probes.extend([True, *[False] * failures, True])
    with capture_logs() as logged:
        running = asyncio.create_task(prober(rig, gap_seconds=0.003).run())

        async def probed() -> bool:
            return len(rig.upstream.probed) > failures + 2

        await eventually(probed)
        await end(running)
    assert [line["event"] for line in logged] == ["callback_path_shut", "callback_path_open"]


async def test_the_prober_itself_proves_nothing_the_gateway_does(rig: Rig) -> None:
    await prober(rig).probe()
    assert (await rig.resources.jobs.witness()).last is None


async def test_the_first_probe_is_remembered_so_that_never_yet_has_an_age(rig: Rig) -> None:
    gauges = rig.resources.gauges
    assert (await gauges.read()).callback_path_unproven_seconds is None
    await prober(rig).probe()
    redis = rig.resources.redis
    await redis.hincrby(keys.CALLBACK_PATH, "probed_at", -600_000)  # type: ignore[misc]
    await prober(rig).probe()
    found = await gauges.read()
    assert found.callback_path_unproven_seconds == pytest.approx(600, abs=30)
    assert found.callback_path_age_seconds is None
