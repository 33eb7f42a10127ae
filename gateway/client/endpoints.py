"""Endpoints: URLs of yours that hear about your jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from .checks import path_of
from .pages import listed
from .requests import Request, record, send
from .steps import Call, Method, Net, Resource
from .webhook_models import Endpoint, Filter, Recovery, TestResult


class EndpointChanges(TypedDict, total=False):
    """What to change; the rest stays. None resets `schedule` and `slots` to the gateway's defaults."""

    url: str
    events: Sequence[Filter]
    description: str
    headers: Mapping[str, str]
    schedule: Sequence[float] | None
    slots: int | None
    disabled: bool


class Endpoints(Resource[Net]):
    """URLs of yours that get webhooks. Needs a key with the scope `endpoints:write`.

    `client.endpoints.create` makes one; `gateway.client.webhooks.verify` checks what it gets.
    """

    @Method
    def create(
        self,
        url: str,
        *,
        events: Sequence[Filter] = (),
        description: str = "",
        headers: Mapping[str, str] | None = None,
        schedule: Sequence[float] | None = None,
        slots: int | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Endpoint]:
        """Register a URL for webhooks. **Store `secret` of the answer**: it is shown only once.

        `events`: such as `["job.completed"]`; none: all that finish a job; `["*"]`: all. `headers`: sent
        with each webhook. `schedule`: seconds before attempts 2, 3, ... `slots`: most attempts at once.
        """
        given: dict[str, Any] = {
            "events": list(events), "description": description, "headers": dict(headers or {}),
            "schedule": list(schedule) if schedule is not None else None, "slots": slots,
        }  # fmt: skip
        body = {"url": url} | {
            name: value for name, value in given.items() if value not in ([], "", {}, None)
        }
        if schedule is not None:
            body["schedule"] = list(schedule)
        keyed = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return record(Endpoint, Request("POST", "/v1/endpoints", headers=keyed, body=body))

    @Method
    def list(self) -> Call[tuple[Endpoint, ...]]:
        """All endpoints of your tenant, with their health."""
        return listed(Endpoint, "/v1/endpoints")

    @Method
    def get(self, endpoint_id: Endpoint | str) -> Call[Endpoint]:
        """The endpoint, with its health."""
        return record(Endpoint, Request("GET", _path(endpoint_id)))

    @Method
    def update(self, endpoint_id: Endpoint | str, **changes: Unpack[EndpointChanges]) -> Call[Endpoint]:
        """Change some of `url`, `events`, `description`, `headers`, `schedule`, `slots`, `disabled`.

        `disabled=True` sends nothing and holds deliveries; after `disabled=False`, `recover` sends those.
        """
        return record(Endpoint, Request("PATCH", _path(endpoint_id), body=dict(changes)))

    @Method
    def delete(self, endpoint_id: Endpoint | str) -> Call[None]:
        """Delete the endpoint. Its pending deliveries are not sent."""
        yield from send(Request("DELETE", _path(endpoint_id)))

    @Method
    def rotate(self, endpoint_id: Endpoint | str, *, overlap_seconds: int = 86_400) -> Call[Endpoint]:
        """Make a new secret, which the answer shows once. Webhooks are signed with the old one too for so
        many seconds; after a leak use 0. It is not repeated if the answer is lost: rotate again."""
        body = {"overlap_seconds": overlap_seconds}
        return record(Endpoint, Request("POST", f"{_path(endpoint_id)}/rotate", body=body, repeatable=False))

    @Method
    def test(self, endpoint_id: Endpoint | str) -> Call[TestResult]:
        """Send a signed test event now. The result says how your URL answered."""
        return record(TestResult, Request("POST", f"{_path(endpoint_id)}/test", repeatable=False))

    @Method
    def recover(
        self,
        endpoint_id: Endpoint | str,
        since: datetime | str,
        *,
        until: datetime | str | None = None,
        states: Sequence[Literal["dead", "held"]] | None = None,
    ) -> Call[Recovery]:
        """Redeliver what the endpoint missed, in the background. `since`, `until`: times with a time zone,
        14 days ago at most. `states`: only `dead` or only `held` deliveries."""
        body: dict[str, Any] = {"since": _time(since)}
        body |= {"until": _time(until)} if until is not None else {}
        body |= {"states": list(states)} if states is not None else {}
        return record(Recovery, Request("POST", f"{_path(endpoint_id)}/recover", body=body, repeatable=False))

    @Method
    def recoveries(self, endpoint_id: Endpoint | str) -> Call[tuple[Recovery, ...]]:
        """The newest recoveries of the endpoint."""
        return listed(Recovery, f"{_path(endpoint_id)}/recoveries")


class Recoveries(Resource[Net]):
    """How far a redelivery is that `client.endpoints.recover` began: `client.recoveries.get(recovery)`."""

    @Method
    def get(self, recovery_id: Recovery | str) -> Call[Recovery]:
        """The recovery, and how far it is."""
        return record(Recovery, Request("GET", path_of("/v1/recoveries", Recovery, recovery_id)))


def _path(endpoint: Endpoint | str) -> str:
    return path_of("/v1/endpoints", Endpoint, endpoint)


def _time(given: datetime | str) -> str:
    if isinstance(given, str):
        return given
    if given.tzinfo is None:
        raise ValueError("a time needs a time zone, as in datetime.now(UTC)")
    return given.isoformat(timespec="milliseconds")
