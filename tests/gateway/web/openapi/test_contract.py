"""The document is true: whatever is sent, the answer is one that it names, in the shape that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from redis import Redis
from schemathesis import checks
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test

from gateway.callbacks import tokens
from gateway.doors import NAMES
from gateway.endpoints import Endpoint
from gateway.jobs import submit_ticket
from gateway.media.links import media_token
from gateway.resources import open_resources
from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.uploads import Upload
from gateway.web.app import opened
from gateway.web.doors.routes import OF_DOORS
from gateway.web.openapi import door_documents
from tests.conftest import new_settings
from tests.effort import SCALE, scaled
from tests.gateway.generation.media_samples import image
from tests.gateway.web.conftest import BODY, add_key
from tests.gateway.web.live import listening
from tests.gateway.web.parsing import document

#: For each operation its boundary values and these.
_EFFORT: Final = settings(
    max_examples=scaled(5),
    derandomize=not SCALE,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
_CHECKS: Final = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.missing_required_header,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
_WITHOUT_REFUSAL: Final = [check for check in _CHECKS if check is not checks.negative_data_rejection]

URL: Final = "https://cdn.example.com/something"

# An event stream of all jobs has no end to wait for.
_ENDLESS: Final = "/v1/events"
LABELS: Final = [f"{one.method} {one.path}" for one in opened(NAMES) if one.path != _ENDLESS]


@cache  # by the first test that needs it, because every worker imports this module
def schemas() -> list[Any]:
    documents = [document(), *map(door_documents.document, OF_DOORS)]
    return [schemathesis.openapi.from_dict(one).exclude(path=_ENDLESS) for one in documents]


@cache
def operations() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in (one for schema in schemas() for one in schema.get_all_operations()):
        assert isinstance(one, Ok)
        found[one.ok().label] = one.ok()
    return found


class Live(NamedTuple):
    """`known`: path parameters of what is really there; made up ones would only ever be 404."""

    url: str
    key: str
    session: requests.Session
    known: dict[str, str]


@pytest.fixture(scope="module")
def live(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A gateway with a key, an endpoint, and a job that is final, so that nobody waits for it."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    chosen = new_settings(redis_url, tmp_path_factory.mktemp("contract"))
    chosen = chosen.model_copy(update={"durability": "assume"})  # this Redis keeps nothing, and may
    key, known = asyncio.run(_prepare(chosen))
    with listening(chosen) as url, requests.Session() as session:
        session.trust_env = False
        yield Live(url, key, session, known)


async def _prepare(chosen: Settings) -> tuple[str, dict[str, str]]:
    async with open_resources(chosen, retries=1) as resources:
        key = await add_key(resources, "acme", Scope)
        checked = await resources.intake.check(orjson.dumps(BODY), "acme")
        job, *_ = await resources.intake.accept(checked, "acme", None)
        await resources.settlement.cancel(job, [submit_ticket(job)])
        endpoint = Endpoint("ep_" + "0" * 26, "acme", URL, (), "k1", 1_700_000_000_000)
        await resources.endpoints.create(endpoint, 50)
        token = tokens.make(resources.keyring, "acme", job.id, 1)
        upload = Upload("upl_" + "0" * 26, "acme", "0" * 64, len(image()), "png", 1_700_000_000_000)
        await resources.media.put(upload.key, image())
        await resources.uploads.add(upload)
        media = media_token(resources.keyring, upload.id, 2_000_000_000)
    known = {"job_id": job.id, "endpoint_id": endpoint.id, "upload_id": upload.id}
    return key, known | {"token": token, "/media/{token}": media}


def test_every_documented_operation_is_asked() -> None:
    assert sorted(LABELS) == sorted(operations())


@pytest.mark.parametrize("label", LABELS)
def test_the_document_is_true(label: str, live: Live) -> None:
    """As `schema.parametrize()` does it, which would make the cases of all operations in every process that
    collects the tests."""

    @_EFFORT
    def holds(case: schemathesis.Case[Any]) -> None:
        _ask(case, live)

    build_operation_test(
        config=schemas()[0].config,
        operation=operations()[label],
        test_func=holds,
        given_kwargs={},
        feedback=FeedbackSources(),
    )()


def _ask(case: schemathesis.Case[Any], live: Live) -> None:
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        _make_real(case, live.known)
    headers = {"Authorization": f"Bearer {live.key}"}
    wanted = _CHECKS if _must_be_refused(case) else _WITHOUT_REFUSAL
    case.call_and_validate(
        base_url=live.url, headers=headers, session=live.session, checks=wanted, timeout=60
    )


def _must_be_refused(case: schemathesis.Case[Any]) -> bool:
    """Not for headers alone: unknown ones are passed over, as HTTP asks, and the key is always sent."""
    component = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    return component is None or not component.mode.is_negative


def _make_real(case: schemathesis.Case[Any], known: dict[str, str]) -> None:
    """URLs that could be fetched and ids that are there, or most requests would end at their first check."""
    parameters: dict[str, str] = case.path_parameters or {}
    deleting = case.method == "DELETE"
    parameters.update({name: known[name] for name in parameters if name in known and not deleting})
    if case.path in known:
        parameters["token"] = known[case.path]
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = case.id
    if isinstance(case.body, dict):
        for name in case.body.keys() & {"images", "videos"}:
            given = case.body[name]
            case.body[name] = [URL] * len(given) if isinstance(given, list) else given
        for name in case.body.keys() & {"url", "wm_url", "callback_url"}:
            case.body[name] = URL
