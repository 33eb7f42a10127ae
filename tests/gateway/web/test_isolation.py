"""No tenant sees or touches what is another's, by whatever route: it is as if it were not there.

The routes come from the application itself: one that is added without an id to swap fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.jobs import confirm_ticket, submit_ticket
from gateway.resources import Resources
from gateway.settings import Settings
from gateway.web.app import create_app
from tests.gateway.generation.media_samples import image
from tests.gateway.web.conftest import BODY, MakeKey, connected

#: What a route needs beside the id, so that nothing but the id can be wrong.
_BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/endpoints/{endpoint_id}"): {"description": "mine"},
    ("POST", "/v1/endpoints/{endpoint_id}/rotate"): {},
    ("POST", "/v1/endpoints/{endpoint_id}/recover"): {"since": "2026-01-01T00:00:00Z"},
    ("POST", "/v1/jobs/{job_id}/links"): {},
}
_ID = re.compile(r"\{(\w+)\}")
#: How paths of clients begin.
_KEYED = ("/v1/", "/model/")


#: They look nothing up: a model is everybody's, and the others are refused whatever they name.
_NOBODY_S = ("/v1/models/{model}", "/v1/videos/characters/{character_id}", "/v1/videos/{job_id}/remix")


def routes() -> Iterator[tuple[str, str]]:
    """(method, path) of every route of clients that names something by its id."""
    settings = Settings.model_validate({"secret_keys": "k1:" + "A" * 43 + "=", "upstream_key": "x"})
    for route in create_app(settings).routes:
        if not isinstance(route, Route) or route.path in _NOBODY_S:
            continue
        if route.path.startswith(_KEYED) and _ID.search(route.path):
            yield from ((method, route.path) for method in sorted((route.methods or set()) - {"HEAD"}))


@dataclass
class Belongings:
    """What a tenant has, by the name of its id in a path."""

    ids: dict[str, str]
    client: httpx.AsyncClient


async def belongings(client: httpx.AsyncClient, resources: Resources) -> Belongings:
    """A job that failed, the endpoint that was notified, the delivery, a recovery of that endpoint, and an
    upload."""
    made = await client.post("/v1/endpoints", json={"url": "http://127.0.0.1:9000/hook"})
    assert made.status_code == 201, made.text
    endpoint = made.json()["id"]
    posted = (await client.post("/v1/jobs", json=BODY)).json()
    job = await resources.jobs.read(posted["id"])
    assert job is not None
    await resources.settlement.cancel(job, [submit_ticket(job), confirm_ticket(job)])
    [owed] = (await client.get(f"/v1/jobs/{job.id}/deliveries")).json()["data"]
    begun = await client.post(f"/v1/endpoints/{endpoint}/recover", json={"since": posted["created_at"]})
    assert begun.status_code == 202, begun.text
    uploaded = await client.post("/v1/uploads", content=image(), headers={"Content-Type": "image/png"})
    assert uploaded.status_code == 201, uploaded.text
    ids = {
        "job_id": job.id,
        "upload_id": uploaded.json()["id"],
        "endpoint_id": endpoint,
        "delivery_id": owed["id"],
        "recovery_id": begun.json()["id"],
    }
    return Belongings(ids, client)


def nobody_s(name: str) -> str:
    """Of the same form."""
    return name[:-1] + ("1" if name[-1] == "0" else "0")


def without(text: str, name: str) -> str:
    return text.replace(name, "ID")


@pytest.mark.parametrize(("method", "path"), list(routes()))
async def test_another_tenant_s_id_is_answered_as_one_that_nobody_has(
    app: Starlette, make_key: MakeKey, resources: Resources, method: str, path: str
) -> None:
    async with (
        connected(app, await make_key("acme")) as mine,
        connected(app, await make_key("zeta")) as theirs,
    ):
        owned = await belongings(mine, resources)
        [name] = _ID.findall(path)
        assert name in owned.ids, f"{path} names something that this test does not make"
        found = []
        for one in (owned.ids[name], nobody_s(owned.ids[name])):
            answer = await theirs.request(method, _ID.sub(one, path), json=_BODIES.get((method, path)))
            kept = {
                k: v
                for k, v in answer.headers.items()
                if k not in ("x-request-id", "request-id", "content-length")
            }
            text = answer.text.replace(answer.headers["x-request-id"], "REQUEST")
            found.append((answer.status_code, kept, without(text, one)))
        assert found[0] == found[1]
        assert found[0][0] == 404


async def test_lists_show_each_tenant_its_own(
    app: Starlette, make_key: MakeKey, resources: Resources
) -> None:
    async with (
        connected(app, await make_key("acme")) as mine,
        connected(app, await make_key("zeta")) as theirs,
    ):
        owned, others = await belongings(mine, resources), await belongings(theirs, resources)
        for path in (
            "/v1/jobs",
            "/v1/uploads",
            "/v1/endpoints",
            "/v1/deliveries",
            f"/v1/deliveries?job={owned.ids['job_id']}",
        ):
            text = (await theirs.get(path)).text
            assert not [one for one in owned.ids.values() if f'"{one}"' in text], path
        assert others.ids["job_id"] in (await theirs.get("/v1/jobs")).text


async def test_a_key_of_idempotency_is_its_tenant_s_own(app: Starlette, make_key: MakeKey) -> None:
    async with (
        connected(app, await make_key("acme")) as mine,
        connected(app, await make_key("zeta")) as theirs,
    ):
        posted = [
            (await one.post("/v1/jobs", json=BODY, headers={"Idempotency-Key": "order-7"})).json()["id"]
            for one in (mine, theirs)
        ]
    assert posted[0] != posted[1]
