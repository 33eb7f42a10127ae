"""Accepts a job of a request: reads its options and its body, checks them, and stores the job."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

from starlette.requests import Request

from gateway import generation
from gateway.delivery.guard import allowing
from gateway.doors.base import Door
from gateway.errors import StoreUnavailable
from gateway.events import EventType
from gateway.intake import ClientGone, Posted
from gateway.intake.checks import Checked
from gateway.intake.job_options import JobOptions
from gateway.jobs import Priority
from gateway.lifecycle import OnUnknown
from gateway.telemetry import tracing
from gateway.tenants import Key
from gateway.web.api.idempotency import REPLAYED, key_param
from gateway.web.api.webhook_urls import check_target
from gateway.web.http.bodies import WholeBody, check_form
from gateway.web.http.headers import headers_of
from gateway.web.http.params import Params, choice, seconds, several
from gateway.web.http.problems import Refusal
from gateway.web.http.rate_headers import rate_headers
from gateway.web.state import State, state_of

_MAX_DEADLINE_SECONDS: Final = 604_800
#: The way out when a body is too large. Base64 makes 4 bytes of 3.
SMALLER: Final = "files inside it may have about 14.9 MB together before Base64; give larger ones as URLs"
IDEMPOTENCY_KEY: Final = key_param(
    "Use a new key for each job. A repeated request with the same key returns the same job, with "
    "`Idempotent-Replayed: true`. It must have the same parameters and the same `Gateway-*` headers, or it "
    "is refused. The order and the form of the JSON do not matter. A default that is sent differs from "
    "one that is left out, except `seed` 0 and no `videos`. Keys belong to your tenant, not to an API key. "
    "They are kept as long as the job, or for the shorter time that the operator set."
)
START_DEADLINE: Final = seconds(
    "Gateway-Start-Deadline",
    "Seconds from now. The job fails at no cost if it has not been sent to the upstream by then.",
    _MAX_DEADLINE_SECONDS,
)
TOTAL_DEADLINE: Final = seconds(
    "Gateway-Total-Deadline",
    "Seconds from now. The job fails if it has not finished by then; it may have been charged.",
    _MAX_DEADLINE_SECONDS,
)
ON_UNKNOWN: Final = choice(
    "Gateway-On-Unknown",
    "What to do if the upstream's response to the submission was lost and no evidence of a task was found: "
    "`hold` fails the job and never pays twice, `resubmit` sends it again and may pay twice, `manual` leaves "
    "the decision to an operator. Default: your tenant's setting.",
    OnUnknown,
)
PRIORITY: Final = choice(
    "Gateway-Priority",
    "Order among your own waiting jobs: for every `low` job, 4 `normal` and 16 `high` jobs are sent, so "
    "no priority starves. It does not change your tenant's share of the upstream.",
    Priority,
    Priority.NORMAL,
)
CALLBACK_EVENTS: Final = several(
    "Gateway-Callback-Events",
    "What the job's own `callback_url` hears, such as `completed,failed`. Default: `completed`, `failed`, "
    "`canceled` and `late_result`. Endpoints have events of their own.",
    {kind.removeprefix("job."): kind for kind in EventType} | {str(kind): kind for kind in EventType},
    style="simple",
)
#: Options of a new job, sent as headers.
OPTIONS: Final = (START_DEADLINE, TOTAL_DEADLINE, ON_UNKNOWN, PRIORITY, CALLBACK_EVENTS)


class Body(Protocol):
    """How the body of a request is read."""

    @property
    def attempt(self) -> int | None:
        """As of `JobOptions`."""

    def check_form(self, request: Request) -> None:
        """Raises Refusal (415, 400) if the headers show that it is no such body."""

    def read(self, raw: bytes) -> generation.Incoming:
        """The body as a document of ours."""


@dataclass(frozen=True, slots=True)
class Json:
    """JSON. `read_words`: makes our words of those of a door."""

    read_words: Callable[[object], object] | None = None
    attempt: int | None = None

    def check_form(self, request: Request) -> None:
        check_form(request)

    def read(self, raw: bytes) -> generation.Incoming:
        incoming = generation.from_json(raw)
        return (
            incoming if self.read_words is None else generation.Incoming(self.read_words(incoming.document))
        )


_OURS: Final = Json()


async def accept(
    request: Request, key: Key, params: Params, door: Door | None = None, reading: Body = _OURS
) -> tuple[Posted, str | None]:
    """The job of this request, and its payload. `door`: which was asked, if not ours. `reading`: how the
    body is read, if not as JSON in our words. Raises what `Intake.check` and `Intake.accept` raise,
    and Refusal for a body that cannot be read."""
    options = JobOptions(
        params[START_DEADLINE],
        params[TOTAL_DEADLINE],
        params[ON_UNKNOWN],
        params[PRIORITY],
        tracing.read_traceparent(headers_of(request).get(b"traceparent")),
        door.name if door else None,
        params[CALLBACK_EVENTS],
        reading.attempt,
    )
    state, idempotency_key = state_of(request), params[IDEMPOTENCY_KEY]
    keyed = options if idempotency_key or reading.attempt is not None else None
    async with checking(request, state, key.tenant, keyed, reading) as checked:
        await state.price_watch.known()
        state.memory.check()
        state.disk.check(inline=bool(checked.media))
        is_gone = request.is_disconnected if reading.attempt is not None else None
        with state.resources.tracer.span("accept", options.trace, {"tenant": key.tenant}) as trace:
            traced = replace(options, trace=trace)
            with _saying_gone(), saying_doubt(idempotency_key, door, reading.attempt):
                intake = state.resources.intake
                posted = await intake.accept(checked, key.tenant, idempotency_key, traced, key.id, is_gone)
        return posted, checked.request.payload


def headers_after(posted: Posted) -> dict[str, str]:
    """The headers of the answer to a POST, whatever it looks like."""
    return {**rate_headers(posted.allowance), **(REPLAYED if posted.replayed else {})}


@contextlib.asynccontextmanager
async def checking(
    request: Request,
    state: State,
    tenant: str,
    keyed: JobOptions | None = None,
    body: Body = _OURS,
) -> AsyncIterator[Checked]:
    """The request's body, checked against every published limit. InvalidRequest lists every problem."""
    settings = state.resources.settings
    most, in_seconds = settings.body_max_bytes, settings.body_timeout_seconds
    body.check_form(request)
    async with WholeBody(request, tenant, state.budget, most, in_seconds, SMALLER) as raw:
        checked = await state.resources.intake.check(raw, tenant, keyed, body.read)
        if checked.request.callback_url is not None:
            with allowing(await state.resources.tenants.networks(tenant)):
                check_target(state.guard, "callback_url", checked.request.callback_url)
        yield checked


@contextlib.contextmanager
def _saying_gone() -> Iterator[None]:
    try:
        yield
    except ClientGone:
        message = "the connection ended before the job was accepted; send the request again"
        raise Refusal(400, message) from None


@contextlib.contextmanager
def saying_doubt(
    idempotency_key: str | None, door: Door | None = None, attempt: int | None = None
) -> Iterator[None]:
    """Without the store's answer, nobody knows whether the job was accepted."""
    try:
        yield
    except StoreUnavailable as error:
        raise in_doubt(idempotency_key, door, attempt) from error


def in_doubt(
    idempotency_key: str | None, door: Door | None = None, attempt: int | None = None
) -> StoreUnavailable:
    """The error for a client whose job may have been accepted or not."""
    way_out = "send the same request again, with the same Idempotency-Key"
    if idempotency_key is None:
        way_out = f"look for it with GET {door.listed_at if door else '/v1/jobs'} before you post it again"
        if attempt is not None:  # a new request would count from 0, and find nothing
            again = "a retry with a higher x-stainless-retry-count finds it within 15 minutes"
            way_out = f"{again}; otherwise {way_out}"
    return StoreUnavailable(f"the store did not answer, so the job may have been accepted; {way_out}")
