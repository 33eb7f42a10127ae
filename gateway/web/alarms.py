"""Derives the current alarms from the figures of the service. Pure.

deploy/prometheus/rules.yaml has the same thresholds and names; its alerts also require that the condition
lasts for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

QUEUE_SECONDS: Final = 1800
UNKNOWN_SECONDS: Final = 2400
SWEEP_SECONDS: Final = 30
LEASE_SECONDS: Final = 60
CALLBACK_PATH_SECONDS: Final = 300
DUE_SECONDS: Final = 600
MEMORY_RATIO: Final = 0.75
SKEW_SECONDS: Final = 2
STATUS_SECONDS: Final = 900
_MAX_WORDS: Final = 3


class Severity(StrEnum):
    PAGE = "page"  #: wake up an operator
    TICKET = "ticket"  #: can wait until the morning


@dataclass(frozen=True, slots=True)
class Figures:
    """Input of the alarms. `durable`: None if unknown. `callbacks`: whether they are on. `accounts`: number
    of upstream accounts. `paused_accounts`: names of the paused ones. `workers`: running processes.
    `sweep_seconds`, `callback_path_seconds`: None if never yet; `callback_path_unproven_seconds`: since the
    first probe while none has ever arrived. `unknown_statuses`: words for a task's state that nobody knows,
    and seconds since each was last seen."""

    durable: bool | None
    paused: bool
    accounts: int
    paused_accounts: Sequence[str]
    callbacks: bool
    callback_path_seconds: float | None
    callback_path_unproven_seconds: float | None
    unknown_seconds: float
    queue_seconds: float
    workers: int
    sweep_seconds: float | None
    lease_seconds: float
    due_seconds: float
    dead: int
    memory_ratio: float
    skew_seconds: float
    unknown_statuses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """`code`: name of the alert and heading of its section in docs/operations.md."""

    code: str
    severity: Severity
    text: str


def alarms_of(now: Figures) -> list[Alarm]:
    """Most severe first."""
    return sorted(_all(now), key=lambda alarm: alarm.severity is not Severity.PAGE)


def _all(now: Figures) -> Iterator[Alarm]:
    page, ticket = Severity.PAGE, Severity.TICKET
    if now.durable is False:
        yield Alarm("RedisCouldForget", page, "Redis writes are not durable")
    if now.workers == 0 or (now.sweep_seconds or 0) > SWEEP_SECONDS:
        yield Alarm("NoWorker", page, f"{_no_worker(now)}: nothing is sent, confirmed or delivered")
    elif now.lease_seconds > LEASE_SECONDS:
        yield Alarm("WorkerHangs", page, "work is overdue and no worker takes it over")
    if now.paused_accounts:
        names, all_of_them = ", ".join(now.paused_accounts), len(now.paused_accounts) >= now.accounts
        what = "nothing is sent" if all_of_them else f"nothing is sent with {names}"
        why = f"the upstream refused account {names}, or an operator paused it"
        yield Alarm("AccountParked", page, f"{what}: {why}")
    if now.paused:
        yield Alarm("ServicePaused", ticket, "nothing is sent: an operator paused the service")
    unheard = now.callback_path_seconds
    if unheard is None:
        unheard = now.callback_path_unproven_seconds
    if now.callbacks and unheard is not None and unheard > CALLBACK_PATH_SECONDS:
        since = "have not reached us" if now.callback_path_seconds is not None else "have never reached us"
        text = f"callbacks {since} for {_time(unheard)}: polling finds results later"
        yield Alarm("CallbackPathDead", page, text)
    if words := [word for word, seconds in now.unknown_statuses.items() if seconds < STATUS_SECONDS]:
        quoted = ", ".join(f'"{word}"' for word in words[:_MAX_WORDS])
        more = f" and {len(words) - _MAX_WORDS} more" if len(words) > _MAX_WORDS else ""
        yield Alarm("StatusUnknown", page, f"the upstream reports a status that nobody knows: {quoted}{more}")
    if now.unknown_seconds > UNKNOWN_SECONDS:
        yield Alarm("UnknownOld", page, f"an outcome has been unknown for {_time(now.unknown_seconds)}")
    if now.queue_seconds > QUEUE_SECONDS:
        yield Alarm("QueueOld", ticket, f"the oldest job has waited for {_time(now.queue_seconds)}")
    if now.due_seconds > DUE_SECONDS:
        yield Alarm("DeliveriesOverdue", ticket, f"a due webhook has waited for {_time(now.due_seconds)}")
    if now.dead > 0:
        yield Alarm("DeadLetters", ticket, f"{now.dead} webhooks are dead letters")
    if now.memory_ratio > MEMORY_RATIO:
        yield Alarm("RedisNearlyFull", ticket, f"Redis uses {now.memory_ratio:.0%} of its maxmemory")
    if abs(now.skew_seconds) > SKEW_SECONDS:
        yield Alarm(
            "ClockSkew",
            ticket,
            f"the clocks of this gateway and Redis differ by {abs(now.skew_seconds):.1f} s",
        )


def _no_worker(now: Figures) -> str:
    if now.sweep_seconds is None:
        return "no worker has run yet"
    return f"no worker has run a sweep for {_time(now.sweep_seconds)}"


def _time(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60, 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
