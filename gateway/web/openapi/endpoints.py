"""The endpoints' operations of the API's document."""

from __future__ import annotations

from pydantic import BaseModel

from gateway.tenants import Scope
from gateway.web.openapi.parts import ENDPOINT, LOCATION, Document, answer, operation
from gateway.web.schemas import endpoints as shapes

_BODY = (400, 408, 413, 415, 422)


def endpoints() -> Document:
    return {
        "/v1/endpoints": {"post": _create(), "get": _list()},
        "/v1/endpoints/{endpoint_id}": {
            "parameters": [ENDPOINT],
            "get": _show(),
            "patch": _change(),
            "delete": _delete(),
        },
        "/v1/endpoints/{endpoint_id}/rotate": {"parameters": [ENDPOINT], "post": _rotate()},
        "/v1/endpoints/{endpoint_id}/test": {"parameters": [ENDPOINT], "post": _test()},
    }


def _create() -> Document:
    answers = {"201": answer("Registered.", shapes.CreatedEndpoint, headers=LOCATION)}
    return _operation(
        "createEndpoint", "Register a URL for webhooks", answers, *_BODY, 409, body=shapes.EndpointRequest
    )


def _list() -> Document:
    answers = {"200": answer("All endpoints.", shapes.EndpointList)}
    return _operation("listEndpoints", "List endpoints", answers, 400)


def _show() -> Document:
    answers = {"200": answer("The endpoint.", shapes.Endpoint)}
    return _operation("showEndpoint", "Look at an endpoint, and how it does", answers, 400, 404)


def _change() -> Document:
    answers = {"200": answer("The endpoint as it is now.", shapes.ChangedEndpoint)}
    return _operation(
        "changeEndpoint", "Change, disable or enable", answers, *_BODY, 404, body=shapes.EndpointChange
    )


def _delete() -> Document:
    answers = {"204": {"description": "Forgotten; what is still owed to it is not sent any more."}}
    return _operation("deleteEndpoint", "Forget an endpoint", answers, 400, 404)


def _rotate() -> Document:
    meaning = "The endpoint with its new secret. Webhooks are signed with both until the old one ends."
    answers = {"200": answer(meaning, shapes.RotatedEndpoint)}
    made = _operation(
        "rotateSecret", "Give it a new secret", answers, *_BODY, 404, 409, body=shapes.RotateRequest
    )
    made["requestBody"]["required"] = False
    return made


def _test() -> Document:
    meaning = (
        "An event of the type `endpoint.test` was sent, signed as all are, and this is what became of it. It "
        "is not repeated, and counts for nothing else."
    )
    answers = {"200": answer(meaning, shapes.TestResult)}
    return _operation("testEndpoint", "Send a test event, and see the answer", answers, 400, 404, 409)


def _operation(
    name: str, summary: str, answers: Document, *statuses: int, body: type[BaseModel] | None = None
) -> Document:
    return operation(name, summary, Scope.ENDPOINTS_WRITE, answers, *statuses, body=body)
