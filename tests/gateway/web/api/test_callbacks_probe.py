"""A probe of our own proves that the way by which callbacks come is open."""

from __future__ import annotations

import httpx

from gateway.callbacks import tokens
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.state import State
from tests.gateway.web.conftest import connected, serving, without_request_id


async def test_a_probe_shows_that_the_way_of_callbacks_is_open(
    nobody: httpx.AsyncClient, resources: Resources
) -> None:
    assert (await resources.jobs.witness()).last is None
    token = tokens.make_probe(resources.keyring, int(resources.environment.clock() // 60))
    assert (await nobody.get(f"/callbacks/probe/{token}")).status_code == 204
    assert (await resources.jobs.witness()).last is not None


async def test_a_bad_probe_is_the_404_of_a_bad_callback(
    nobody: httpx.AsyncClient, resources: Resources, state: State
) -> None:
    minute = int(resources.environment.clock() // 60)
    good = tokens.make_probe(resources.keyring, minute)
    old = tokens.make_probe(resources.keyring, minute - 5)
    job = tokens.make(resources.keyring, "acme", resources.environment.new_job_id(), 1)
    answers = [await nobody.get(f"/callbacks/probe/{token}") for token in (good[:-1], old, job, "x", "%00")]
    answers.append(await nobody.post(f"/callbacks/{good}"))
    assert {(answer.status_code, without_request_id(answer)) for answer in answers} == {
        (404, without_request_id(answers[0]))
    }
    assert state.request_counts.callbacks["forged"] == 6
    assert (await resources.jobs.witness()).last is None


async def test_a_probe_while_redis_is_away_is_503(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with serving(away) as app, connected(app) as nobody:
        resources = app.state.gateway.resources
        token = tokens.make_probe(resources.keyring, int(resources.environment.clock() // 60))
        assert (await nobody.get(f"/callbacks/probe/{token}")).status_code == 503
