"""Renders metrics for Prometheus: those of the service, which come from Redis and are the same in every
process, and those of this gateway's processes."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.dispatch import Role, RoleLimits
from gateway.lifecycle import DeliveryState, JobState
from gateway.local.shared_memory import Shared
from gateway.media.base import Space
from gateway.store.histograms import BOUNDS
from gateway.store.lane_views import FailingSubscriber
from gateway.store.replication import Replication
from gateway.store.snapshot import Gauges, RoleGauges
from gateway.web.http.request_counts import RequestCounts
from gateway.web.ops import money_metrics, partner_metrics, process_metrics, store_metrics

MEDIA_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

#: Counters that the scripts keep by outcome (`name|outcome`), with their help texts.
_BY_OUTCOME: Final = {
    "submissions": "Submissions, by the upstream's response",
    "jobs_finished": "Finished jobs, by outcome",
    "callbacks": "Genuine callbacks, by what they reported",
    "delivery_attempts": "Delivery attempts, by outcome",
    "cancels": "Cancel requests that the upstream refused",
    "quarantined": "Callbacks put into quarantine, by reason",
    "leases_expired": "Expired leases, by role: a worker died or hung",
    "copies": "Attempts to copy a file of a result, by outcome",
    "copies_given_up": "Files of results that were given up, by the reason of the last attempt",
    "resubmissions": "Jobs sent again after an unknown outcome, by who decided: they may be paid for twice",
    "charges": "Charged tasks, by how their cost is known: from the upstream, the estimate, or an operator",
    "suspense": "Finished jobs for which it is not known whether they were charged",
    "budget_refusals": "Jobs that a hard budget did not allow, by budget",
    "budget_thresholds": "Times the use of a budget reached 50, 80 or 100 %",
    "currency_mismatch": "Costs that the upstream named in another currency: the estimate was charged",
    "store_failovers": "Times another server became Redis' primary; unacknowledged: writes may be gone",
    "rollback_seen": "Callbacks that prove that Redis lost acknowledged writes, by what is missing",
}
#: Rare and severe outcomes. Exported from the start, so that the first one is visible as an increase.
_SEEDED: Final = {
    "quarantined": ("ahead", "crossed", "distrusted", "orphan", "unreadable"),
    "rollback_seen": ("ahead", "orphan"),
    "budget_thresholds": ("50", "80", "100"),
    "currency_mismatch": ("tasks",),
    "store_failovers": ("acknowledged", "unacknowledged"),
}
#: Counters without an outcome, with their help texts. Also exported from the start.
_WHOLE: Final = {
    "jobs_accepted": "Accepted jobs",
    "callback_lost": "Finished jobs whose result was found by a poll although callbacks are on",
    "subscribers_parked": "Times a subscriber's circuit breaker opened",
    "late_results": "Results that arrived after their job had failed",
    "duplicate_spend": "Completed jobs for which the upstream created more than one task",
}

#: Durations that the scripts measure: name in the scripts, metric, label (or None), help text.
_TIMED: Final = (
    (
        *("wait:", "gateway_dispatch_wait_seconds", "role"),
        "Time from entering a lane to being dispatched",
    ),
    ("job", "gateway_job_seconds", None, "Time from accepting a job to finishing it"),
    (
        "confirm",
        "gateway_confirm_lag_seconds",
        None,
        "Time from the final callback of a job to finishing the job",
    ),
)


def render(
    gauges: Gauges | None,
    failing: Sequence[FailingSubscriber],
    durable: bool | None,
    replication: Replication | None,
    limits: Mapping[Role, RoleLimits],
    shared: Shared,
    request_counts: RequestCounts,
    space: Space | None,
    media_up: bool | None,
    *,
    now: float,
    callbacks: bool,
) -> bytes:
    """All metrics as text. `gauges`, `durable`, `replication`: None without Redis. `failing`: the subscribers
    that have failed longest. `shared`: by the processes of this gateway. `space`: of the disk of files; None
    if unknown. `media_up`: whether files can be stored; None if unknown. `now`: this process' clock, seconds
    since the epoch. `callbacks`: whether the upstream is asked to send callbacks."""
    registry = CollectorRegistry()
    families = [
        *_families(gauges, failing, durable, limits),
        *(store_metrics.families(replication) if replication is not None else ()),
        *process_metrics.families(shared, request_counts, gauges, space, media_up, now, callbacks=callbacks),
    ]
    registry.register(_Collected(families))
    return generate_latest(registry)


class _Collected:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _families(
    gauges: Gauges | None,
    failing: Sequence[FailingSubscriber],
    durable: bool | None,
    limits: Mapping[Role, RoleLimits],
) -> Iterator[Metric]:
    yield GaugeMetricFamily("gateway_redis_up", "1 when Redis answered", value=0 if gauges is None else 1)
    if durable is not None:
        yield GaugeMetricFamily(
            "gateway_redis_durable", "1 when Redis is configured for durable writes", value=int(durable)
        )
    slots = {role.value: limit.slots for role, limit in limits.items()}
    yield _labelled("gateway_slots", "Configured slots", "role", slots)
    if gauges is not None:
        yield from _single(gauges)
        yield from _prices(gauges)
        held = "1 while nothing is submitted because Redis failed over"
        yield GaugeMetricFamily("gateway_submissions_held", held, value=int(gauges.on_hold))
        yield from partner_metrics.accounts(gauges)
        yield from partner_metrics.subscribers(gauges, failing)
        yield from money_metrics.families(gauges.money)
        yield from _counts(gauges)
        yield from _queues(gauges)
        yield from _tallies(gauges)
        yield from _timings(gauges)


def _single(gauges: Gauges) -> Iterator[Metric]:
    deliver = gauges.roles[Role.DELIVER]
    rows: dict[str, tuple[str, float | None]] = {
        "gateway_sweep_age_seconds": (
            "Time since the last sweep by any worker; absent before the first",
            gauges.sweep_age_seconds,
        ),
        "gateway_callback_path_age_seconds": (
            "Time since callbacks were last proven to reach us; absent before the first proof",
            gauges.callback_path_age_seconds,
        ),
        "gateway_callback_path_unproven_seconds": (
            "Time since the first probe of the callback route; absent once a probe has arrived",
            gauges.callback_path_unproven_seconds,
        ),
        "gateway_unknown_oldest_age_seconds": (
            "Age of the oldest unknown outcome",
            gauges.unknown_oldest_seconds,
        ),
        "gateway_deliveries_parked_lanes": (
            "Paused subscribers: their circuit breaker is open, or an operator paused them",
            gauges.paused_lanes,
        ),
        "gateway_deliveries_oldest_due_seconds": (
            "How long the oldest due delivery has waited, including those to paused subscribers",
            max(deliver.oldest_seconds, deliver.overdue_seconds),
        ),
        "gateway_deliveries_late_seconds": (
            "How long the oldest due delivery has waited, without those to paused subscribers",
            max(gauges.due_seconds, deliver.overdue_seconds),
        ),
        "gateway_assets_stored_bytes": ("Bytes of the copies of results", gauges.assets.stored_bytes),
        "gateway_assets_pending_oldest_seconds": (
            "How long the oldest file that is not copied yet has waited",
            gauges.assets.pending_seconds,
        ),
        "gateway_assets_dying": (
            "Files that are not copied and whose address is soon taken to be dead",
            gauges.assets.dying,
        ),
        "gateway_archive_lag_seconds": (
            "How long the oldest finished job that is not archived yet is due; absent without archiving",
            gauges.archive_lag_seconds,
        ),
        "gateway_workers": ("Worker processes that reported in the last 10 s", gauges.workers),
        "gateway_paused": (
            "1 while an operator keeps the service paused",
            int(gauges.paused),
        ),
        "gateway_redis_memory_bytes": ("Memory that Redis uses", gauges.memory_bytes),
        "gateway_redis_memory_ratio": (
            "Used fraction of Redis' maxmemory; 0 if there is no limit",
            gauges.memory_ratio,
        ),
    }
    for name, (meaning, value) in rows.items():
        if value is not None:
            yield GaugeMetricFamily(name, meaning, value=value)


def _prices(gauges: Gauges) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "gateway_price_books",
        "Different sets of prices that gateway processes have worked with for a while",
        value=gauges.prices.books,
    )
    yield GaugeMetricFamily(
        "gateway_price_faults",
        "Gateway processes that cannot use the newest prices",
        value=gauges.prices.faults,
    )


def _counts(gauges: Gauges) -> Iterator[Metric]:
    jobs = {phase.value: gauges.counts.get(f"job:{phase}", 0) for phase in JobState}
    yield _labelled("gateway_jobs", "Stored jobs, by phase", "phase", jobs)
    deliveries = {state.value: gauges.counts.get(f"delivery:{state}", 0) for state in DeliveryState}
    yield _labelled("gateway_deliveries", "Stored deliveries, by state", "state", deliveries)
    yield _labelled("gateway_assets", "Files of results, by state", "state", gauges.assets.counts)
    yield _labelled(
        "gateway_unknown_status_age_seconds",
        "Time since the upstream last reported this status of a task, which nobody knows",
        "word",
        gauges.unknown_statuses,
    )


def _labelled(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _queues(gauges: Gauges) -> Iterator[Metric]:
    rows: dict[str, tuple[str, Callable[[RoleGauges], float]]] = {
        "gateway_queue_depth": ("Tickets waiting in lanes", lambda role: role.waiting),
        "gateway_queue_oldest_age_seconds": (
            "Age of the oldest ticket waiting in a lane",
            lambda role: role.oldest_seconds,
        ),
        "gateway_due": ("Tickets scheduled to enter a lane later", lambda role: role.due),
        "gateway_due_overdue_seconds": (
            "How late the earliest scheduled ticket is",
            lambda role: role.overdue_seconds,
        ),
        "gateway_slots_in_use": ("Slots in use", lambda role: role.slots),
        "gateway_lease_overdue_seconds": (
            "How long ago the earliest lease expired",
            lambda role: role.lease_overdue_seconds,
        ),
    }
    for name, (meaning, value) in rows.items():
        family = GaugeMetricFamily(name, meaning, labels=["role"])
        for role, of_role in gauges.roles.items():
            family.add_metric([role], value(of_role))
        yield family


def _timings(gauges: Gauges) -> Iterator[Metric]:
    for stem, name, label, meaning in _TIMED:
        family = HistogramMetricFamily(name, meaning, labels=[label] if label else [])
        found = {key: one for key, one in gauges.timings.items() if key.startswith(stem)}
        for key, timing in sorted(found.items()):
            bounds = [f"{bound:g}" for bound in BOUNDS] + ["+Inf"]
            buckets = list(zip(bounds, itertools.accumulate(timing.counts), strict=True))
            family.add_metric([key.removeprefix(stem)] if label else [], buckets, timing.seconds)
        yield family


def _tallies(gauges: Gauges) -> Iterator[Metric]:
    by_name: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, seeds in _SEEDED.items():
        by_name[name] = dict.fromkeys(seeds, 0)
    for tally, number in gauges.tally.items():
        name, _, outcome = tally.partition("|")
        by_name[name][outcome] = number
    for name, meaning in _WHOLE.items():
        yield CounterMetricFamily(f"gateway_{name}", meaning, value=sum(by_name.pop(name, {}).values()))
    for name, outcomes in sorted(by_name.items()):
        meaning = _BY_OUTCOME.get(name, f"Counter of {name}")
        family = CounterMetricFamily(f"gateway_{name}", meaning, labels=["outcome"])
        for outcome, number in sorted(outcomes.items()):
            family.add_metric([outcome], number)
        yield family
