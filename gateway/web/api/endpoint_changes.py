"""Operations that change an endpoint, rotate its secret, and send it a test event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.delivery import sealing, signing
from gateway.delivery.attempts import AttemptResult, DeliveryOutcome
from gateway.delivery.headers import outgoing
from gateway.delivery.secrets import endpoint_secret, signing_secrets
from gateway.endpoints import Endpoint, PreviousSecret
from gateway.errors import ConfigurationError, Conflict, LimitReached, NotFound, Notice
from gateway.jobs import rfc3339
from gateway.keyring import Keyring
from gateway.store.delivery_base import Written
from gateway.tenants import Key
from gateway.web.api.endpoint_views import view, warnings_view
from gateway.web.api.endpoints import owned, read, resolved
from gateway.web.http.answers import json_answer
from gateway.web.http.headers import headers_of
from gateway.web.http.params import Params
from gateway.web.schemas import endpoints as schemas
from gateway.web.schemas.endpoints import EndpointChange, RotateRequest
from gateway.web.state import State, state_of

MAX_OLDER_SECRETS: Final = 5
_MAX_RACES: Final = 10
_MAX_TESTS: Final = 3  # concurrent, per tenant: all tenants share the connections to subscribers
_TEST_SECONDS: Final = 15
_DISABLED: Final = "its owner disabled it"
_MESSAGE: Final = "This is a test of the endpoint. It belongs to no job."


async def change(request: Request, key: Key, _: Params) -> Response:
    """200 and the changed endpoint. Omitted fields stay unchanged."""
    wanted = await read(request, key, EndpointChange)
    state = state_of(request)
    resources, named = state.resources, wanted.model_fields_set
    warnings = await resolved(state, key.tenant, wanted.url) if "url" in named else []
    now = resources.environment.now_ms()
    before, after = await _write(
        request, key, lambda found: _changed(found, wanted, now, resources.keyring), "disabled" in named
    )
    await resources.lanes.dispatch()  # deliveries that waited until it was enabled or moved
    shown = await view(resources, after)
    if "headers" in named:
        shown["headers"] = wanted.headers
    held = shown["health"]["held"]
    if before.disabled_at is not None and after.disabled_at is None and held:
        warnings.append(_still_held(after, held))
    changed: schemas.ChangedEndpoint = {**shown, "warnings": warnings_view(warnings)}
    return json_answer(changed)


async def rotate(request: Request, key: Key, _params: Params) -> Response:
    """200 and the endpoint with its new secret. Older secrets also sign until they expire."""
    wanted = await read(request, key, RotateRequest) if _has_body(request) else RotateRequest()
    state = state_of(request)
    keyring, now = state.resources.keyring, state.resources.environment.now_ms()
    _, after = await _write(request, key, lambda found: _rotated(found, keyring, wanted.overlap_seconds, now))
    secret = endpoint_secret(keyring, after.kid, after.id, after.version)
    rotated: schemas.RotatedEndpoint = {**await view(state.resources, after), "secret": secret}
    return json_answer(rotated)


async def test(request: Request, key: Key, _: Params) -> Response:
    """200 and the outcome of one POST of a test event, which is signed and sent like every event. It is not a
    delivery: it is not retried, does not count for the endpoint's health, and never disables it."""
    endpoint = await owned(request, key)
    state = state_of(request)
    running = Conflict("a test of this endpoint is in progress; wait for its result")
    message = f"{_MAX_TESTS} tests are in progress; wait for their results"
    too_many = LimitReached(message, _TEST_SECONDS, limit="test_events")
    with (
        state.held.one(f"test {endpoint.id}", 1, running),
        state.held.one(f"tests {endpoint.tenant}", _MAX_TESTS, too_many),
    ):
        return json_answer(await _test(state, endpoint))


def _changed(before: Endpoint, wanted: EndpointChange, now: int, keyring: Keyring) -> Endpoint:
    """`before` with the changes. Disabling a disabled endpoint keeps its time and reason."""
    named = wanted.model_fields_set
    changes: dict[str, Any] = {
        name: getattr(wanted, name) for name in named & {"url", "description", "slots"}
    }
    if "events" in named:
        changes["events"] = tuple(dict.fromkeys(wanted.events))
    if "schedule" in named:
        changes["schedule"] = None if wanted.schedule is None else tuple(wanted.schedule)
    if "disabled" in named and not wanted.disabled:
        changes |= {"disabled_at": None, "disabled_reason": None}
    elif wanted.disabled and before.disabled_at is None:
        changes |= {"disabled_at": now, "disabled_reason": _DISABLED}
    after = replace(before, **changes)
    return sealing.with_headers(keyring, after, wanted.headers) if "headers" in named else after


def _rotated(before: Endpoint, keyring: Keyring, overlap_seconds: int, now: int) -> Endpoint:
    """The endpoint with its next secret. Older secrets expire at the end of the overlap at the latest.
    Conflict if too many secrets would be valid."""
    end = now + overlap_seconds * 1000
    older = [PreviousSecret(before.kid, before.version, end)]
    older += [replace(secret, until=min(secret.until, end)) for secret in before.previous]
    valid = tuple(secret for secret in older if secret.until > now and secret.kid in keyring)
    if len(valid) > MAX_OLDER_SECRETS:
        first = rfc3339(min(secret.until for secret in valid))
        raise Conflict(
            f"{MAX_OLDER_SECRETS} older secrets are valid, which is the maximum; wait until one expires at "
            f"{first}, or send overlap_seconds: 0 to expire them all now"
        )
    return replace(before, kid=keyring.active_kid, version=before.version + 1, previous=valid)


async def _write(
    request: Request, key: Key, changed: Callable[[Endpoint], Endpoint], heal: bool = False
) -> tuple[Endpoint, Endpoint]:
    """Apply `changed` to the endpoint; returns it before and after. Retries if it was changed concurrently,
    by another request or by a subscriber's 410. `heal`, or a new URL, resets its health."""
    store = state_of(request).resources.endpoints
    for _ in range(_MAX_RACES):
        before = await owned(request, key)
        after = sealing.renewed(state_of(request).resources.keyring, changed(before))
        written = await store.change(after, before, heal=heal or after.url != before.url)
        if written is Written.WRITTEN:
            return before, after
        if written is Written.MISSING:
            raise NotFound("endpoint", before.id)
    raise Conflict("the endpoint is being changed by other requests; send the change again")


def _still_held(endpoint: Endpoint, held: int) -> Notice:
    message = (
        f"{held} deliveries are still held from the time when the endpoint was disabled; "
        f"POST /v1/endpoints/{endpoint.id}/recover sends them"
    )
    return Notice("disabled", "deliveries_held", message)


def _has_body(request: Request) -> bool:
    headers = headers_of(request)
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


async def _test(state: State, endpoint: Endpoint) -> schemas.TestResult:
    environment = state.resources.environment
    event_id, now = f"evt_test_{environment.new_ulid()}", environment.now_ms()
    body = orjson.dumps(
        {
            "type": "endpoint.test",
            "timestamp": rfc3339(now),
            "data": {"endpoint": endpoint.id, "message": _MESSAGE},
        }
    )
    keyring = state.resources.keyring
    ours = signing.sign(_secrets(keyring, endpoint, now), event_id, now // 1000, body)
    also = await state.resources.tenants.networks(endpoint.tenant)
    added = _headers(keyring, endpoint)
    sent = await state.deliverer.post(endpoint.url, outgoing(added, ours), body, also, endpoint.tenant)
    result = sent.hiding(added.values())
    attempt = {"at": rfc3339(now), **result.public(), "hint": _hint(result)}
    return {
        "delivered": result.outcome is DeliveryOutcome.SUCCEEDED,
        "event": event_id,
        "attempt": cast(schemas.TestAttempt, attempt),  # the same shape as in a delivery's log
    }


def _secrets(keyring: Keyring, endpoint: Endpoint, now: int) -> list[str]:
    """The secrets that webhooks are signed with. Conflict if their key is no longer in the keyring."""
    try:
        return signing_secrets(keyring, endpoint, now)
    except ConfigurationError:
        raise Conflict(
            "the key that its secret was derived from is no longer in the keyring, so nothing can be signed; "
            f"POST /v1/endpoints/{endpoint.id}/rotate creates a new secret"
        ) from None


def _headers(keyring: Keyring, endpoint: Endpoint) -> dict[str, str]:
    """The headers that the endpoint adds. Conflict if they cannot be decrypted."""
    try:
        return sealing.headers_of(keyring, endpoint)
    except ConfigurationError as error:
        raise Conflict(f"{error}; set its headers again (PATCH), or put the key back") from None


def _hint(result: AttemptResult) -> str | None:
    if result.disables is None:
        return result.hint
    return f"{result.disables}: this response to an event disables the endpoint"
