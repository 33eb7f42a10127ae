"""Derives the current alarms from the figures of the service. Pure.

deploy/prometheus/rules.yaml has the same names, thresholds, severities, faults and pages; its alerts also
require that the condition lasts for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.store.account_gauges import AccountGauges
from gateway.store.lane_views import FailingSubscriber
from gateway.store.prices import PriceGauges
from gateway.store.spend import MoneyGauges
from gateway.web.alarm_texts import refused, soon_spent, span

QUEUE_SECONDS: Final = 1800
UNKNOWN_SECONDS: Final = 2400
SWEEP_SECONDS: Final = 30
LEASE_SECONDS: Final = 60
CALLBACK_PATH_SECONDS: Final = 300
DUE_SECONDS: Final = 600
FAILING_SECONDS: Final = 300
MEMORY_RATIO: Final = 0.75
DISK_HEADROOM: Final = 1.5
SKEW_SECONDS: Final = 2
STATUS_SECONDS: Final = 900
FAILOVER_SECONDS: Final = 3600
SUSPENSE_SECONDS: Final = 86_400
#: A comparison of the balances with the ledger is due every hour.
CHECKED_SECONDS: Final = 10_800
#: By which part costs may be above their estimates.
DRIFT_RATIO: Final = 0.05
#: How many failing subscribers get an alarm of their own.
MOST_SUBSCRIBERS: Final = 5
_MAX_WORDS: Final = 3
_MAX_BUDGETS: Final = 5


class Severity(StrEnum):
    PAGE = "page"  #: wake up an operator
    TICKET = "ticket"  #: can wait until the morning


class Fault(StrEnum):
    """Where the cause is, and so who must act."""

    UPSTREAM = "upstream"
    SUBSCRIBER = "subscriber"
    US = "us"  #: the gateway, its workers, Redis, or what an operator did
    LOAD = "load"  #: tenants post more than the upstream takes


@dataclass(frozen=True, slots=True)
class Alert:
    """What is known of an alarm beforehand. `page`: where it is mended, if on one of our pages."""

    severity: Severity
    fault: Fault
    page: str | None = None


ALERTS: Final = {
    "RedisCouldForget": Alert(Severity.PAGE, Fault.US),
    "StoreFailedOver": Alert(Severity.PAGE, Fault.US, "/ops/log?of=events"),
    "NoWorker": Alert(Severity.PAGE, Fault.US, "/ops#workers"),
    "WorkerHangs": Alert(Severity.PAGE, Fault.US, "/ops#workers"),
    "AccountParked": Alert(Severity.PAGE, Fault.UPSTREAM, "/ops/upstream"),
    "UnknownsHoldSlots": Alert(Severity.PAGE, Fault.UPSTREAM, "/ops/jobs"),
    "UnknownOld": Alert(Severity.PAGE, Fault.UPSTREAM, "/ops/jobs"),
    "CallbackPathDead": Alert(Severity.PAGE, Fault.US, "/ops/upstream"),
    "StatusUnknown": Alert(Severity.PAGE, Fault.UPSTREAM, "/ops/log?of=events"),
    "SlotsCut": Alert(Severity.TICKET, Fault.UPSTREAM, "/ops/upstream"),
    "AccountHeld": Alert(Severity.TICKET, Fault.UPSTREAM, "/ops/upstream"),
    "SubmissionsHeld": Alert(Severity.TICKET, Fault.US),
    "ServicePaused": Alert(Severity.TICKET, Fault.US, "/ops/upstream"),
    "QueueOld": Alert(Severity.TICKET, Fault.LOAD, "/ops/queue"),
    "SubscriberFails": Alert(Severity.TICKET, Fault.SUBSCRIBER, "/ops/endpoints"),
    "DeliveriesOverdue": Alert(Severity.TICKET, Fault.US, "/ops/queue?role=deliver"),
    "DeadLetters": Alert(Severity.TICKET, Fault.SUBSCRIBER, "/ops/deliveries"),
    "ResultsUncopied": Alert(Severity.PAGE, Fault.US, "/ops/queue?role=mirror"),
    "MoneyInSuspense": Alert(Severity.TICKET, Fault.UPSTREAM, "/ops/spend#suspense"),
    "BudgetSoonSpent": Alert(Severity.TICKET, Fault.LOAD, "/ops/spend#budgets"),
    "LedgerDrift": Alert(Severity.TICKET, Fault.US, "/ops/spend#drift"),
    "RedisNearlyFull": Alert(Severity.TICKET, Fault.US),
    "MediaStoreAway": Alert(Severity.PAGE, Fault.US),
    "DiskNearlyFull": Alert(Severity.TICKET, Fault.US),
    "ClockSkew": Alert(Severity.TICKET, Fault.US),
    "PricesDiffer": Alert(Severity.TICKET, Fault.US),
    "PricesUnreadable": Alert(Severity.TICKET, Fault.US),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """Input of the alarms. `durable`: None if unknown. `callbacks`: whether they are on. `accounts`: of the
    upstream. `workers`: running processes. `sweep_seconds`, `callback_path_seconds`: None if never yet;
    `callback_path_unproven_seconds`: since the first probe while none has ever arrived. `unknown`: jobs whose
    outcome is unknown, `waiting`: jobs that wait, the longest for `queue_seconds` in the lane of
    `queue_tenant`. `due_seconds`: of deliveries to subscribers that are not paused. `failing`: the
    subscribers that have failed longest, of `failing_total`. `unknown_statuses`: words for a task's state
    that nobody knows, and seconds since each was last seen. `disk_headroom`: free bytes of the disk of files,
    divided by those that must stay free; None if unknown. `media_up`: whether files can be stored; None if
    unknown. `dying`: files of results that are not copied and whose address is soon taken to be dead.
    `unsafe_failover_seconds`, `on_hold`, `money`, `prices`: as of `Gauges`."""

    durable: bool | None
    paused: bool
    accounts: Sequence[AccountGauges]
    callbacks: bool
    callback_path_seconds: float | None
    callback_path_unproven_seconds: float | None
    unknown: int
    unknown_seconds: float
    waiting: int
    queue_seconds: float
    queue_tenant: str | None
    workers: int
    sweep_seconds: float | None
    lease_seconds: float
    due_seconds: float
    failing: Sequence[FailingSubscriber]
    failing_total: int
    dead: int
    memory_ratio: float
    skew_seconds: float
    unknown_statuses: Mapping[str, float] = field(default_factory=dict)
    disk_headroom: float | None = None
    media_up: bool | None = None
    dying: int = 0
    unsafe_failover_seconds: float | None = None
    on_hold: bool = False
    money: MoneyGauges = field(default_factory=MoneyGauges)
    prices: PriceGauges = field(default_factory=PriceGauges)


@dataclass(frozen=True, slots=True)
class Alarm:
    """`code`: name of the alert and heading of its section in docs/operations.md. `page`: where it is mended.
    `subject`: what it is about, if there may be several of this code."""

    code: str
    severity: Severity
    fault: Fault
    text: str
    page: str | None
    subject: str | None = None


def alarms_of(now: Figures) -> list[Alarm]:
    """Most severe first."""
    found = [*_processes(now), *_upstream(now), *_queues(now), *_subscribers(now), *_money(now.money)]
    return sorted(found, key=lambda alarm: alarm.severity is not Severity.PAGE)


def _alarm(
    code: str, text: str, *, fault: Fault | None = None, page: str | None = None, subject: str | None = None
) -> Alarm:
    known = ALERTS[code]
    return Alarm(code, known.severity, fault or known.fault, text, page or known.page, subject)


def _processes(now: Figures) -> Iterator[Alarm]:
    if now.durable is False:
        yield _alarm("RedisCouldForget", "Redis writes are not durable")
    if now.unsafe_failover_seconds is not None and now.unsafe_failover_seconds < FAILOVER_SECONDS:
        ago = span(now.unsafe_failover_seconds)
        text = f"another server became the primary of Redis {ago} ago: acknowledged writes may be gone"
        yield _alarm("StoreFailedOver", text)
    if now.on_hold:
        yield _alarm("SubmissionsHeld", "nothing is submitted for a while, because Redis failed over")
    if now.workers == 0 or (now.sweep_seconds or 0) > SWEEP_SECONDS:
        yield _alarm("NoWorker", f"{_no_worker(now)}: nothing is sent, confirmed or delivered")
    elif now.lease_seconds > LEASE_SECONDS:
        yield _alarm("WorkerHangs", "work is overdue and no worker takes it over")
    if now.paused:
        yield _alarm("ServicePaused", "nothing is sent: an operator paused the service")
    if now.memory_ratio > MEMORY_RATIO:
        yield _alarm("RedisNearlyFull", f"Redis uses {now.memory_ratio:.0%} of its maxmemory")
    if now.media_up is False:
        text = "the media store is away: jobs with files are refused or wait, and no result is copied"
        yield _alarm("MediaStoreAway", text)
    if now.disk_headroom is not None and now.disk_headroom < DISK_HEADROOM:
        yield _alarm("DiskNearlyFull", f"the disk of files is nearly full: {refused(now.disk_headroom)}")
    if abs(now.skew_seconds) > SKEW_SECONDS:
        skew = f"{abs(now.skew_seconds):.1f} s"
        yield _alarm("ClockSkew", f"the clocks of this gateway and Redis differ by {skew}")
    if now.prices.books > 1:
        text = f"gateways work with {now.prices.books} different sets of prices: estimates differ"
        yield _alarm("PricesDiffer", text)
    if now.prices.faults:
        text = f"{now.prices.faults} gateway processes cannot use the newest prices: the last good ones count"
        yield _alarm("PricesUnreadable", text)


def _no_worker(now: Figures) -> str:
    if now.sweep_seconds is None:
        return "no worker has run yet"
    if now.workers == 0:
        return "no worker runs"
    return f"no worker has run a sweep for {span(now.sweep_seconds)}"


def _upstream(now: Figures) -> Iterator[Alarm]:
    if paused := [one for one in now.accounts if one.paused]:
        yield _paused(paused, len(now.accounts))
    open_accounts = [one for one in now.accounts if not one.paused]
    if held := [one for one in open_accounts if one.held]:
        accounts = ", ".join(f"with {one.name} for {span(one.hold_seconds)} more" for one in held)
        yield _alarm("AccountHeld", f"the upstream answered 429: nothing is sent {accounts}")
    if cut := [one for one in open_accounts if one.limit > 1 and 2 * one.slots <= one.limit]:
        limits = ", ".join(f"{one.name} may hold {one.slots} of {one.limit} slots" for one in cut)
        yield _alarm("SlotsCut", f"the upstream answered 429: {limits}")
    slots = sum(one.slots for one in now.accounts)
    if now.unknown and 2 * now.unknown >= slots:
        waiting = f", and {now.waiting} jobs wait" if now.waiting else ""
        held_by = f"{now.unknown} jobs with an unknown outcome hold most of the {slots} slots"
        yield _alarm("UnknownsHoldSlots", f"{held_by}{waiting}: the upstream's answers were lost")
    if now.unknown_seconds > UNKNOWN_SECONDS:
        yield _alarm("UnknownOld", f"an outcome has been unknown for {span(now.unknown_seconds)}")
    unheard = now.callback_path_seconds
    if unheard is None:
        unheard = now.callback_path_unproven_seconds
    if now.callbacks and unheard is not None and unheard > CALLBACK_PATH_SECONDS:
        since = "have not reached us" if now.callback_path_seconds is not None else "have never reached us"
        text = f"callbacks {since} for {span(unheard)}: polling finds results later"
        yield _alarm("CallbackPathDead", text)
    if words := [word for word, seconds in now.unknown_statuses.items() if seconds < STATUS_SECONDS]:
        quoted = ", ".join(f'"{word}"' for word in words[:_MAX_WORDS])
        more = f" and {len(words) - _MAX_WORDS} more" if len(words) > _MAX_WORDS else ""
        yield _alarm("StatusUnknown", f"the upstream reports a status that nobody knows: {quoted}{more}")


def _paused(paused: Sequence[AccountGauges], accounts: int) -> Alarm:
    names = ", ".join(one.name for one in paused)
    what = "nothing is sent" if len(paused) >= accounts else f"nothing is sent with {names}"
    reasons = "; ".join(
        f"{'the upstream refused' if one.by is None else f'operator {one.by} paused'} account {one.name}"
        + (f" ({one.reason})" if one.reason else "")
        for one in paused
    )
    ours = all(one.by is not None for one in paused)
    return _alarm("AccountParked", f"{what}: {reasons}", fault=Fault.US if ours else None)


def _queues(now: Figures) -> Iterator[Alarm]:
    if now.queue_seconds > QUEUE_SECONDS:
        whose = f", of tenant {now.queue_tenant}," if now.queue_tenant else ""
        yield _alarm("QueueOld", f"the oldest job{whose} has waited for {span(now.queue_seconds)}")
    if now.due_seconds > DUE_SECONDS:
        waited = span(now.due_seconds)
        yield _alarm("DeliveriesOverdue", f"a due webhook has waited for {waited}: too few workers")
    if now.dead > 0:
        yield _alarm("DeadLetters", f"{now.dead} webhooks are dead letters")
    if now.dying > 0:
        files = "1 file of a result is" if now.dying == 1 else f"{now.dying} files of results are"
        yield _alarm("ResultsUncopied", f"{files} not copied, and the upstream's address dies soon")


def _subscribers(now: Figures) -> Iterator[Alarm]:
    failing = [one for one in now.failing if one.open or one.seconds > FAILING_SECONDS]
    for one in failing[:MOST_SUBSCRIBERS]:
        paused = "; its circuit breaker is open" if one.open else ""
        text = f"{one.url} of tenant {one.tenant} has failed for {span(one.seconds)}: {one.error}{paused}"
        page = f"/ops/endpoints/{one.lane}" if one.lane.startswith("ep_") else None
        yield _alarm("SubscriberFails", text, page=page, subject=one.lane)
    if len(failing) > MOST_SUBSCRIBERS:
        more = now.failing_total - MOST_SUBSCRIBERS
        yield _alarm("SubscriberFails", f"up to {more} more subscribers fail", subject="more")


def _money(now: MoneyGauges) -> Iterator[Alarm]:
    if now.suspense_seconds > SUSPENSE_SECONDS:
        jobs = "1 job" if now.suspended == 1 else f"{now.suspended} jobs"
        waited = f"the longest for {span(now.suspense_seconds)}: was it paid?"
        yield _alarm("MoneyInSuspense", f"money of {jobs} is in suspense, {waited}")
    if now.check is not None and now.check.different:
        yield _alarm("LedgerDrift", f"{now.check.different} balances are not what the ledger says")
    if now.checked_seconds > CHECKED_SECONDS:
        ago = span(now.checked_seconds)
        text = f"balances were last compared with the ledger {ago} ago"
        yield _alarm("LedgerDrift", text, subject="unchecked")
    if now.spend is None:
        return
    if now.spend.drift > DRIFT_RATIO:
        yield _alarm(
            "LedgerDrift", f"jobs cost {now.spend.drift:.0%} more than estimated", subject="estimates"
        )
    for one in now.spend.soon[:_MAX_BUDGETS]:
        yield _alarm(
            "BudgetSoonSpent", soon_spent(one), subject=f"{one.tenant}-{one.period}-{one.key or 'all'}"
        )
    if now.spend.soon_total > _MAX_BUDGETS:
        more = now.spend.soon_total - _MAX_BUDGETS
        yield _alarm("BudgetSoonSpent", f"{more} more budgets will be spent early", subject="more")
