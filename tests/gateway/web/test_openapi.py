"""The API's document and the page that shows it."""

from __future__ import annotations

import re

import httpx
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.lifecycle import JobState
from gateway.web.openapi import document


def test_the_document_is_valid() -> None:
    validate(document())


def test_every_route_and_method_is_documented(app: Starlette) -> None:
    served = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in ("/docs", "/openapi.json")
        for method in route.methods or ()
        if method != "HEAD"
    }
    documented = {
        (path, method)
        for path, item in document()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert documented == served


def test_every_operation_tells_its_problems_and_its_key() -> None:
    for item in document()["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            problems = {int(status) for status in operation["responses"]} & set(range(400, 600))
            assert 500 in problems
            assert (401 in problems) == bool(operation["security"])


def test_limits_and_enums_are_those_of_the_code() -> None:
    schemas = document()["components"]["schemas"]
    duration = schemas["GenerationRequest"]["properties"]["duration"]
    assert (duration["minimum"], duration["maximum"]) == (0, 10)
    assert schemas["JobState"]["enum"] == list(JobState)


async def test_the_document_is_served(nobody: httpx.AsyncClient) -> None:
    assert (await nobody.get("/openapi.json")).json() == document()


async def test_the_page_asks_nothing_of_any_other_host(nobody: httpx.AsyncClient) -> None:
    page = await nobody.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    for link in links:
        assert link.startswith(("/", "data:"))
        if link.startswith("/"):
            assert (await nobody.get(link)).status_code == 200


async def test_the_licence_of_the_page_is_served_with_it(nobody: httpx.AsyncClient) -> None:
    assert "Apache License" in (await nobody.get("/docs/swagger-ui/LICENSE")).text


async def test_no_path_leads_out_of_the_folder(nobody: httpx.AsyncClient) -> None:
    for path in ("/docs/../app.py", "/docs/%2e%2e/app.py", "/docs/..%2fapp.py", "/docs/swagger-ui"):
        assert (await nobody.get(path)).status_code == 404
