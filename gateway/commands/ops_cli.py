"""Operators' commands on the service, jobs, deliveries and subscribers, over the gateway's API.

Commands do not ask for confirmation. They print the result.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from gateway.commands.options import AsJson, OperatorKey, Url, call
from gateway.commands.printing import blocks, fields, rows, show_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.commands.printing import Lines

service = typer.Typer(help="The whole service: show, pause and resume it.", no_args_is_help=True)
jobs = typer.Typer(help="Jobs of any tenant: list, show, cancel and resolve them.", no_args_is_help=True)
deliveries = typer.Typer(help="Deliveries of any tenant: list and redeliver them.", no_args_is_help=True)
subscribers = typer.Typer(help="Subscribers: pause and resume them, list paused ones.", no_args_is_help=True)

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, job_...")]


class Decision(StrEnum):
    BIND = "bind"
    RESUBMIT = "resubmit"
    FAIL = "fail"


@service.command("show")
def show_service(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Show whether the service is paused, and why."""
    found = call("GET", "state", url, key)
    show_result(found, as_json, _service_state)


@service.command("pause")
def pause_service(
    reason: Annotated[str, typer.Option(help="The reason, for other operators.")],
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Stop sending jobs to the upstream. Jobs are still accepted, polled and delivered."""
    found = call("POST", "pause", url, key, {"reason": reason})
    show_result(found, as_json, _service_state)


@service.command("resume")
def resume_service(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Send jobs to the upstream again."""
    found = call("POST", "resume", url, key)
    show_result(found, as_json, _service_state)


def _service_state(found: Mapping[str, Any]) -> str:
    paused = found["paused"]
    if paused is None:
        return "the service is active"
    return f"the service is paused since {paused['at']}, by {paused['by']}: {paused['reason']}"


@jobs.command("list")
def list_jobs(
    tenant: Annotated[str, typer.Option(help="Name of the tenant.")],
    phase: Annotated[
        str | None, typer.Option(help="Only jobs in this phase: queued, submitted, failed, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of jobs.")] = 20,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's jobs, newest first."""
    given = {"tenant": tenant, "limit": limit} | ({"phase": phase} if phase else {})
    found = call("GET", f"jobs?{urlencode(given)}", url, key)
    columns = ("id", "phase", "created_at", "finished_at", "spend", "error")
    show_result(found, as_json, lambda found: rows([_with_error(job) for job in found["data"]], columns))


@jobs.command("show")
def show_job(job_id: Job, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Show a job, why it failed if it did, and its timeline."""
    where = f"jobs/{quote(job_id, safe='')}"
    job = call("GET", where, url, key)["job"]
    timeline = call("GET", f"{where}/timeline", url, key)
    show_result({**timeline, "details": job}, as_json, _job_lines)


def _job_lines(found: Mapping[str, Any]) -> Lines:
    names = (
        *("id", "tenant", "phase", "error", "spend", "account", "task_id"),
        *("created_at", "submitted_at", "unknown_since", "finished_at"),
    )
    job = _with_error(found["details"])
    shown = {name: job[name] for name in names if job[name] is not None}
    return blocks(fields(shown), rows(found["data"], ("at", "kind"), rest="text"))


def _with_error(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job; its error as one text."""
    error = job["error"]
    return {**job, "error": error and f"{error['code']}: {error['error_message']}"}


@jobs.command("cancel")
def cancel_job(job_id: Job, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Cancel a job on behalf of its owner."""
    found = call("POST", f"jobs/{quote(job_id, safe='')}/cancel", url, key)
    show_result(found, as_json, lambda found: f"{job_id} is {found['job']['phase']}")


@jobs.command("resolve")
def resolve_job(
    job_id: Job,
    action: Annotated[
        Decision,
        typer.Option(help="bind: set its task; resubmit: may pay twice; fail: stop waiting and fail it."),
    ],
    task_id: Annotated[str | None, typer.Option(help="Id of the upstream task; required with bind.")] = None,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Resolve a job whose outcome is unknown."""
    body = {"action": action.value} | ({"task_id": task_id} if task_id else {})
    found = call("POST", f"jobs/{quote(job_id, safe='')}/resolve", url, key, body)
    show_result(found, as_json, lambda found: f"{job_id} is {found['job']['phase']}")


@jobs.command("unknown")
def unknown_jobs(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """List jobs whose outcome is unknown, longest unknown first."""
    found = call("GET", "unknown", url, key)
    show_result(
        found,
        as_json,
        lambda found: rows(found["data"], ("job", "tenant", "since", "on_unknown", "evidence")),
    )


@jobs.command("suspense")
def jobs_in_suspense(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of jobs.")] = 100,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """List finished jobs that may have been paid: nobody knows."""
    found = call("GET", f"suspense?limit={limit}", url, key)
    columns = ("job", "tenant", "since", "suspense")
    show_result(found, as_json, lambda found: rows(found["data"], columns))


@jobs.command("charge")
def charge_job(
    job_id: Job,
    amount: Annotated[str, typer.Option(help="What the upstream charged, such as 0.2750; 0: nothing.")],
    reason: Annotated[str, typer.Option(help="How you know, for other operators.")],
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Decide what a finished job cost whose money is in suspense."""
    body = {"amount": amount, "reason": reason}
    found = call("POST", f"jobs/{quote(job_id, safe='')}/charge", url, key, body)
    show_result(found, as_json, lambda found: f"{job_id} is charged {amount}")


@deliveries.command("list")
def list_deliveries(
    tenant: Annotated[str, typer.Option(help="Name of the tenant.")],
    state: Annotated[
        str | None, typer.Option(help="Only deliveries in this state: pending, delivered, dead or held.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of deliveries.")] = 20,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's deliveries, newest first."""
    query = {"tenant": tenant, "limit": limit} | ({"state": state} if state else {})
    found = call("GET", f"deliveries?{urlencode(query)}", url, key)
    show_result(
        found,
        as_json,
        lambda found: rows(
            [one | {"next_attempt": planned(one["next_attempt_at"])} for one in found["data"]],
            ("id", "state", "attempts", "created_at", "next_attempt"),
        ),
    )


@deliveries.command("redeliver")
def redeliver(
    delivery_ids: Annotated[list[str], typer.Argument(help="Ids of the deliveries.")],
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Redeliver deliveries now."""
    for delivery_id in delivery_ids:
        found = call("POST", f"deliveries/{quote(delivery_id, safe='')}/redeliver", url, key)
        show_result(found, as_json, lambda found: f"{found['id']} is {found['state']}")


@subscribers.command("paused")
def paused_subscribers(url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """List paused subscribers."""
    found = call("GET", "subscribers/paused", url, key)
    columns = ("id", "tenant", "url", "next_attempt", "waiting", "paused_by", "reason")
    show_result(
        found,
        as_json,
        lambda found: rows(
            [one | {"next_attempt": planned(one["paused_until"], "when resumed")} for one in found["data"]],
            columns,
        ),
    )


@subscribers.command("pause")
def pause_subscriber(
    subscriber: Annotated[str, typer.Argument(help="Id of an endpoint, or an id from `subscribers paused`.")],
    reason: Annotated[str, typer.Option(help="The reason, for other operators.")],
    seconds: Annotated[
        int | None,
        typer.Option(min=1, max=604_800, help="Duration of the pause (default: until it is resumed)."),
    ] = None,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Stop sending to a subscriber. Its deliveries wait."""
    body = {"subscriber": subscriber, "reason": reason, "seconds": seconds}
    found = call("POST", "subscribers/pause", url, key, body)
    show_result(found, as_json, lambda found: f"{subscriber} is paused; {len(found['data'])} paused in total")


@subscribers.command("resume")
def resume_subscribers(
    subscriber: Annotated[
        str | None, typer.Argument(help="Id from `subscribers paused` (default: all).")
    ] = None,
    url: Url = "",
    key: OperatorKey = "",
    as_json: AsJson = False,
) -> None:
    """Resume one paused subscriber, or all."""
    body = {"subscriber": subscriber} if subscriber else {"all": True}
    found = call("POST", "subscribers/resume", url, key, body)
    show_result(found, as_json, lambda found: f"{len(found['data'])} are still paused")


def planned(at: str | None, never: str | None = None) -> str | None:
    """The time, or "due" once it has passed; `never` without one."""
    if at is None:
        return never
    from gateway.environment import Environment

    return "due" if datetime.fromisoformat(at).timestamp() <= Environment().clock() else at
