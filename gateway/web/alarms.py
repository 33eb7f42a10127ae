"""Derives the current alarms from the figures of the service. Pure.

deploy/prometheus/rules.yaml has the same thresholds and names; its alerts also require that the condition
lasts for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

QUEUE_SECONDS: Final = 1800
UNKNOWN_SECONDS: Final = 2400
SWEEP_SECONDS: Final = 30
LEASE_SECONDS: Final = 60
CALLBACK_PATH_SECONDS: Final = 300
DUE_SECONDS: Final = 600
MEMORY_RATIO: Final = 0.75
DISK_HEADROOM: Final = 1.5
SKEW_SECONDS: Final = 2


class Severity(StrEnum):
    PAGE = "page"  #: wake up an operator
    TICKET = "ticket"  #: can wait until the morning


@dataclass(frozen=True, slots=True)
class Figures:
    """Input of the alarms. `durable`: None if unknown. `callbacks`: whether they are on. `accounts`: number
    of upstream accounts. `paused_accounts`: names of the paused ones. `disk_headroom`: free bytes of the disk
    of inline media, divided by those that must stay free; None if unknown."""

    durable: bool | None
    paused: bool
    accounts: int
    paused_accounts: Sequence[str]
    callbacks: bool
    callback_path_seconds: float
    unknown_seconds: float
    queue_seconds: float
    sweep_seconds: float
    lease_seconds: float
    due_seconds: float
    dead: int
    memory_ratio: float
    skew_seconds: float
    disk_headroom: float | None = None


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
    if now.sweep_seconds > SWEEP_SECONDS:
        yield Alarm(
            "NoWorker", page, "no worker has run a sweep for a while: nothing is sent, confirmed or delivered"
        )
    elif now.lease_seconds > LEASE_SECONDS:
        yield Alarm("WorkerHangs", page, "work is overdue and no worker takes it over")
    if now.paused_accounts:
        names, all_of_them = ", ".join(now.paused_accounts), len(now.paused_accounts) >= now.accounts
        what = "nothing is sent" if all_of_them else f"nothing is sent with {names}"
        why = f"the upstream refused account {names}, or an operator paused it"
        yield Alarm("AccountParked", page, f"{what}: {why}")
    if now.paused:
        yield Alarm("ServicePaused", ticket, "nothing is sent: an operator paused the service")
    if now.callbacks and now.callback_path_seconds > CALLBACK_PATH_SECONDS:
        yield Alarm("CallbackPathDead", page, "callbacks cannot reach us: polling finds results later")
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
    if now.disk_headroom is not None and now.disk_headroom < DISK_HEADROOM:
        closed = {True: "no job is accepted", False: "jobs with inline media are refused"}
        state = closed[now.disk_headroom < 0.5] if now.disk_headroom < 1 else "intake closes soon"
        yield Alarm("DiskNearlyFull", ticket, f"the disk of inline media is nearly full: {state}")
    if abs(now.skew_seconds) > SKEW_SECONDS:
        yield Alarm(
            "ClockSkew",
            ticket,
            f"the clocks of this gateway and Redis differ by {abs(now.skew_seconds):.1f} s",
        )


def _time(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
