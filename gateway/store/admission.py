"""Admits new jobs with accept.lua, meters other requests of tenants, and reads what the scripts answer: queue
position, rate allowance, refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.dispatch import Role, RoleLimits
from gateway.errors import (
    BudgetExceeded,
    GatewayError,
    IdempotencyMismatch,
    LimitReached,
    NotFound,
    PriceUnknown,
    RateLimited,
)
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, Job, Priority
from gateway.money.amounts import to_text
from gateway.store import arguments, keys
from gateway.store.base import Admission, AdmissionLimits, Allowance, QueuePosition
from gateway.store.effect_base import given, kind_of_video, texts
from gateway.store.script_runner import Scripts

#: Bytes that a job takes besides the client's data: the record, its indexes and its idempotency key.
_RECORD_BYTES: Final = 4096
#: Bytes that an event of it may take besides the client's data.
_EVENT_BYTES: Final = 2048
#: Bytes that a delivery to its own callback URL may take besides that URL.
_DELIVERY_BYTES: Final = 2048
_FULL_RETRY_SECONDS: Final = 30
_HEAVY_RETRY_SECONDS: Final = 3600
_MEDIA_RETRY_SECONDS: Final = 60
#: What follows the budget in an answer "over_budget".
_AMOUNTS: Final = ("limit", "spent", "reserved", "estimate")


class Admissions:
    """The part of the job store that puts new jobs into the queue, if the tenant's limits allow it."""

    def __init__(self, scripts: Scripts, roles: arguments.Roles) -> None:
        self._scripts = scripts
        self._submit = roles[Role.SUBMIT]
        self._dispatch = arguments.limits_of(roles, Role.SUBMIT)
        self._deliver = arguments.limits_of(roles, Role.DELIVER)[Role.DELIVER]

    async def accept(
        self,
        job: Job,
        payload: str | None,
        fingerprint: str,
        limits: AdmissionLimits,
        *,
        media: int = 0,
        check_only: bool = False,
    ) -> Admission:
        text = (payload or "").encode()
        order = self._order(job, text, fingerprint, limits, media) | {"check_only": check_only}
        outcome, *found = await self._scripts.run("accept", [keys.job(job.id)], [arguments.dump(order), text])
        if outcome == "accepted":
            name, allowance, position = found
            return Admission(name, False, queue_position_of(position, self._submit), allowance_of(allowance))
        if outcome == "would_fit":
            return Admission(job.id, replayed=False)
        if outcome == "replayed":
            return Admission(found[0], replayed=found[0] != job.id)
        raise refusal_of(outcome, found, limits.media_max if outcome == "media" else limits.bytes_max)

    def _order(
        self, job: Job, payload: bytes, fingerprint: str, limits: AdmissionLimits, media: int
    ) -> dict[str, Any]:
        """The `order` of accept.lua, but for `check_only`."""
        fields = _fields(job)
        size = sum(len(value.encode()) for value in fields.values())
        fields |= texts(
            bytes=_RECORD_BYTES + len(payload) + size,
            event_bytes=_event_bytes(job, size, payload),
            media=media or None,
        )
        order: dict[str, Any] = {
            "name": job.id,
            "tenant": job.tenant,
            "state": job.state,
            "fields": fields,
            "ticket": f"{job.tenant}|{job.id}",
            "step": arguments.STEPS[job.state],
            "threshold": EventType.BUDGET_THRESHOLD,
            "deliver": self._deliver,
            "dispatch": self._dispatch,
            "priority": job.priority,
            "video": kind_of_video(job),
            **_order_of(limits),
        }
        if job.start_by is not None and job.end_by is not None:
            order["deadline"] = min(job.start_by, job.end_by)
        if job.uploads:
            order["uploads"] = job.uploads
        if job.idempotency:
            order |= {"idempotency": job.idempotency, "fingerprint": fingerprint}
        return order


class RateMeter:
    """Meters requests of tenants that do not create a job. `rate`: per second (0: no limit), with `burst` at
    once; the tenant's own settings override both."""

    def __init__(self, scripts: Scripts, rate: float, burst: int) -> None:
        self._scripts = scripts
        self._rate = rate
        self._burst = burst

    async def count(self, tenant: str, kind: str) -> Allowance | None:
        """Counts one request; each kind is counted apart. Returns the rest of the allowance, None without a
        limit. Raises RateLimited, StoreUnavailable."""
        args: list[str | float] = [tenant, kind, self._rate, self._burst]
        passes, allowance = await self._scripts.run("meter", [keys.tenant_settings(tenant)], args)
        if not passes:
            raise refusal_of("limited", [allowance], None)
        return allowance_of(allowance)


@lru_cache
def _order_of(limits: AdmissionLimits) -> Mapping[str, Any]:
    """Their part of an order. All jobs of a service have the same limits."""
    return given(**asdict(limits))


def _fields(job: Job) -> dict[str, str]:
    """The fields of a new job's record."""
    return texts(
        state=job.state,
        tenant=job.tenant,
        model=job.model,
        params=job.params,
        created_at=job.created_at,
        callback_url=job.callback_url,
        warnings=job.warnings or None,
        idempotency=job.idempotency,
        payload_characters=job.payload_characters,
        start_by=job.start_by,
        end_by=job.end_by,
        on_unknown=job.on_unknown,
        trace=job.trace,
        door=job.door,
        priority=None if job.priority is Priority.NORMAL else job.priority,
        uploads=job.uploads or None,
        key=job.key,
        estimate=job.estimate,
        upper_bound="1" if job.upper_bound else None,
        priced=job.priced,
    )


def _event_bytes(job: Job, size: int, payload: bytes) -> int:
    """What one event of the job may take, with the delivery to its own callback URL. `size`: bytes of its
    fields."""
    found = _EVENT_BYTES + size
    if (job.payload_characters or 0) <= EVENT_PAYLOAD_CHARACTERS:
        found += len(payload)
    if job.callback_url is not None:
        found += _DELIVERY_BYTES + 2 * len(job.callback_url)
        if job.door is not None:  # the URL gets an event of its own
            found += found
    return found


def queue_position_of(found: str, submit: RoleLimits) -> QueuePosition | None:
    """Reads the answer of `queue_position_of` in Lua; None for a job that does not wait.

    Lanes take turns in proportion to their weights. The estimate: before this job's turn, each other lane
    gets about as many turns as its own lane, or runs empty. Only `position` is exact.
    """
    if not found:
        return None
    known = orjson.loads(found)
    position: int = known["rank"]
    elsewhere = max(0, known["waiting"] - known["in_lane"])
    ahead = position + min(elsewhere, math.ceil((position + 1) * known["lanes"] / known["weight"]))
    idle_ms, mean_ms = known["idle_ms"], known.get("mean_ms")
    one = _pace(known.get("pace_ms"), idle_ms, mean_ms, submit.slots)
    if known["stopped"] or one is None:
        return QueuePosition(position, ahead, None)
    eta = max(0.0, (ahead + 1) * one - min(idle_ms, one))
    if mean_ms is not None:  # its tenant may hold fewer slots than exist
        eta = max(eta, position * mean_ms / known.get("slots", submit.lane_slots))
    return QueuePosition(position, ahead, math.ceil(eta / 1000))


def _pace(learned_ms: float | None, idle_ms: float, mean_ms: float | None, slots: int) -> float | None:
    """Ms per job. The longer nothing was sent, the less the learned pace counts."""
    if learned_ms is not None:
        return max(learned_ms, idle_ms / 2)
    return None if mean_ms is None else mean_ms / slots


def allowance_of(found: str) -> Allowance | None:
    """Reads the answer of `meter_rate` in scripts/lib/quotas.lua; None for a tenant without a rate limit."""
    if not found:
        return None
    known = orjson.loads(found)
    return Allowance(
        quota=int(known["burst"]),
        window_seconds=max(1, math.ceil(known["burst"] / known["rate"])),
        left=known["left"],
        reset_seconds=math.ceil(known["reset_ms"] / 1000),
        wait_seconds=math.ceil(known["wait_ms"] / 1000),
        kind=known.get("kind", "jobs"),
    )


def refusal_of(outcome: str, found: Sequence[Any], most: int | None) -> GatewayError:
    """The error for the client after a script refused its request. `most`: bytes that are allowed."""
    match outcome:
        case "upload":
            return NotFound("upload", found[0])
        case "mismatch":
            return IdempotencyMismatch(found[0])
        case "limited":
            allowance = allowance_of(found[0])
            assert allowance is not None
            return RateLimited(
                f"this tenant may send {allowance.quota} {allowance.kind} in {allowance.window_seconds} s; "
                f"send the next in {allowance.wait_seconds} s",
                max(1, allowance.wait_seconds),
                allowance,
            )
        case "heavy":
            return LimitReached(
                f"with this job, this tenant's jobs, events and webhooks would take {found[0]} of {most} "
                "bytes; send a smaller payload, delete endpoints, or post again when older jobs have expired",
                _HEAVY_RETRY_SECONDS,
                limit="stored_bytes",
            )
        case "over_budget":
            amounts = dict(zip(_AMOUNTS, map(to_text, map(int, found[1:])), strict=True))
            return BudgetExceeded(found[0], **amounts)
        case "price_unknown":
            return PriceUnknown(found[0])
        case "media":
            return LimitReached(
                f"with this job, the inline media of this tenant's unfinished jobs would take {found[0]} of "
                f"{most} bytes; send media as URLs, or post again when some jobs have finished",
                _MEDIA_RETRY_SECONDS,
                limit="inline_media_bytes",
            )
        case _:
            return LimitReached(
                f"{found[0]} of this tenant's jobs are waiting, and {found[1]} are allowed; post again when "
                "some have been sent",
                _FULL_RETRY_SECONDS,
                limit="jobs_waiting",
            )
