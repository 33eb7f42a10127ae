"""Operators' operations that show an overview of the service, and its workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.dispatch import Role
from gateway.jobs import rfc3339
from gateway.lifecycle import DeliveryState, JobState
from gateway.resources import Resources
from gateway.store import durability, replication
from gateway.store.account_gauges import AccountGauges
from gateway.store.lane_views import FailingSubscriber
from gateway.store.located import locator_of
from gateway.store.replication import Lag, Replication
from gateway.store.snapshot import Gauges, RoleGauges
from gateway.tenants import Key
from gateway.web.alarms import Alarm, Figures, alarms_of
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params
from gateway.web.schemas import overview as schemas
from gateway.web.state import State, state_of

_GUIDE: Final = "docs/operations.md"
#: How many failing subscribers are read, those that have failed longest.
MOST_FAILING: Final = 20


async def show(request: Request, key: Key, _: Params) -> Response:
    """Depth, age, slots, counts and alarms: a few round trips to Redis, regardless of the depth."""
    return json_answer(await read(state_of(request)))


async def workers(request: Request, key: Key, _: Params) -> Response:
    """The worker processes that reported in the last minute."""
    data = await worker_rows(state_of(request))
    return json_answer(schemas.WorkerList(object="list", data=data, has_more=False, next=None))


async def read(state: State) -> schemas.Overview:
    """The overview of the whole service."""
    gauges = await state.resources.gauges.read()
    failing = await failing_subscribers(state, gauges)
    durable = not await faults_of(state)
    return _view(state, gauges, failing, durable, await replication_of(state.resources))


async def faults_of(state: State) -> list[str]:
    """How Redis could lose acknowledged writes."""
    resources = state.resources
    return await durability.faults(resources.redis, resources.settings.durability_demand())


async def replication_of(resources: Resources) -> Replication:
    """The servers of the store, as the primary sees them. Raises StoreUnavailable."""
    return await replication.read(resources.redis, locator_of(resources.settings.redis_url))


async def failing_subscribers(state: State, gauges: Gauges) -> list[FailingSubscriber]:
    """Those that have failed longest."""
    if not gauges.failing_subscribers:
        return []
    return await state.resources.lane_views.failing(MOST_FAILING)


async def worker_rows(state: State) -> list[schemas.Worker]:
    """The workers that reported in the last minute."""
    resources = state.resources
    now = resources.environment.now_ms()
    return [
        {
            "object": "worker",
            "id": worker.id,
            "host": worker.host,
            "pid": worker.pid,
            "roles": list(worker.roles),
            "version": worker.version,
            "started_at": rfc3339(worker.started_at),
            "last_seen_at": rfc3339(now - worker.seen_ms_ago),
            "running": worker.running,
            "state": "silent" if worker.silent else "running",
        }
        for worker in await resources.workers.all()
    ]


def _view(
    state: State,
    gauges: Gauges,
    failing: Sequence[FailingSubscriber],
    durable: bool,
    found: Replication,
) -> schemas.Overview:
    settings, space = state.resources.settings, state.disk.space
    roles = settings.roles()
    now = state.resources.environment.now_ms()
    callbacks = bool(settings.public_url)
    figures = _figures(gauges, failing, durable, now, callbacks=callbacks)
    headroom = None if space is None else space.headroom
    alarms = alarms_of(replace(figures, disk_headroom=headroom, media_up=state.media.up))
    proven = gauges.callback_path_age_seconds
    return {
        "object": "overview",
        "at": rfc3339(now),
        "alarms": [_alarm(alarm) for alarm in alarms],
        "roles": {role.value: _role(found, roles[role].slots) for role, found in gauges.roles.items()},
        "jobs": {phase.value: gauges.counts.get(f"job:{phase}", 0) for phase in JobState},
        "finished": {
            name.partition("|")[2]: n for name, n in gauges.tally.items() if name.startswith("jobs_finished|")
        },
        "deliveries": {one.value: gauges.counts.get(f"delivery:{one}", 0) for one in DeliveryState},
        "accounts": [_account(account, stopped=gauges.paused) for account in gauges.accounts],
        "paused": gauges.paused,
        "workers": gauges.workers,
        "silent_workers": gauges.silent_workers,
        "callbacks": {
            "expected": callbacks,
            "proven_seconds": None if proven is None else round(proven, 1),
            "seen": sum(n for name, n in gauges.tally.items() if name.startswith("callbacks|")),
            "lost": sum(n for name, n in gauges.tally.items() if name.startswith("callback_lost")),
        },
        "paused_subscribers": gauges.paused_lanes,
        "failing_subscribers": gauges.failing_subscribers,
        "deliveries_late_seconds": round(_late(gauges), 1),
        "unknown_oldest_seconds": round(gauges.unknown_oldest_seconds, 1),
        "redis": {
            "durable": durable,
            "memory_bytes": gauges.memory_bytes,
            "memory_ratio": round(gauges.memory_ratio, 4),
            "version": gauges.redis_version,
            "read_ms": round(gauges.read_seconds * 1000, 2),
            "replication": _replication(found),
        },
        "disk": None if space is None else {"free_bytes": space.free, "needed_bytes": space.needed},
    }


def _replication(found: Replication) -> schemas.ReplicationOverview:
    return {
        "mode": found.mode,
        "primary": found.primary,
        "role": found.role,
        "replicas": found.replicas,
        "syncing_replicas": found.syncing,
        "furthest": _lag(found.furthest),
        "nearest": _lag(found.nearest),
        "replid": found.replid,
    }


def _lag(lag: Lag) -> schemas.ReplicaLag:
    return {"bytes": lag.bytes, "seconds": lag.seconds}


def _alarm(alarm: Alarm) -> schemas.AlarmShown:
    return {
        "code": alarm.code,
        "severity": alarm.severity,
        "fault": alarm.fault,
        "subject": alarm.subject,
        "text": alarm.text,
        "page": alarm.page,
        "runbook": f"{_GUIDE}#{alarm.code.lower()}",
    }


def _role(role: RoleGauges, slots: int) -> schemas.RoleOverview:
    return {
        "waiting": role.waiting,
        "oldest_seconds": round(role.oldest_seconds, 1),
        "due": role.due,
        "overdue_seconds": round(role.overdue_seconds, 1),
        "slots_in_use": role.slots,
        "slots": slots,
    }


def _account(account: AccountGauges, *, stopped: bool) -> schemas.AccountOverview:
    return {
        "name": account.name,
        "state": account.state(stopped=stopped),
        "paused": account.paused,
        "held": account.held,
        "slots": account.slots,
        "limit": account.limit,
        "in_flight": account.in_flight,
        "paused_seconds": account.paused_seconds,
    }


def _late(gauges: Gauges) -> float:
    """The longest wait of a due delivery to a subscriber that is not paused."""
    return max(gauges.due_seconds, gauges.roles[Role.DELIVER].overdue_seconds)


def _figures(
    gauges: Gauges, failing: Sequence[FailingSubscriber], durable: bool, now_ms: int, *, callbacks: bool
) -> Figures:
    submit = gauges.roles[Role.SUBMIT]
    return Figures(
        durable=durable,
        paused=gauges.paused,
        accounts=gauges.accounts,
        callbacks=callbacks,
        callback_path_seconds=gauges.callback_path_age_seconds,
        callback_path_unproven_seconds=gauges.callback_path_unproven_seconds,
        unknown=gauges.counts.get(f"job:{JobState.UNKNOWN}", 0),
        unknown_seconds=gauges.unknown_oldest_seconds,
        waiting=submit.waiting,
        queue_seconds=submit.oldest_seconds,
        queue_tenant=submit.oldest_lane,
        workers=gauges.workers,
        sweep_seconds=gauges.sweep_age_seconds,
        lease_seconds=max(role.lease_overdue_seconds for role in gauges.roles.values()),
        due_seconds=_late(gauges),
        failing=failing,
        failing_total=gauges.failing_subscribers,
        dead=gauges.counts.get(f"delivery:{DeliveryState.DEAD}", 0),
        memory_ratio=gauges.memory_ratio,
        skew_seconds=now_ms / 1000 - gauges.now,
        unknown_statuses=gauges.unknown_statuses,
        dying=gauges.assets.dying,
        unsafe_failover_seconds=gauges.unsafe_failover_seconds,
        on_hold=gauges.on_hold,
        money=gauges.money,
        prices=gauges.prices,
    )
