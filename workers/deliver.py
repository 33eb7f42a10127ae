"""One attempt of one delivery: sign the event's frozen bytes, POST them, record the result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import structlog

from gateway.backoff import JITTER, delivery_delay, retry_after
from gateway.delivery import headers, sealing, signing
from gateway.delivery.addresses import Network
from gateway.delivery.attempts import AttemptResult, DeliveryOutcome
from gateway.delivery.http import Deliverer
from gateway.delivery.secrets import signing_secrets, tenant_secret
from gateway.dispatch import Ticket
from gateway.endpoints import Delivery, Endpoint, shortened
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.jobs import rfc3339
from gateway.keyring import Keyring
from gateway.lifecycle import DeliveryEvent
from gateway.settings import Settings
from gateway.store.base import TransitionResult
from gateway.store.delivery_base import DeliveryStore, EndpointStore
from gateway.telemetry.tracing import NO_TRACER, Tracer
from workers.store_retry import persist

KEPT_ATTEMPTS: Final = 20
LOG_LIMIT_BYTES: Final = 32_768
_SECRET_RETRY_SECONDS: Final = 60.0  # the key of a secret is missing: our fault, not the subscriber's
_NOT_SENT: Final = (DeliveryOutcome.SECRET_MISSING, DeliveryOutcome.HEADERS_UNREADABLE)


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from an attempt. `delay`: seconds until the next one. `gave_up`: why there is none."""

    event: DeliveryEvent
    delay: float | None = None
    gave_up: str | None = None


async def no_networks(_: str) -> tuple[Network, ...]:
    """The default of `networks`: no tenant has networks of its own."""
    return ()


@dataclass(frozen=True, slots=True)
class DeliveryWorker:
    """`networks`: the additional networks that a tenant's webhooks may go to."""

    deliveries: DeliveryStore
    endpoints: EndpointStore
    deliverer: Deliverer
    keyring: Keyring
    environment: Environment
    settings: Settings
    tracer: Tracer = NO_TRACER
    networks: Callable[[str], Awaitable[tuple[Network, ...]]] = no_networks

    async def deliver(self, ticket: Ticket) -> None:
        begun = await self.deliveries.begin(ticket)
        if begun is None:  # stale: a newer dispatch has it
            return
        delivery, body, endpoint = begun
        if endpoint is not None and endpoint.disabled_at is not None:
            held = Decision(DeliveryEvent.ENDPOINT_DISABLED)
            await self._finish(ticket, delivery, held, "endpoint_disabled", None)
            return
        url = endpoint.url if endpoint else delivery.url
        if url is None:
            await self._give_up(ticket, delivery, "endpoint_deleted", "its endpoint was deleted")
            return
        if body is None:
            await self._give_up(ticket, delivery, "event_lost", "its event is lost")
            return
        begun_at = self.environment.now_ms()
        about = {"job": delivery.job_id, "tenant": delivery.tenant, "delivery": delivery.id}
        with self.tracer.span("deliver", delivery.trace, about) as trace:
            attempt = await self._attempt(url, delivery, endpoint, body, trace)
            await self._record(ticket, delivery, endpoint, attempt, begun_at)

    async def _give_up(self, ticket: Ticket, delivery: Delivery, outcome: str, why: str) -> None:
        """Nothing can be sent."""
        dead = Decision(DeliveryEvent.ATTEMPTS_EXHAUSTED, gave_up=why)
        now, said = self.environment.now_ms(), {"outcome": outcome}
        entry = entry_of(delivery.attempts, delivery.trigger, now, said, None, why)
        gone = replace(delivery, log=noted(delivery.log, entry))
        await self._finish(ticket, gone, dead, outcome, None)

    async def _attempt(
        self, url: str, delivery: Delivery, endpoint: Endpoint | None, body: bytes, trace: str | None
    ) -> AttemptResult:
        try:
            secrets = self._secrets(delivery, endpoint)
        except ConfigurationError as error:  # its key was removed from the keyring too early
            return AttemptResult(DeliveryOutcome.SECRET_MISSING, None, 0, str(error), None, url=url)
        try:
            added = sealing.headers_of(self.keyring, endpoint) if endpoint else {}
        except ConfigurationError as error:
            structlog.get_logger().error(
                "headers_unreadable", delivery=delivery.id, tenant=delivery.tenant, reason=str(error)
            )
            why = f"{error}; put the key back or set the headers again (PATCH), then recover the endpoint"
            return AttemptResult(DeliveryOutcome.HEADERS_UNREADABLE, None, 0, "", None, hint=why, url=url)
        ours = signing.sign(secrets, delivery.event_id, int(self.environment.clock()), body)
        if trace is not None:
            ours = {**ours, "traceparent": trace}
        also = await self.networks(delivery.tenant)
        outgoing = headers.outgoing(added, ours)
        attempt = await self.deliverer.post(url, outgoing, body, also, delivery.tenant)
        return attempt.hiding(added.values())

    async def _record(
        self,
        ticket: Ticket,
        delivery: Delivery,
        endpoint: Endpoint | None,
        attempt: AttemptResult,
        begun_at: int,
    ) -> None:
        sent = attempt.outcome not in _NOT_SENT
        number = delivery.attempts + 1 if sent else delivery.attempts
        decision = self._decide(delivery, number - delivery.since, endpoint, attempt)
        if endpoint is not None and attempt.disables is not None:
            reason, now = attempt.disables, self.environment.now_ms()
            await persist(lambda: self.endpoints.disable(endpoint, reason, now), self.environment)
        next_at = None if decision.delay is None else self.environment.now_ms() + int(decision.delay * 1000)
        entry = entry_of(number, delivery.trigger, begun_at, attempt.public(), next_at, decision.gave_up)
        log = noted(delivery.log, entry)
        made = replace(delivery, attempts=number, next_attempt_at=next_at, log=log)
        healthy = attempt.outcome is DeliveryOutcome.SUCCEEDED if sent else None
        result = await self._finish(ticket, made, decision, attempt.outcome, healthy)
        structlog.get_logger().info(
            "attempted",
            delivery=made.id,
            job=made.job_id,
            tenant=made.tenant,
            attempt=made.attempts,
            trigger=made.trigger,
            outcome=attempt.outcome,
            status=attempt.status,
            ms=attempt.duration_ms,
            again_in_seconds=decision.delay and round(decision.delay, 1),
            record=result.outcome,
        )

    def _decide(
        self, delivery: Delivery, in_round: int, endpoint: Endpoint | None, attempt: AttemptResult
    ) -> Decision:
        """`in_round`: how many attempts of the current round were made, with this one."""
        if attempt.outcome is DeliveryOutcome.SUCCEEDED:
            return Decision(DeliveryEvent.ATTEMPT_SUCCEEDED)
        if attempt.outcome is DeliveryOutcome.HEADERS_UNREADABLE:
            return Decision(DeliveryEvent.HEADERS_UNREADABLE)
        if attempt.disables is not None:
            if endpoint is not None:
                return Decision(DeliveryEvent.ENDPOINT_DISABLED)
            return Decision(DeliveryEvent.ATTEMPTS_EXHAUSTED, gave_up=f"the callback_url {attempt.disables}")
        schedule = self.settings.delivery_schedule_seconds
        if endpoint is not None and endpoint.schedule is not None:
            schedule = list(endpoint.schedule)
        delay = self._delay(delivery, in_round, schedule, attempt)
        if delay is not None:
            return Decision(DeliveryEvent.ATTEMPT_FAILED, delay)
        last = in_round > len(schedule)
        until = self.settings.delivery_until_seconds
        return Decision(
            DeliveryEvent.ATTEMPTS_EXHAUSTED,
            gave_up="that was the last attempt of its schedule"
            if last
            else f"the next attempt would be later than {until:g} seconds after the start",
        )

    def _delay(
        self, delivery: Delivery, in_round: int, schedule: Sequence[float], attempt: AttemptResult
    ) -> float | None:
        random, left = self.environment.random, self._left_seconds(delivery)
        if attempt.outcome is DeliveryOutcome.SECRET_MISSING:
            again = _SECRET_RETRY_SECONDS * (1 + JITTER * random())
            return again if again <= left else None
        return delivery_delay(
            schedule,
            in_round,
            attempt.outcome,
            retry_after(attempt.retry_after, self.environment.clock()),
            random,
            overload_floor_seconds=self.settings.delivery_overload_seconds,
            remaining_seconds=left,
        )

    def _left_seconds(self, delivery: Delivery) -> float:
        """How long automatic attempts may still go on. A redelivery starts with the whole time again."""
        begun = delivery.created_at if delivery.round_at is None else delivery.round_at
        return begun / 1000 + self.settings.delivery_until_seconds - self.environment.clock()

    async def _finish(
        self, ticket: Ticket, delivery: Delivery, decision: Decision, label: str, healthy: bool | None
    ) -> TransitionResult:
        """If the lease was lost and another worker has the ticket, nothing is recorded: `stale`."""
        retry_in_ms = None if decision.delay is None else int(decision.delay * 1000)
        return await persist(
            lambda: self.deliveries.finish(
                ticket,
                delivery,
                decision.event,
                retry_in_ms=retry_in_ms,
                tally=[f"delivery_attempts|{label}"],
                health_ok=healthy,
            ),
            self.environment,
        )

    def _secrets(self, delivery: Delivery, endpoint: Endpoint | None) -> list[str]:
        if endpoint is not None:
            return signing_secrets(self.keyring, endpoint, self.environment.now_ms())
        # The tenant saw the secret of the key that was active then. It is valid as long as that key is kept.
        return [tenant_secret(self.keyring, kid, delivery.tenant) for kid in self.keyring.kids]


def entry_of(
    number: int, trigger: str, at: int, attempt: dict[str, Any], next_at: int | None, gave_up: str | None
) -> dict[str, Any]:
    """A log entry. `number`: of the attempt; `at`: when it began; `next_at`: when the next is due, ms."""
    entry = {"number": number, "at": rfc3339(at), "trigger": trigger, **attempt}
    entry["next_attempt_at"] = rfc3339(next_at)
    return entry | {"gave_up": gave_up} if gave_up else entry


def noted(log: Sequence[dict[str, Any]], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The log with one more entry. Keeps the newest entries; shortens older ones to fit the limit."""
    if not log:
        return [entry]
    # An attempt that sent nothing repeats often: it must not push the real attempts out of the log.
    repeated = entry["outcome"] in _NOT_SENT and entry["outcome"] == log[-1].get("outcome")
    log = [*(log[:-1] if repeated else log), entry][-KEPT_ATTEMPTS:]
    sizes = [len(orjson.dumps(one)) + 1 for one in log]
    for at, older in enumerate(log[:-1]):
        if sum(sizes) < LOG_LIMIT_BYTES:
            break
        log[at] = shortened(older)
        sizes[at] = len(orjson.dumps(log[at])) + 1
    while sum(sizes) >= LOG_LIMIT_BYTES and len(log) > 1:  # their URLs may be long
        del log[0], sizes[0]
    return log
