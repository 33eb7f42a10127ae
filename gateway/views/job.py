"""The job as clients see it: its shape in responses and webhooks, and the functions that build it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from gateway import jobs
from gateway.assets import RESULT_LIFE_MS
from gateway.jobs import Priority, Spend, rfc3339
from gateway.lifecycle import JobState, OnUnknown, Status
from gateway.money.amounts import to_text
from gateway.money.prices import CURRENCY, Estimate
from gateway.views.budgets import BudgetReached
from gateway.views.result import OutputGroup, StoredAsset, assets_of, output_of
from gateway.views.shapes import Count, JobId, Timestamp, extensible, shape

#: `code` of a job's error, but for the codes of the upstream, which are passed on.
JOB_ERRORS: Final = (
    *("start_deadline_passed", "total_deadline_passed", "submission_poison", "submission_unknown"),
    *(
        "media_lost",
        "upload_unreachable",
        "upstream_error",
        "upstream_timeout",
        "upstream_task_lost",
        "upstream_no_output",
    ),
    "upstream_canceled",
)

#: `code` of a warning.
WARNINGS: Final = (
    *("bgm_no_effect", "bgm_may_not_apply", "prompt_long", "watermark_off"),
    *("meta_data_not_json", "clip_not_inspected", "image_not_inspected"),
    *("name_unknown", "deliveries_held"),
    *("output_url_changed", "output_url_unusual", "output_url_moved", "output_with_error"),
    "output_status_unknown",
)


#: `basis` of what a job cost.
COST_BASES: Final = ("upstream", "estimate", "operator")


@shape
class Warning(TypedDict):  # noqa: A001 - its name in the document
    """Something that the client should know about a request that is accepted, or about the result of a
    job."""

    param: str
    code: Annotated[str, extensible(WARNINGS)]
    message: str


@shape
class JobError(TypedDict):
    """Why there is no video."""

    code: Annotated[str, extensible(JOB_ERRORS)]
    """One of ours, or what the upstream sent, unchanged."""
    error_message: str


@shape
class Cancel(TypedDict):
    """The owner's request to cancel the job, made after it was sent to the upstream."""

    requested_at: Timestamp
    refused: str | None
    """Why the upstream did not stop it, if it did not."""


@shape
class LateResult(TypedDict):
    """What the upstream made after the job had failed here. It may have been charged."""

    at: Timestamp
    task_id: str
    output: list[OutputGroup]
    usage: dict[str, Any] | None
    metadata: dict[str, Any] | None


@shape
class EstimatedCost(TypedDict):
    """What a job will cost. Amounts are decimal strings with at least four decimals."""

    estimate: str | None
    """For one submission, by the operator's prices. null: there is no price for it."""
    upper_bound: bool
    """The estimate is the most that it can cost, because `duration` 0 lets the model choose."""
    currency: str


@shape
class Cost(EstimatedCost):
    """What a job costs. Amounts are decimal strings with at least four decimals."""

    reserved: str
    """Counted against your budgets for submissions whose cost is not yet known."""
    charged: str | None
    """What the submissions cost that are charged so far. null: not charged yet."""
    basis: Annotated[str, extensible(COST_BASES)] | None
    """How `charged` is known: the upstream said it, it did not and the estimate counts, or an operator
    decided."""


@shape
class Queue(TypedDict):
    position: Annotated[int, Field(ge=0, description="Number of your jobs ahead of this one.")]
    ahead_estimate: Annotated[
        int, Field(ge=0, description="Estimated number of jobs of all tenants ahead of this one.")
    ]
    eta_seconds: Annotated[
        int | None,
        Field(ge=0, description="Estimated time until it is sent. null: not known yet, or nothing is sent."),
    ]


@shape
class Links(TypedDict):
    self: str
    cancel: str


@shape
class JobSummary(TypedDict):
    """A job as lists show it."""

    id: JobId
    object: Literal["job"]
    status: Status
    """Never goes backwards."""
    phase: Annotated[str, extensible(list(JobState))]
    """The internal state, finer than `status`. There may be more one day: decide by `status`."""
    progress: Annotated[float | None, Field(ge=0, le=1)]
    model: str
    created_at: Timestamp
    started_at: Timestamp | None
    submitted_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at_estimate: Timestamp | None
    """Until when `output` can be fetched, as far as is known: an hour after `finished_at`. null unless
    completed."""
    output: list[OutputGroup] | None
    """The videos. Each `url` may expire after an hour: fetch it at once, and never store it. `stable_url` may
    be stored."""
    assets: dict[str, StoredAsset]
    """The files of the result that this gateway copies: `video`, `watermarked`, `cover`. Empty if
    there are none."""
    usage: dict[str, Any] | None
    """The price as the upstream said it: `cost` in USD as a decimal string, `discount`."""
    cost: Cost
    metadata: dict[str, Any] | None
    error: JobError | None
    callback_url: str | None
    warnings: list[Warning]
    spend: Spend
    """Whether the upstream has been paid, as far as is known. `none`: certainly not. `possible`: the job was
    sent and the answer was lost. `certain`: the upstream has a task for it."""
    resubmissions: Count
    """How often it was sent again after an unknown outcome. Each may have been paid for."""
    on_unknown: OnUnknown | None
    """The value of `Gateway-On-Unknown`; null: the tenant's setting, or else the service's."""
    unknown_since: Timestamp | None
    """Since when `phase` is `unknown`. It ends after the grace window, or at the total deadline."""
    start_deadline: Timestamp | None
    """The job fails, at no cost, if it has not been sent by then."""
    total_deadline: Timestamp | None
    """The job fails if it has not finished by then."""
    cancel: Cancel | None
    late_result: LateResult | None
    """Reported by `job.late_result`. `status` stays failed, because a final state never changes."""
    priority: Priority
    queue: Queue | None
    """While the job waits."""
    links: Links


@shape
class Job(JobSummary):
    """A request for a video, and its progress."""

    payload: str | None
    """Your own text, unchanged."""


@shape
class EventJob(Job):
    """The job as an event carries it."""

    payload_omitted: NotRequired[Literal[True]]
    """The payload is too long for an event: get the job to read it."""
    budgets: NotRequired[list[BudgetReached]]
    """Only with `budget.threshold`: the budgets of which the acceptance of this job reached a threshold."""


def public(
    job: jobs.Job,
    *,
    client_url: str,
    payload: str | None = None,
    queue: Queue | None = None,
    currency: str = CURRENCY,
) -> Job:
    """The job as its owner sees it: the published response's fields unchanged, and ours. `client_url`: the
    base URL of the gateway for its clients; "": they get paths. `queue`: where it waits, if it does."""
    expires_at = None
    if job.state is JobState.COMPLETED and job.finished_at is not None:
        expires_at = job.finished_at + RESULT_LIFE_MS
    return {
        "id": job.id,
        "object": "job",
        "status": job.status,
        "phase": job.state,
        "progress": 1.0 if job.state is JobState.COMPLETED else job.progress,
        "model": job.model,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.submitting_at),
        "submitted_at": rfc3339(job.submitted_at),
        "finished_at": rfc3339(job.finished_at),
        "expires_at_estimate": rfc3339(expires_at),
        "output": None if job.output is None else output_of(job, client_url),
        "assets": assets_of(job, client_url) if job.assets else {},
        # These got their shape when they were stored.
        "usage": job.usage,
        "cost": _cost(job, currency),
        "metadata": job.metadata,
        "error": cast(JobError | None, job.error),
        "payload": payload,
        "callback_url": job.callback_url,
        "warnings": cast(list[Warning], job.warnings),
        "spend": job.spend,
        "resubmissions": job.resubmits,
        "on_unknown": job.on_unknown,
        "unknown_since": rfc3339(job.unknown_at) if job.state is JobState.UNKNOWN else None,
        "start_deadline": rfc3339(job.start_by),
        "total_deadline": rfc3339(job.end_by),
        "cancel": _cancel(job),
        "late_result": cast(LateResult | None, job.late),
        "priority": job.priority,
        "queue": queue,
        "links": {"self": f"/v1/jobs/{job.id}", "cancel": f"/v1/jobs/{job.id}/cancel"},
    }


def summary(
    job: jobs.Job, *, client_url: str, queue: Queue | None = None, currency: str = CURRENCY
) -> JobSummary:
    """The job without its payload."""
    whole: dict[str, Any] = {**public(job, client_url=client_url, queue=queue, currency=currency)}
    del whole["payload"]
    return cast(JobSummary, whole)


def estimated_cost(estimate: Estimate | None, currency: str) -> EstimatedCost:
    """What a job would cost; None: that is not known."""
    return {
        "estimate": to_text(estimate.amount) if estimate else None,
        "upper_bound": estimate is not None and estimate.upper_bound,
        "currency": currency,
    }


def _cost(job: jobs.Job, currency: str) -> Cost:
    return {
        "estimate": None if job.estimate is None else to_text(job.estimate),
        "upper_bound": job.upper_bound,
        "reserved": to_text(job.reserved + job.suspense),
        "charged": None if job.charged is None else to_text(job.charged),
        "basis": job.charge_basis,
        "currency": currency,
    }


def _cancel(job: jobs.Job) -> Cancel | None:
    if job.cancel_wished_at is None:
        return None
    return {"requested_at": rfc3339(job.cancel_wished_at), "refused": job.cancel_refused}
