"""Operators' commands on jobs, deliveries and subscribers, over the gateway's API.

Commands do not ask for confirmation. They print the result.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import quote, urlencode

import typer

from gateway.commands.options import AsJson, OperatorKey, Url, call
from gateway.commands.printing import rows, show_result

jobs = typer.Typer(help="Jobs of any tenant: list, show, cancel and resolve them.", no_args_is_help=True)
deliveries = typer.Typer(help="Deliveries of any tenant: list and redeliver them.", no_args_is_help=True)
subscribers = typer.Typer(help="Subscribers: pause and resume them, list paused ones.", no_args_is_help=True)

Job = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, job_...")]


class Decision(StrEnum):
    BIND = "bind"
    RESUBMIT = "resubmit"
    FAIL = "fail"


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
    columns = ("id", "phase", "created_at", "finished_at", "spend")
    show_result(found, as_json, lambda found: rows(found["data"], columns))


@jobs.command("show")
def show_job(job_id: Job, url: Url = "", key: OperatorKey = "", as_json: AsJson = False) -> None:
    """Show the timeline of a job."""
    found = call("GET", f"jobs/{quote(job_id, safe='')}/timeline", url, key)
    show_result(found, as_json, lambda found: rows(found["data"], ("at", "kind"), rest="text"))


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
        lambda found: rows(found["data"], ("id", "state", "attempts", "created_at", "next_attempt_at")),
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
    show_result(
        found, as_json, lambda found: rows(found["data"], ("id", "tenant", "url", "paused_until", "waiting"))
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
