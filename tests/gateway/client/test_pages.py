"""Lists that come in pages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, Job
from tests.gateway.client.scripted import KEY, Reply, scripted


def page(*ids: str, following: str | None = None) -> Reply:
    return Reply(200, {"data": [{"id": one, "status": "queued"} for one in ids], "next": following})


def test_the_first_item_is_asked_for_alone() -> None:
    async def first(url: str) -> Job | None:
        async with AsyncClient(url, KEY) as client:
            return await client.jobs.list().first()

    with scripted(page("job_2", following="/v1/jobs?after=job_2")) as server:
        with Client(server.url, KEY) as client:
            found = client.jobs.list(status="failed").first()
        assert found is not None
        assert found.id == "job_2"
        assert asyncio.run(first(server.url)) == found
    assert [one.path for one in server.asked] == ["/v1/jobs?status=failed&limit=1", "/v1/jobs?limit=1"]


def test_an_empty_list_has_no_first_item() -> None:
    with scripted(page()) as server, Client(server.url, KEY) as client:
        assert client.jobs.list().first() is None


def test_pages_are_joined() -> None:
    replies = (page("job_3", "job_2", following="/v1/jobs?after=job_2"), page("job_1"))
    with scripted(*replies) as server, Client(server.url, KEY) as client:
        listing = client.jobs.list(page_size=2)
        assert [one.id for one in listing] == ["job_3", "job_2", "job_1"]
    assert [one.path for one in server.asked] == ["/v1/jobs?limit=2", "/v1/jobs?after=job_2"]


def test_a_listing_says_how_it_is_read() -> None:
    with Client("http://127.0.0.1:1", KEY) as client:
        listing: Any = client.jobs.list()
        assert repr(listing) == "<Job items of /v1/jobs: use a loop, .first() or .pages()>"
        with pytest.raises(TypeError, match=r"use \.first\(\)"):
            listing[0]
        with pytest.raises(TypeError, match=r"use \.first\(\)"):
            next(listing)


def test_a_limit_is_no_filter() -> None:
    with Client("http://127.0.0.1:1", KEY) as client, pytest.raises(TypeError, match="pass page_size="):
        client.jobs.list(limit="5")
