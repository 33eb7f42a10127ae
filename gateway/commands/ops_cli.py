"""Operators' commands on jobs, deliveries and subscribers, over the gateway's API.

Commands do not ask for confirmation. They print the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

Url = Annotated[str, typer.Option(envvar="VIDU_GATEWAY_URL", help="URL of the gateway.")]
Key = Annotated[
    str, typer.Option(envvar="VIDU_GATEWAY_OPS_KEY", help="An operator's key.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the response as JSON.")]
LOCAL = "http://127.0.0.1:8080"

jobs = typer.Typer(help="Jobs of any tenant: list, show, cancel and resolve them.", no_args_is_help=True)
deliveries = typer.Typer(help="Deliveries of any tenant: list and redeliver them.", no_args_is_help=True)
subscribers = typer.Typer(help="Subscribers: pause and resume them, list paused ones.", no_args_is_help=True)


class Decision(StrEnum):
    BIND = "bind"
    RESUBMIT = "resubmit"
    FAIL = "fail"


def call(method: str, path: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    """Call the operators' API. Raises GatewayError with the gateway's message if it refuses."""
    if not key:
        raise typer.BadParameter("a key is required: --key, or VIDU_GATEWAY_OPS_KEY")
    from gateway.commands.api import ask

    return ask(method, f"{url.rstrip('/')}/ops/api/{path}", key, body)


def print_result(found: Mapping[str, Any], as_json: bool, people: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    else:
        people()


@jobs.command("list")
def list_jobs(
    tenant: Annotated[str, typer.Option(help="Name of the tenant.")],
    phase: Annotated[
        str | None, typer.Option(help="Only jobs in this phase: queued, submitted, failed, ...")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of jobs.")] = 20,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's jobs, newest first."""
    given = {"tenant": tenant, "limit": limit} | ({"phase": phase} if phase else {})
    found = call("GET", f"jobs?{urlencode(given)}", url, key)
    print_result(
        found, as_json, lambda: rows(found["data"], ("id", "phase", "created_at", "finished_at", "spend"))
    )


@jobs.command("show")
def show_job(job_id: str, url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """Show the timeline of a job."""
    found = call("GET", f"jobs/{job_id}/timeline", url, key)
    print_result(found, as_json, lambda: rows(found["data"], ("at", "kind", "text"), rest=True))


@jobs.command("cancel")
def cancel_job(job_id: str, url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """Cancel a job on behalf of its owner."""
    found = call("POST", f"jobs/{job_id}/cancel", url, key)
    print_result(found, as_json, lambda: typer.echo(f"{job_id} is {found['job']['phase']}"))


@jobs.command("resolve")
def resolve_job(
    job_id: str,
    action: Annotated[
        Decision,
        typer.Option(help="bind: set its task; resubmit: may pay twice; fail: stop waiting and fail it."),
    ],
    task_id: Annotated[str | None, typer.Option(help="Id of the upstream task; required with bind.")] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Resolve a job whose outcome is unknown."""
    body = {"action": action.value} | ({"task_id": task_id} if task_id else {})
    found = call("POST", f"jobs/{job_id}/resolve", url, key, body)
    print_result(found, as_json, lambda: typer.echo(f"{job_id} is {found['job']['phase']}"))


@jobs.command("unknown")
def unknown_jobs(url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """List jobs whose outcome is unknown, longest unknown first."""
    found = call("GET", "unknown", url, key)
    print_result(
        found, as_json, lambda: rows(found["data"], ("job", "tenant", "since", "on_unknown", "evidence"))
    )


@deliveries.command("list")
def list_deliveries(
    tenant: Annotated[str, typer.Option(help="Name of the tenant.")],
    state: Annotated[
        str | None, typer.Option(help="Only deliveries in this state: pending, delivered, dead or held.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Maximum number of deliveries.")] = 20,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's deliveries, newest first."""
    query = {"tenant": tenant, "limit": limit} | ({"state": state} if state else {})
    found = call("GET", f"deliveries?{urlencode(query)}", url, key)
    print_result(
        found,
        as_json,
        lambda: rows(
            [one | {"next_attempt": planned(one["next_attempt_at"])} for one in found["data"]],
            ("id", "state", "attempts", "created_at", "next_attempt"),
        ),
    )


@deliveries.command("redeliver")
def redeliver(
    delivery_ids: Annotated[list[str], typer.Argument(help="Ids of the deliveries.")],
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Redeliver deliveries now."""
    for delivery_id in delivery_ids:
        found = call("POST", f"deliveries/{delivery_id}/redeliver", url, key)
        print_result(found, as_json, lambda found=found: typer.echo(f"{found['id']} is {found['state']}"))  # type: ignore[misc]


@subscribers.command("paused")
def paused_subscribers(url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """List paused subscribers."""
    found = call("GET", "subscribers/paused", url, key)
    print_result(
        found,
        as_json,
        lambda: rows(
            [one | {"next_attempt": planned(one["paused_until"], "when resumed")} for one in found["data"]],
            ("id", "tenant", "url", "next_attempt", "waiting", "paused_by", "reason"),
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
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Stop sending to a subscriber. Its deliveries wait."""
    body = {"subscriber": subscriber, "reason": reason, "seconds": seconds}
    found = call("POST", "subscribers/pause", url, key, body)
    print_result(
        found, as_json, lambda: typer.echo(f"{subscriber} is paused; {len(found['data'])} paused in total")
    )


@subscribers.command("resume")
def resume_subscribers(
    subscriber: Annotated[
        str | None, typer.Argument(help="Id from `subscribers paused` (default: all).")
    ] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Resume one paused subscriber, or all."""
    body = {"subscriber": subscriber} if subscriber else {"all": True}
    found = call("POST", "subscribers/resume", url, key, body)
    print_result(found, as_json, lambda: typer.echo(f"{len(found['data'])} are still paused"))


def planned(at: str | None, never: str | None = None) -> str | None:
    """The time, or "due" once it has passed; `never` without one."""
    if at is None:
        return never
    from gateway.environment import Environment

    return "due" if datetime.fromisoformat(at).timestamp() <= Environment().clock() else at


def rows(data: Sequence[Mapping[str, Any]], columns: Sequence[str], rest: bool = False) -> None:
    """Print a table. `rest`: add a column with all other fields."""
    if not data:
        typer.echo("none")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, *(["more"] if rest else []), box=None, pad_edge=False)
    for row in data:
        cells = ["-" if row.get(name) is None else f"{row[name]}" for name in columns]
        more = ", ".join(
            f"{name} {value}" for name, value in row.items() if name not in columns and value is not None
        )
        table.add_row(*cells, *([more] if rest else []))
    Console().print(table)
