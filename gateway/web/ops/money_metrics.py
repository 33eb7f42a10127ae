"""Metrics of money: of the tenants that were charged most, the suspense, budgets, and drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from gateway.money.amounts import MICRO
from gateway.store.spend import MoneyGauges, TenantSpend

#: The tenant of the sums over all others: no name of a tenant.
OTHERS: Final = "(others)"


def families(money: MoneyGauges) -> Iterator[Metric]:
    """What is unknown is absent."""
    yield GaugeMetricFamily(
        "gateway_money_suspense_jobs", "Finished jobs whose money is in suspense", value=money.suspended
    )
    yield GaugeMetricFamily(
        "gateway_money_suspense_oldest_seconds",
        "How long the first of them has been in suspense",
        value=money.suspense_seconds,
    )
    if money.check is not None:
        yield GaugeMetricFamily(
            "gateway_ledger_differences",
            "Balances that were not what the ledger says when they were last compared",
            value=money.check.different,
        )
        yield GaugeMetricFamily(
            "gateway_ledger_checked_seconds",
            "Time since they were last compared",
            value=money.checked_seconds,
        )
    if money.spend is None:
        return
    rows: dict[str, tuple[str, Callable[[TenantSpend], int]]] = {
        "reserved": ("Money reserved for unfinished jobs", lambda one: one.reserved),
        "charged": ("Money charged since the first job", lambda one: one.charged),
        "suspense": (
            "Money of finished jobs that nobody knows to be paid or not",
            lambda one: one.suspense,
        ),
        "wasted": (
            "The part of it for jobs that did not complete",
            lambda one: one.wasted,
        ),
    }
    for name, (meaning, amount) in rows.items():
        family = GaugeMetricFamily(f"gateway_money_{name}", meaning, labels=["tenant"])
        for one in money.spend.tenants:
            family.add_metric([one.tenant or OTHERS], amount(one) / MICRO)
        yield family
    yield GaugeMetricFamily(
        "gateway_money_drift_ratio",
        "By which part the costs of today's and yesterday's jobs were above their estimates",
        value=money.spend.drift,
    )
    soon = GaugeMetricFamily(
        "gateway_budget_used_ratio",
        "Used part of the budgets that will be spent before their period ends; at most 20 of them",
        labels=["tenant", "key", "period"],
    )
    for budget in money.spend.soon:
        labels = [budget.tenant, budget.key or "", budget.period]
        soon.add_metric(labels, budget.used / max(1, budget.limit))
    yield soon
