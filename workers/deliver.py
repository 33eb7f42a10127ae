"""One attempt at one delivery: sign the event's frozen bytes, POST them, record what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from gateway.backoff import delivery_delay, retry_after
from gateway.delivery import signing
from gateway.delivery.http import AttemptResult, Deliverer, DeliveryOutcome
from gateway.delivery.secrets import endpoint_secret, tenant_secret
from gateway.dispatch import Ticket
from gateway.endpoints import Delivery, Endpoint
from gateway.environment import Environment
from gateway.errors import ConfigurationError
from gateway.jobs import rfc3339
from gateway.keyring import Keyring
from gateway.lifecycle import DeliveryEvent
from gateway.settings import Settings
from gateway.store.base import DeliveryStore, EndpointStore
from workers.persist import persist

_KEPT_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class Messenger:
    deliveries: DeliveryStore
    endpoints: EndpointStore
    deliverer: Deliverer
    keyring: Keyring
    environment: Environment
    settings: Settings

    async def deliver(self, ticket: Ticket) -> None:
        begun = await self.deliveries.begin(ticket)
        if begun is None:  # stale: another dispatch has it
            return
        delivery, body, endpoint = begun
        if endpoint is not None and endpoint.disabled_at is not None:
            await self._finish(ticket, delivery, DeliveryEvent.ENDPOINT_DISABLED, None, "endpoint_disabled")
            return
        url = endpoint.url if endpoint else delivery.url
        if url is None:
            gone = _noted(delivery, self._entry(delivery, "endpoint_deleted"))
            await self._finish(ticket, gone, DeliveryEvent.ATTEMPTS_EXHAUSTED, None, "endpoint_deleted")
            return
        result = await self._attempt(url, delivery, endpoint, body)
        await self._record(ticket, delivery, endpoint, result)

    async def _attempt(
        self, url: str, delivery: Delivery, endpoint: Endpoint | None, body: bytes
    ) -> AttemptResult:
        try:
            secrets = self._secrets(delivery, endpoint)
        except ConfigurationError as error:  # its key was taken out of the keyring too early
            return AttemptResult(DeliveryOutcome.SECRET_MISSING, None, 0, str(error), None)
        headers = signing.sign(secrets, delivery.event_id, int(self.environment.clock()), body)
        return await self.deliverer.post(url, headers, body)

    async def _record(
        self, ticket: Ticket, delivery: Delivery, endpoint: Endpoint | None, result: AttemptResult
    ) -> None:
        made = replace(delivery, attempts=delivery.attempts + 1)
        made = _noted(made, self._entry(made, result.outcome, result))
        delay: float | None = None
        if result.outcome is DeliveryOutcome.SUCCEEDED:
            event = DeliveryEvent.ATTEMPT_SUCCEEDED
        elif result.outcome is DeliveryOutcome.GONE and endpoint is not None:
            now = self.environment.now_ms()
            await persist(
                lambda: self.endpoints.disable(endpoint, "answered 410 Gone", now), self.environment
            )
            event = DeliveryEvent.ENDPOINT_DISABLED
        else:
            delay = self._delay(made, result)
            event = DeliveryEvent.ATTEMPTS_EXHAUSTED if delay is None else DeliveryEvent.ATTEMPT_FAILED
        await self._finish(ticket, made, event, delay, result.outcome)
        structlog.get_logger().info(
            "attempted",
            delivery=made.id,
            job=made.job_id,
            tenant=made.tenant,
            attempt=made.attempts,
            outcome=result.outcome,
            status=result.status,
            ms=result.duration_ms,
            again_in_seconds=delay and round(delay, 1),
        )

    async def _finish(
        self, ticket: Ticket, delivery: Delivery, event: DeliveryEvent, delay: float | None, label: str
    ) -> None:
        retry_in_ms = None if delay is None else int(delay * 1000)
        await persist(
            lambda: self.deliveries.finish(
                ticket, delivery, event, retry_in_ms=retry_in_ms, tally=[f"delivery_attempts|{label}"]
            ),
            self.environment,
        )

    def _delay(self, delivery: Delivery, result: AttemptResult) -> float | None:
        return delivery_delay(
            self.settings.delivery_schedule_seconds,
            delivery.attempts,
            result.outcome,
            retry_after(result.retry_after, self.environment.clock()),
            self.environment.random,
            overload_floor_seconds=self.settings.delivery_overload_seconds,
        )

    def _secrets(self, delivery: Delivery, endpoint: Endpoint | None) -> list[str]:
        if endpoint is not None:
            return [endpoint_secret(self.keyring, endpoint.kid, endpoint.id, endpoint.version)]
        # A tenant was shown the secret of the key that was active then; it verifies while that key is kept.
        return [tenant_secret(self.keyring, kid, delivery.tenant) for kid in self.keyring.kids]

    def _entry(self, delivery: Delivery, outcome: str, result: AttemptResult | None = None) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "number": delivery.attempts,
            "at": rfc3339(self.environment.now_ms()),
            "outcome": outcome,
        }
        if result is not None:
            entry |= {"status": result.status, "duration_ms": result.duration_ms, "excerpt": result.excerpt}
        return entry


def _noted(delivery: Delivery, entry: dict[str, Any]) -> Delivery:
    return replace(delivery, log=[*delivery.log, entry][-_KEPT_ATTEMPTS:])
