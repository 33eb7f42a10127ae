"""The API's document and the page that shows it."""

from __future__ import annotations

import re
from dataclasses import replace

import httpx
import orjson
import pytest
from openapi_spec_validator import validate
from starlette.applications import Starlette
from starlette.routing import Route

from gateway import events, generation
from gateway.delivery import signing
from gateway.events import EventType
from gateway.lifecycle import DeliveryState, JobState
from gateway.web.api.examples import JOB_EXAMPLES
from gateway.web.api.routes import API
from gateway.web.doors.routes import OF_DOORS
from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES, URN
from gateway.web.openapi import door_documents
from gateway.web.pages.routes import PAGES
from gateway.web.schemas import jobs
from tests.gateway.test_jobs import FULL
from tests.gateway.web.parsing import document, parsed


def test_the_document_is_valid() -> None:
    validate(document())


@pytest.mark.parametrize("door", OF_DOORS)
async def test_a_door_has_a_document_of_its_own(door: str, nobody: httpx.AsyncClient) -> None:
    made = door_documents.document(door)
    validate(made)
    assert (await nobody.get(f"/openapi-{door}.json")).json() == made
    assert not made["paths"].keys() & document()["paths"].keys()


def test_every_route_and_method_is_documented_once(app: Starlette) -> None:
    apart = ("/docs", "/openapi.json", "/openapi-vtrix.json", *PAGES)
    served = sorted(
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path not in apart
        for method in route.methods or ()
        if method != "HEAD"
    )
    documented = sorted(
        (path, method)
        for made in (document(), *map(door_documents.document, OF_DOORS))
        for path, item in made["paths"].items()
        for method in item
        if method != "parameters"
    )
    assert documented == served


def test_every_operation_lists_its_problems_and_its_key() -> None:
    for item in document()["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            problems = {int(status) for status in operation["responses"]} & set(range(400, 600))
            assert 500 in problems
            if operation["operationId"] != "receiveCallback":  # a callback is authenticated by its signature
                assert (401 in problems) == bool(operation["security"])


def test_limits_and_enums_are_those_of_the_code() -> None:
    shapes = document()["components"]["schemas"]
    duration = shapes["GenerationRequest"]["properties"]["duration"]
    assert (duration["minimum"], duration["maximum"]) == (0, 10)
    assert shapes["Job"]["properties"]["phase"]["x-extensible-enum"] == list(JobState)


def test_what_may_get_new_values_is_no_closed_enumeration() -> None:
    shapes = document()["components"]["schemas"]
    for kind in (shapes["Event"]["properties"]["type"], shapes["DeliveredEvent"]["properties"]["type"]):
        assert kind["x-extensible-enum"] == list(EventType)
    for shape, field in (
        ("Event", "type"),
        ("DeliveredEvent", "type"),
        ("Job", "phase"),
        ("EventJob", "phase"),
    ):
        assert not {"enum", "$ref"} & shapes[shape]["properties"][field].keys()


def test_every_response_documents_the_headers_that_it_may_have() -> None:
    made = document()
    for item in made["paths"].values():
        for method, operation in item.items():
            if method == "parameters":
                continue
            metered = any(operation["operationId"] == one.id and one.metered for one in API)
            for response in operation["responses"].values():
                shown = made["components"]["responses"].get(
                    response.get("$ref", "").rpartition("/")[2], response
                )
                assert "X-Request-Id" in shown["headers"]
                assert (
                    not metered
                    or "$ref" in response
                    or {"RateLimit", "RateLimit-Policy"} <= shown["headers"].keys()
                )
    assert "Retry-After" in made["paths"]["/v1/jobs/{job_id}"]["get"]["responses"]["200"]["headers"]


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


@pytest.mark.parametrize("name", JOB_EXAMPLES)
def test_an_example_is_a_request_that_is_accepted(name: str) -> None:
    _, notices = generation.parse(orjson.dumps(JOB_EXAMPLES[name]["value"]), generation.Limits())
    assert notices == []


def test_one_example_shows_every_parameter() -> None:
    assert JOB_EXAMPLES["everything"]["value"].keys() == generation.GenerationRequest.model_fields.keys()


def test_every_event_is_documented_with_the_headers_that_are_signed() -> None:
    sent = signing.sign([f"whsec_{'A' * 32}"], "evt_1", 1_795_350_000, b"{}")
    webhooks = document()["webhooks"]
    assert webhooks.keys() == {*EventType, "endpoint.test"}
    for item in webhooks.values():
        assert {parameter["name"] for parameter in item["post"]["parameters"]} == {
            name.lower() for name in sent
        }


def test_a_late_result_is_an_event_of_the_documented_shape() -> None:
    late = {"at": "2026-11-22T08:00:00.123Z", "task_id": "task-1", "usage": None, "metadata": None}
    found = replace(FULL, late={**late, "output": [{"content": [{"type": "video", "url": "https://x"}]}]})
    event = parsed(jobs.Event, events.make_late(found, None, 1_795_334_400_007).body)
    assert event["type"] == EventType.LATE_RESULT
    assert event["data"]["late_result"] is not None


def test_what_operators_do_has_a_tag_of_its_own_and_needs_their_scopes() -> None:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and path.startswith("/ops/api/"):
                assert operation["tags"] == ["operators"]
                scope = "ops:read" if method == "get" else "ops:write"
                assert scope in operation["description"]


@pytest.mark.parametrize("payload", [None, "short", "x" * 20_000])
def test_an_event_has_the_documented_shape(payload: str | None) -> None:
    parsed(jobs.Event, events.make(FULL, payload).body)
    shape = document()["components"]["schemas"]["EventJob"]
    assert "default" not in shape["properties"]["payload_omitted"]
    assert shape["required"] == [
        name for name in shape["properties"] if name not in ("payload_omitted", "budgets")
    ]


def test_the_terms_have_the_schedule_that_is_kept() -> None:
    text = document()["info"]["description"]
    assert "5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h, 24 h" in text
    for word in (*DeliveryState, "webhook-id", "410", "at least once"):
        assert word in text


def test_every_type_of_problem_has_an_example_at_its_status() -> None:
    shown = set()
    for name, response in document()["components"]["responses"].items():
        for kind, example in response["content"]["application/problem+json"]["examples"].items():
            problem = parsed(jobs.Problem, orjson.dumps(example["value"]))
            assert (problem["type"], f"Problem{problem['status']}") == (URN + kind, name)
            assert problem["title"] in response["description"]
            names_one = problem["status"] == 429 or problem["type"].endswith(":budget-exceeded")
            assert ("limit" in problem) == names_one
            shown.add((problem["type"], problem["status"]))
    assert shown == {
        (URN + kind.name, kind.status) for kind in (*ERROR_TYPES.values(), *STATUS_TYPES.values())
    }
