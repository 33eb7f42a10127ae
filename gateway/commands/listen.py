"""`vidu-gateway listen`: forwards a tenant's events to a service on this machine as signed webhooks.

The gateway cannot reach a developer's machine, so this command keeps an event stream open (`GET /v1/events`)
and turns each message into the same POST that an endpoint would get. A failed POST is shown, not retried.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway import events
from gateway.client import Event
from gateway.commands import printing
from gateway.commands.calls import calling
from gateway.delivery import signing
from gateway.delivery.attempts import AttemptResult, DeliveryOutcome
from gateway.delivery.guard import MAX_WEBHOOK_URL_CHARACTERS, Guard
from gateway.delivery.http import Deliverer
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.jobs import JOB_ID
from gateway.urls import url_fault

#: Prints a line in a style.
Say = Callable[[str, str], None]

_SECRET_BYTES: Final = 32
_EXCERPT_CHARACTERS: Final = 120
_KIND: Final = re.compile(r"[a-z0-9_]{1,32}(\.[a-z0-9_]{1,32}){1,4}")
# The user chose the address, so only link-local and metadata addresses are forbidden.
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")
_HINTS: Final = {
    DeliveryOutcome.CONNECTION_REFUSED: "nothing is listening there",
    DeliveryOutcome.CONNECTION_RESET: "it closed the connection without a response",
    DeliveryOutcome.DNS_ERROR: "its name cannot be resolved",
    DeliveryOutcome.TLS_ERROR: "its certificate is not valid",
    DeliveryOutcome.TARGET_FORBIDDEN: "webhooks to this address or port are forbidden",
}
_UNVERIFIED: Final = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class Plan:
    """`forward`: URL that webhooks are sent to. `url`: the gateway. `filters`: as an endpoint's `events`;
    empty: the final ones. `secret`: to sign with; None: a new one."""

    forward: str
    url: str
    key: str = field(repr=False)
    filters: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)


def listen(plan: Plan) -> None:
    """Forward events until Ctrl-C.

    Raises ConfigurationError for an invalid plan, GatewayError if the gateway refuses the key, Unavailable if
    the first connection to the gateway fails.
    """
    listener = Listener(plan, Environment())
    try:
        listener.run()
    except KeyboardInterrupt:
        printing.say(f"\n{listener.summary}")


class Listener:
    """One session. Tests replace `say`, which prints a line."""

    def __init__(
        self,
        plan: Plan,
        environment: Environment,
        say: Say = printing.say,
    ) -> None:
        _check(plan)
        self._plan = plan
        self._environment = environment
        self._say = say
        self._types = _types(plan.filters)
        self._secret = plan.secret or _new_secret(environment)
        self._guard = Guard(_ANYWHERE)
        self._ssl = ssl.create_default_context()
        self._connections = 0
        self._delivered = 0
        self._failed = 0

    @property
    def summary(self) -> str:
        return f"stopped: {self._delivered} delivered, {self._failed} failed"

    def run(self) -> None:
        """Run until interrupted. Raises if the first connection fails, or if the gateway refuses it."""
        self._introduce()
        with calling(self._plan.url, self._plan.key) as client:
            for event in client.events(
                types=self._types, connected=self._connected, reconnecting=self._reconnecting
            ):
                self._forward_event(event)

    def _introduce(self) -> None:
        self._say(f"listening to {self._plan.url} for {', '.join(self._types)}", "")
        self._say(f"forwarding to {self._plan.forward}: each event once; failures are shown, not retried", "")
        if self._plan.secret is None:
            self._say("signing secret of this session, to verify the forwarded webhooks:", "bold")
            self._say(self._secret, "")
        self._say("press Ctrl-C to stop", "dim")

    def _connected(self) -> None:
        self._connections += 1
        self._note("connected: waiting for events" if self._connections == 1 else "reconnected")

    def _reconnecting(self, reason: str, wait: float) -> None:
        self._note(f"{reason}; reconnecting in {wait:.2g} s")

    def _forward_event(self, event: Event) -> None:
        if event.type == "gap":
            self._note("some events are missing: the gateway no longer keeps them", "yellow")
            return
        named = _named(event.body)
        if named is None:
            self._note(f"skipped a message that is not an event of a job ({event.type!r})", "yellow")
            return
        kind, job_id = named
        result = asyncio.run(self._post(events.event_id(job_id, kind), event.body))
        good = result.outcome is DeliveryOutcome.SUCCEEDED
        self._delivered += good
        self._failed += not good
        self._note(f"{kind:<15}  {job_id}  {_describe(result)}", "green" if good else "red")

    async def _post(self, event_id: str, body: bytes) -> AttemptResult:
        headers = signing.sign([self._secret], event_id, int(self._environment.clock()), body)
        async with Deliverer(self._guard, pool_size=1, ssl_context=self._ssl) as deliverer:
            return await deliverer.post(self._plan.forward, headers, body)

    def _note(self, text: str, style: str = "dim") -> None:
        at = datetime.fromtimestamp(self._environment.clock()).astimezone()
        self._say(f"{at:%H:%M:%S}  {text}", style)


def _check(plan: Plan) -> None:
    if fault := url_fault(plan.forward, max_characters=MAX_WEBHOOK_URL_CHARACTERS):
        raise ConfigurationError(f"--forward {fault[1]}")
    if plan.secret is not None and not _is_secret(plan.secret):
        raise ConfigurationError("--secret must be whsec_ and the Base64 of 24 to 64 bytes")


def _types(filters: Sequence[str]) -> tuple[str, ...]:
    """The event types that the filters select. Raises ConfigurationError for unknown ones."""
    known = {*events.EventType, *events.ALL}
    if unknown := [one for one in filters if one not in known]:
        there_are = ", ".join(events.EventType)
        raise ConfigurationError(f"--events: unknown: {', '.join(unknown)}; use {there_are}, or * for all")
    return events.expand(filters)


def _new_secret(environment: Environment) -> str:
    return f"whsec_{base64.b64encode(environment.entropy(_SECRET_BYTES)).decode()}"


def _is_secret(text: str) -> bool:
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


def _named(body: bytes) -> tuple[str, str] | None:
    """The type and the job id of an event; None if the body is not an event."""
    try:
        event: Any = json.loads(body)
        kind, job_id = event["type"], event["data"]["id"]
        if _KIND.fullmatch(kind) and JOB_ID.match(job_id):
            return kind, job_id
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _describe(result: AttemptResult) -> str:
    """Describes a POST: its status or else its outcome, its duration, and a hint."""
    said = " ".join(result.excerpt.split())[:_EXCERPT_CHARACTERS]
    if result.outcome is DeliveryOutcome.SUCCEEDED:
        said = ""
    hint = result.hint or _HINTS.get(result.outcome, "")
    if result.status in _UNVERIFIED:
        hint = "if it refused the signature: check that it uses the secret of this session"
    if result.disables:
        hint = "an endpoint with this response would be disabled"
    parts = (f"{result.status or result.outcome} in {result.duration_ms} ms", said, hint)
    return "; ".join(part for part in parts if part)
