"""The OpenAPI document and the client say the same."""

from __future__ import annotations

import dataclasses
import inspect
import pydoc
import typing
from functools import cache
from typing import Any, Final

import pytest

from gateway.client import AsyncClient, Client, jobs, models, orders, webhook_models
from gateway.client.endpoints import EndpointChanges
from gateway.client.steps import Method
from gateway.web.openapi import document as openapi

#: The method of each operation that tenants may use.
METHODS: Final = {
    "createJob": "jobs.submit",
    "checkJob": "jobs.check",
    "listJobs": "jobs.list",
    "getJob": "jobs.get",
    "cancelJob": "jobs.cancel",
    "listJobDeliveries": "jobs.deliveries",
    "getJobTimeline": "jobs.timeline",
    "getJobContent": "jobs.download",
    "deleteJobContent": "jobs.delete_content",
    "createJobLink": "jobs.link",
    "streamJobEvents": "jobs.events",
    "streamEvents": "events",
    "createUpload": "uploads.create",
    "listUploads": "uploads.list",
    "getUpload": "uploads.get",
    "deleteUpload": "uploads.delete",
    "createEndpoint": "endpoints.create",
    "listEndpoints": "endpoints.list",
    "getEndpoint": "endpoints.get",
    "updateEndpoint": "endpoints.update",
    "deleteEndpoint": "endpoints.delete",
    "rotateEndpointSecret": "endpoints.rotate",
    "sendTestEvent": "endpoints.test",
    "recoverEndpoint": "endpoints.recover",
    "listRecoveries": "endpoints.recoveries",
    "getRecovery": "recoveries.get",
    "listDeliveries": "deliveries.list",
    "getDelivery": "deliveries.get",
    "redeliverDelivery": "deliveries.redeliver",
    "getUsage": "usage.get",
}
#: Records and the schemas that they read. Several: each field is in one of them.
SCHEMAS: Final = {
    models.Job: ("Job", "EventJob"),
    models.JobCheck: ("JobCheck",),
    models.JobError: ("JobError",),
    models.Queue: ("Queue",),
    models.Asset: ("StoredAsset",),
    models.Content: ("Content",),
    models.Warning: ("Warning",),
    models.Cost: ("Cost", "EstimatedCost"),
    models.Usage: ("Usage",),
    models.Timeline: ("Timeline",),
    models.TimelineEntry: ("TimelineEntry",),
    models.Link: ("Link",),
    models.Upload: ("Upload",),
    webhook_models.Endpoint: ("CreatedEndpoint", "RotatedEndpoint", "ChangedEndpoint", "Endpoint"),
    webhook_models.Health: ("EndpointHealth",),
    webhook_models.TestResult: ("TestResult",),
    webhook_models.Delivery: ("Delivery", "DeliverySummary"),
    webhook_models.Recovery: ("Recovery",),
}
#: Fields that the client leaves in `raw`.
UNTYPED: Final = {"budgets", "object", "older_secrets", "from", "to"}


@cache
def document() -> Any:
    return openapi.document()


def operations() -> dict[str, dict[str, Any]]:
    """Those that tenants may use, by id. What the upstream and load balancers use needs no key."""
    return {
        operation["operationId"]: operation
        for path, methods in document()["paths"].items()
        for verb, operation in methods.items()
        if verb in ("get", "post", "patch", "delete") and path.startswith("/v1/")
    }


def method_of(name: str, owner: Any) -> Any:
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner


def test_every_operation_of_tenants_has_a_method() -> None:
    assert set(operations()) - set(METHODS) == set()
    assert set(METHODS) <= set(operations())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", METHODS.values())
def test_every_method_is_there_and_explained(name: str, kind: type[Any]) -> None:
    method = method_of(name, kind("http://127.0.0.1:1", "vgw_x"))
    assert len(inspect.getdoc(method) or "") > 20
    assert "self" not in inspect.signature(method).parameters
    assert not str(inspect.signature(method).return_annotation).startswith("Call")


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_of_an_operation_can_be_given(name: str) -> None:
    operation = operations()[name]
    taken = {
        *inspect.signature(method_of(METHODS[name], Client("http://127.0.0.1:1", "vgw_x"))).parameters,
        *(orders.JobParams.__annotations__ if METHODS[name] in ("jobs.submit", "jobs.check") else ()),
    }
    known = {"limit": "page_size", "from": "since", "to": "until", "prefer": "wait"}
    # Of pages, browsers and links, and what the client sends by itself.
    own = {
        "after",
        "download",
        "exp",
        "kid",
        "sig",
        "last-event-id",
        "idempotency-key",
        "format",
    }
    given = {
        one["name"].lower().removeprefix("gateway-").replace("-", "_")
        for one in (reference(one) for one in operation.get("parameters", ()))
        if one["in"] in ("query", "header")
    }
    lacking = {one for one in given if known.get(one, one) not in taken and one.replace("_", "-") not in own}
    assert lacking == set() or "filters" in taken


def reference(given: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in given:
        return given
    found = document()
    for part in given["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return]


def properties(name: str) -> set[str]:
    return set(document()["components"]["schemas"][name]["properties"])


@pytest.mark.parametrize("record", SCHEMAS, ids=lambda kind: kind.__name__)
def test_every_field_of_an_answer_has_a_type(record: type[Any]) -> None:
    fields = {one.name for one in dataclasses.fields(record)} - {"raw"}
    documented = set().union(*(properties(name) for name in SCHEMAS[record]))
    assert documented - fields - UNTYPED == set()
    assert fields - documented == set()


def test_every_parameter_of_a_job_can_be_given() -> None:
    given = {*orders.JobParams.__annotations__, "prompt", "images", "videos"}
    assert properties("GenerationRequest") - given == set()
    assert properties("EndpointChange") == set(EndpointChanges.__annotations__)


def test_the_words_of_a_parameter_are_those_of_the_gateway() -> None:
    parameters = document()["components"]["schemas"]["GenerationRequest"]["properties"]
    hints = typing.get_type_hints(orders.JobParams)
    for name in ("aspect_ratio", "resolution"):
        assert list(typing.get_args(hints[name])) == parameters[name]["enum"]
    assert orders.MODEL in parameters["model"]["enum"]


def test_only_what_makes_a_call_is_a_method() -> None:
    assert all(isinstance(vars(jobs.Jobs)[name], Method) for name in ("submit", "get", "wait", "download"))


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_help_of_a_client_names_all_groups(kind: type[Any]) -> None:
    told = pydoc.plain(pydoc.render_doc(kind))
    for group in {name.split(".")[0] for name in METHODS.values() if "." in name}:
        assert f"See help(client.{group})." in told
        assert f"client.{group}`" in (inspect.getdoc(Client) or "")
        assert f"help(client.{group})" in pydoc.plain(pydoc.render_doc(getattr(kind, group)))


def test_the_help_explains_all_parameters_phases_and_events() -> None:
    params = inspect.getdoc(orders.JobParams) or ""
    assert [name for name in orders.JobParams.__annotations__ if f"`{name}`" not in params] == []
    phases = document()["components"]["schemas"]["Job"]["properties"]["phase"]["x-extensible-enum"]
    assert [one for one in phases if f"`{one}`" not in (inspect.getdoc(models.Job) or "")] == []
    told = inspect.getdoc(jobs.Jobs.events) or ""
    types = [
        one for part in typing.get_args(webhook_models.Filter) for one in typing.get_args(part) or [part]
    ]
    assert [one for one in types if "*" not in one and f"`{one}`" not in told] == []
