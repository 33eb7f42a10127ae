"""What a posted job may ask for, what is kept of it meanwhile, and until when its video is there."""

from __future__ import annotations

from datetime import datetime, timedelta

import httpx
import pytest

from gateway.resources import Resources
from tests.gateway.web.api.test_jobs import complete, post
from tests.gateway.web.conftest import BODY


async def test_who_waits_gets_the_payload_read_again_instead_of_having_it_kept(
    client: httpx.AsyncClient, resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def payload(*_: object) -> str:
        return "from the store"

    monkeypatch.setattr(type(resources.jobs), "payload", payload)
    waited = await client.post("/v1/jobs", json={**BODY, "payload": "x"}, headers={"Prefer": "wait=1"})
    assert waited.json()["payload"] == "from the store"
    assert (await post(client, payload="x"))["payload"] == "x"


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/check"])
@pytest.mark.parametrize("address", ["169.254.169.254", "10.1.2.3", "[::ffff:10.1.2.3]"])
async def test_a_callback_url_that_would_never_be_dialled_is_refused(
    client: httpx.AsyncClient, address: str, path: str
) -> None:
    answer = await client.post(path, json={**BODY, "callback_url": f"http://{address}/x?token=sesame"})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["param"], error["code"]) == ("callback_url", "address_refused")
    assert "sesame" not in answer.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "https://hooks.example.com/x"])
async def test_a_callback_url_that_may_be_dialled_is_accepted(client: httpx.AsyncClient, url: str) -> None:
    assert (await post(client, callback_url=url))["callback_url"] == url


async def test_a_post_with_wait_in_its_query_is_referred_to_the_header(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/jobs?wait=5", json=BODY)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["message"] == "to wait, send the header Prefer: wait=N"


async def test_only_a_completed_job_shows_when_its_video_may_be_gone(
    client: httpx.AsyncClient, resources: Resources
) -> None:
    job = await post(client)
    assert job["expires_at_estimate"] is None
    await complete(resources, job["id"])
    seen = (await client.get(job["links"]["self"])).json()
    ended, expires = (datetime.fromisoformat(seen[name]) for name in ("finished_at", "expires_at_estimate"))
    assert expires - ended == timedelta(hours=1)
