"""Metrics of the store's servers: how the primary is found, and how far its replicas are behind."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily, Metric

from gateway.store.replication import Replication


def families(found: Replication) -> Iterator[Metric]:
    """What is unknown is absent."""
    yield InfoMetricFamily(
        "gateway_redis",
        "How the store is found, and where its primary is",
        {"mode": found.mode, "primary": found.primary or "", "role": found.role or ""},
    )
    if found.replicas is not None:
        yield GaugeMetricFamily(
            "gateway_redis_replicas", "Replicas that are connected to the primary", value=found.replicas
        )
    if found.syncing is not None:
        yield GaugeMetricFamily(
            "gateway_redis_replicas_syncing",
            "Those of them that still load their copy of the data",
            value=found.syncing,
        )
    lags = {"furthest": found.furthest, "nearest": found.nearest}
    behind = GaugeMetricFamily(
        "gateway_redis_replica_lag_bytes",
        "Bytes of writes that the replica has not acknowledged: of the one furthest behind, and the nearest",
        labels=["replica"],
    )
    silent = GaugeMetricFamily(
        "gateway_redis_replica_lag_seconds",
        "Time since the replica last acknowledged anything, which it does once a second",
        labels=["replica"],
    )
    for name, lag in lags.items():
        if lag.bytes is not None:
            behind.add_metric([name], lag.bytes)
        if lag.seconds is not None:
            silent.add_metric([name], lag.seconds)
    yield from (behind, silent)
