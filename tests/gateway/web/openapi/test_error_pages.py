"""The catalogue of errors, the front page, and JSON for people."""

from __future__ import annotations

import re

import httpx
import orjson
import pytest

from gateway.web.http.problem_catalogue import CATALOGUE, types_of
from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES
from tests.gateway.web.conftest import BODY

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NAMES = {kind.name for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values())}


def test_every_type_of_problem_is_in_the_catalogue() -> None:
    assert set(CATALOGUE) == NAMES
    assert all(types_of(name) for name in NAMES)


def test_what_may_be_sent_again_is_what_says_when() -> None:
    for name, entry in CATALOGUE.items():
        status = types_of(name)[0].status
        again = status in (408, 429, 500, 503) or name == "result-not-ready"
        assert (entry.retry != "never") is again, name
        assert (entry.retry == "doubt") is (status >= 500 and status != 501), name


async def test_the_type_of_a_problem_leads_to_its_page(client: httpx.AsyncClient) -> None:
    problem = (await client.post("/v1/jobs", json={})).json()
    page = await client.get(problem["type"], headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert "lists every problem at once" in page.text
    found = (await client.get(problem["type"])).json()
    assert (found["type"], found["status"], found["retry"]) == (problem["type"], 422, "never")


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_every_error_has_a_small_page_and_json(nobody: httpx.AsyncClient, name: str) -> None:
    page = await nobody.get(f"/docs/errors/{name}", headers=BROWSER)
    assert (page.status_code, len(page.content) < 4000) == (200, True)
    assert f"<h1>{name}</h1>" in page.text
    assert (await nobody.get(f"/docs/errors/{name}")).json()["way_out"]


async def test_one_page_lists_all(nobody: httpx.AsyncClient) -> None:
    page = await nobody.get("/docs/errors", headers=BROWSER)
    assert set(re.findall(r'href="/docs/errors/([a-z-]+)"', page.text)) == NAMES
    assert {
        entry["type"].split("/")[-1] for entry in (await nobody.get("/docs/errors")).json()["data"]
    } == NAMES


async def test_an_error_that_does_not_exist_is_a_404(nobody: httpx.AsyncClient) -> None:
    answer = await nobody.get("/docs/errors/none")
    assert (answer.status_code, answer.json()["type"]) == (404, "/docs/errors/not-found")


async def test_a_problem_has_the_id_of_its_request(client: httpx.AsyncClient) -> None:
    for path in ("/v1/jobs?limit=0", "/nowhere", "/v1/jobs/x"):
        answer = await client.get(path)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_the_front_page_leads_on(nobody: httpx.AsyncClient) -> None:
    page = await nobody.get("/", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    found = (await nobody.get("/")).json()
    assert found["name"] == "vidu-gateway"
    for path in (found["docs"], found["openapi"], found["errors"], found["health"]):
        assert f'href="{path}"' in page.text
        assert (await nobody.get(path)).status_code in (200, 503)  # nobody beats for workers here


async def test_a_browser_and_who_asks_for_it_get_indented_json(client: httpx.AsyncClient) -> None:
    await client.post("/v1/jobs", json=BODY)
    plain = await client.get("/v1/jobs?limit=1")
    assert b"\n" not in plain.content
    for answer in (
        await client.get("/v1/jobs?limit=1&pretty"),
        await client.get("/v1/jobs?pretty=1&limit=1"),
        await client.get("/v1/jobs?limit=1", headers=BROWSER),
    ):
        assert answer.json() == plain.json()
        assert answer.content == orjson.dumps(
            answer.json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        )
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["vary"] == "accept"


@pytest.mark.parametrize("path", ["/", "/docs/errors", "/docs/errors/not-found"])
async def test_caches_keep_the_page_and_the_json_apart(nobody: httpx.AsyncClient, path: str) -> None:
    for accept in (BROWSER, {"accept": "*/*"}):
        assert (await nobody.get(path, headers=accept)).headers["vary"] == "accept"


async def test_errors_are_indented_too_and_an_unknown_parameter_stays_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/jobs?pretty&prettyy")
    assert [fault["param"] for fault in answer.json()["errors"]] == ["prettyy"]
    assert b"\n  " in answer.content


@pytest.mark.parametrize("accept", ["application/json, text/html", "*/*", "", "application/json"])
async def test_a_program_gets_json_in_one_line(client: httpx.AsyncClient, accept: str) -> None:
    answer = await client.get("/v1/jobs", headers={"accept": accept})
    assert b"\n" not in answer.content
    assert (await client.head("/v1/jobs?pretty")).status_code == 200
