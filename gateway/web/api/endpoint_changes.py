"""The operations that change an endpoint, rotate its secret, and send it a test event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.delivery import signing
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
_MAX_TESTS: Final = 3  # of a tenant at once: connections to subscribers are shared by all
_TEST_SECONDS: Final = 15
_DISABLED: Final = "its owner disabled it"
_MESSAGE: Final = "This is a test of the endpoint; no job stands behind it."


async def change(request: Request, key: Key, _: Params) -> Response:
    """200 and the endpoint as it is now. What is not named stays as it is."""
    wanted = await read(request, key, EndpointChange)
    state = state_of(request)
    resources, named = state.resources, wanted.model_fields_set
    warnings = await resolved(state, key.tenant, wanted.url) if "url" in named else []
    now = resources.environment.now_ms()
    before, after = await _write(
        request, key, lambda found: _changed(found, wanted, now), "disabled" in named
    )
    await resources.lanes.dispatch()  # what waited for it to be enabled or moved
    shown = await view(resources, after)
    held = shown["health"]["held"]
    if before.disabled_at is not None and after.disabled_at is None and held:
        warnings.append(_still_held(after, held))
    changed: schemas.ChangedEndpoint = {**shown, "warnings": warnings_view(warnings)}
    return json_answer(changed)


async def rotate(request: Request, key: Key, _params: Params) -> Response:
    """200 and the endpoint with its new secret. The ones from before sign too, for a while."""
    wanted = await read(request, key, RotateRequest) if _has_body(request) else RotateRequest()
    state = state_of(request)
    keyring, now = state.resources.keyring, state.resources.environment.now_ms()
    _, after = await _write(request, key, lambda found: _rotated(found, keyring, wanted.overlap_seconds, now))
    secret = endpoint_secret(keyring, after.kid, after.id, after.version)
    rotated: schemas.RotatedEndpoint = {**await view(state.resources, after), "secret": secret}
    return json_answer(rotated)


async def test(request: Request, key: Key, _: Params) -> Response:
    """200 and the outcome of one POST of a test event, which is signed and sent as events are. It is no
    delivery: it is not repeated, and neither counts for the endpoint's health nor disables it."""
    endpoint = await owned(request, key)
    state = state_of(request)
    if endpoint.id in state.testing:
        raise Conflict("a test of this endpoint is under way; wait for its answer")
    if list(state.testing.values()).count(endpoint.tenant) >= _MAX_TESTS:
        raise LimitReached(f"{_MAX_TESTS} tests are under way; wait for their answers", _TEST_SECONDS)
    state.testing[endpoint.id] = endpoint.tenant
    try:
        return json_answer(await _test(state, endpoint))
    finally:
        del state.testing[endpoint.id]


def _changed(before: Endpoint, wanted: EndpointChange, now: int) -> Endpoint:
    """`before` with what `wanted` names. Disabled again, it stays disabled since then and for that reason."""
    named = wanted.model_fields_set
    changes: dict[str, Any] = {
        name: getattr(wanted, name) for name in named & {"url", "description", "headers", "slots"}
    }
    if "events" in named:
        changes["events"] = tuple(dict.fromkeys(wanted.events))
    if "schedule" in named:
        changes["schedule"] = None if wanted.schedule is None else tuple(wanted.schedule)
    if "disabled" in named and not wanted.disabled:
        changes |= {"disabled_at": None, "disabled_reason": None}
    elif wanted.disabled and before.disabled_at is None:
        changes |= {"disabled_at": now, "disabled_reason": _DISABLED}
    return replace(before, **changes)


def _rotated(before: Endpoint, keyring: Keyring, overlap_seconds: int, now: int) -> Endpoint:
    """The endpoint under its next secret. After the overlap none but that one counts: older ones end with it,
    if not sooner. Conflict when too many would sign."""
    end = now + overlap_seconds * 1000
    older = [PreviousSecret(before.kid, before.version, end)]
    older += [replace(secret, until=min(secret.until, end)) for secret in before.previous]
    valid = tuple(secret for secret in older if secret.until > now and secret.kid in keyring)
    if len(valid) > MAX_OLDER_SECRETS:
        first = rfc3339(min(secret.until for secret in valid))
        raise Conflict(
            f"{MAX_OLDER_SECRETS} older secrets are valid, which is the most; wait until {first}, when one "
            "ends, or send overlap_seconds: 0, which ends them all now"
        )
    return replace(before, kid=keyring.active_kid, version=before.version + 1, previous=valid)


async def _write(
    request: Request, key: Key, changed: Callable[[Endpoint], Endpoint], heal: bool = False
) -> tuple[Endpoint, Endpoint]:
    """The endpoint before and after. Begun anew when somebody else, or a subscriber's 410, has changed it in
    between. `heal`, or a new URL: what was found out of its health counts no more."""
    store = state_of(request).resources.endpoints
    for _ in range(_MAX_RACES):
        before = await owned(request, key)
        after = changed(before)
        written = await store.change(after, before, heal=heal or after.url != before.url)
        if written is Written.WRITTEN:
            return before, after
        if written is Written.MISSING:
            raise NotFound("endpoint", before.id)
    raise Conflict("the endpoint is being changed by others all the time; send the change again")


def _still_held(endpoint: Endpoint, held: int) -> Notice:
    message = (
        f"{held} deliveries from the time when it was disabled are held, and stay so; "
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
    ours = signing.sign(_secrets(state.resources.keyring, endpoint, now), event_id, now // 1000, body)
    also = await state.resources.tenants.networks(endpoint.tenant)
    result = await state.deliverer.post(endpoint.url, outgoing(endpoint.headers, ours), body, also)
    attempt = {"at": rfc3339(now), **result.public(), "hint": _hint(result)}
    return {
        "delivered": result.outcome is DeliveryOutcome.SUCCEEDED,
        "event": event_id,
        "attempt": cast(schemas.TestAttempt, attempt),  # in the form in which deliveries keep theirs
    }


def _secrets(keyring: Keyring, endpoint: Endpoint, now: int) -> list[str]:
    """Those that webhooks are signed with. Conflict when its key is gone, so that nothing can be signed."""
    try:
        return signing_secrets(keyring, endpoint, now)
    except ConfigurationError:
        raise Conflict(
            "the key under which its secret was made is in the keyring no more, so that nothing can be sent; "
            f"POST /v1/endpoints/{endpoint.id}/rotate makes a new secret"
        ) from None


def _hint(result: AttemptResult) -> str | None:
    if result.disables is None:
        return result.hint
    return f"{result.disables}: an event that is answered so disables the endpoint"
