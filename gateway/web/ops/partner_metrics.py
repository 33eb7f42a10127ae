"""Metrics of those that the service depends on: the upstream's accounts, and subscribers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway.store.account_gauges import AccountGauges
from gateway.store.lane_views import FailingSubscriber
from gateway.store.snapshot import Gauges
from gateway.urls import origin_of


def accounts(gauges: Gauges) -> Iterator[Metric]:
    rows: dict[str, tuple[str, Callable[[AccountGauges], float]]] = {
        "gateway_account_parked": (
            "1 while the account is paused, by a refusal of the upstream or by an operator",
            lambda account: int(account.paused),
        ),
        "gateway_account_held": (
            "1 while sending with the account waits for the time that a 429 named",
            lambda account: int(account.held),
        ),
        "gateway_account_slots": (
            "Maximum number of tasks that the account may hold now; a 429 lowers it",
            lambda account: account.slots,
        ),
        "gateway_account_slots_limit": (
            "Configured maximum number of tasks of the account",
            lambda account: account.limit,
        ),
        "gateway_account_slots_in_use": ("Slots of the account in use", lambda account: account.in_flight),
        "gateway_account_parked_seconds": (
            "How long the account has been paused; 0 while it is not",
            lambda account: account.paused_seconds,
        ),
    }
    for name, (meaning, value) in rows.items():
        family = GaugeMetricFamily(name, meaning, labels=["account"])
        for account in gauges.accounts:
            family.add_metric([account.name], value(account))
        yield family


def subscribers(gauges: Gauges, failing: Sequence[FailingSubscriber]) -> Iterator[Metric]:
    """The URL is without path and query, which may hold secrets; the error is one of a few words."""
    yield GaugeMetricFamily(
        "gateway_subscribers_failing",
        "Subscribers whose last attempt failed",
        value=gauges.failing_subscribers,
    )
    family = GaugeMetricFamily(
        "gateway_subscriber_failing_seconds",
        "How long no attempt at the subscriber has succeeded; only those that have failed longest",
        labels=["tenant", "subscriber", "url", "error"],
    )
    for one in failing:
        family.add_metric([one.tenant, one.lane, origin_of(one.url), one.error], one.seconds)
    yield family
