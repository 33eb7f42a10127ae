"""How operators act from the command line, by the gateway's own API: jobs, deliveries, subscribers.

Nothing is asked back: each command does what it says, and prints what came of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

Url = Annotated[str, typer.Option(envvar="VIDU_GATEWAY_URL", help="The gateway.")]
Key = Annotated[
    str, typer.Option(envvar="VIDU_GATEWAY_OPS_KEY", help="An operator's key.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="The answer as it came.")]
LOCAL = "http://127.0.0.1:8080"

jobs = typer.Typer(help="Jobs of any tenant: their story, and what to do about one.", no_args_is_help=True)
deliveries = typer.Typer(help="Webhooks of any tenant: look at them, send them again.", no_args_is_help=True)
subscribers = typer.Typer(help="Subscribers: pause one, list paused ones, resume them.", no_args_is_help=True)


class Decision(StrEnum):
    BIND = "bind"
    RESUBMIT = "resubmit"
    FAIL = "fail"


def call(method: str, path: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    """GatewayError with the gateway's own words when it refuses."""
    if not key:
        raise typer.BadParameter("a key is needed: --key, or VIDU_GATEWAY_OPS_KEY")
    from gateway.commands.api import ask

    return ask(method, f"{url.rstrip('/')}/ops/api/{path}", key, body)


def tell(found: Mapping[str, Any], as_json: bool, people: Callable[[], None]) -> None:
    if as_json:
        typer.echo(json.dumps(found))
    else:
        people()


@jobs.command("list")
def list_jobs(
    tenant: Annotated[str, typer.Option(help="Of this one.")],
    phase: Annotated[str | None, typer.Option(help="In this phase: queued, submitted, failed, ...")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="The newest so many.")] = 20,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """A tenant's jobs, newest first."""
    given = {"tenant": tenant, "limit": limit} | ({"phase": phase} if phase else {})
    found = call("GET", f"jobs?{urlencode(given)}", url, key)
    tell(found, as_json, lambda: rows(found["data"], ("id", "phase", "created_at", "finished_at", "spend")))


@jobs.command("show")
def show_job(job_id: str, url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """Tell a job's whole story."""
    found = call("GET", f"jobs/{job_id}/timeline", url, key)
    tell(found, as_json, lambda: rows(found["data"], ("at", "kind", "text"), rest=True))


@jobs.command("cancel")
def cancel_job(job_id: str, url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """Cancel a job, as its owner could."""
    found = call("POST", f"jobs/{job_id}/cancel", url, key)
    tell(found, as_json, lambda: typer.echo(f"{job_id} is {found['job']['phase']}"))


@jobs.command("resolve")
def resolve_job(
    job_id: str,
    action: Annotated[
        Decision,
        typer.Option(help="bind: its task was found; resubmit: it may pay twice; fail: wait no more."),
    ],
    task_id: Annotated[str | None, typer.Option(help="The upstream's task, with bind.")] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Decide on a job whose outcome is unknown."""
    body = {"action": action.value} | ({"task_id": task_id} if task_id else {})
    found = call("POST", f"jobs/{job_id}/resolve", url, key, body)
    tell(found, as_json, lambda: typer.echo(f"{job_id} is {found['job']['phase']}"))


@jobs.command("unknown")
def unknown_jobs(url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """List the jobs whose outcome is unknown, the longest first."""
    found = call("GET", "unknown", url, key)
    tell(found, as_json, lambda: rows(found["data"], ("job", "tenant", "since", "on_unknown", "evidence")))


@deliveries.command("list")
def list_deliveries(
    tenant: Annotated[str, typer.Option(help="Whose.")],
    state: Annotated[str | None, typer.Option(help="pending, delivered, dead or held.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """List a tenant's deliveries, newest first."""
    query = {"tenant": tenant, "limit": limit} | ({"state": state} if state else {})
    found = call("GET", f"deliveries?{urlencode(query)}", url, key)
    tell(
        found,
        as_json,
        lambda: rows(found["data"], ("id", "state", "attempts", "created_at", "next_attempt_at")),
    )


@deliveries.command("redeliver")
def redeliver(
    delivery_ids: Annotated[list[str], typer.Argument(help="One or several.")],
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Send deliveries again, now."""
    for delivery_id in delivery_ids:
        found = call("POST", f"deliveries/{delivery_id}/redeliver", url, key)
        tell(found, as_json, lambda found=found: typer.echo(f"{found['id']} is {found['state']}"))  # type: ignore[misc]


@subscribers.command("paused")
def paused_subscribers(url: Url = LOCAL, key: Key = "", as_json: AsJson = False) -> None:
    """List paused subscribers."""
    found = call("GET", "subscribers/paused", url, key)
    tell(found, as_json, lambda: rows(found["data"], ("id", "tenant", "url", "paused_until", "waiting")))


@subscribers.command("pause")
def pause_subscriber(
    subscriber: Annotated[str, typer.Argument(help="The id of an endpoint, or an id as the list has it.")],
    reason: Annotated[str, typer.Option(help="The reason, for other operators.")],
    seconds: Annotated[
        int | None, typer.Option(min=1, max=604_800, help="How long (default: until it is resumed).")
    ] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Send nothing to a subscriber. What it is owed waits."""
    body = {"subscriber": subscriber, "reason": reason, "seconds": seconds}
    found = call("POST", "subscribers/pause", url, key, body)
    tell(found, as_json, lambda: typer.echo(f"{subscriber} is paused, {len(found['data'])} in all"))


@subscribers.command("resume")
def resume_subscribers(
    subscriber: Annotated[str | None, typer.Argument(help="As the list has it; without: all.")] = None,
    url: Url = LOCAL,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Send to one of them again, or to all."""
    body = {"subscriber": subscriber} if subscriber else {"all": True}
    found = call("POST", "subscribers/resume", url, key, body)
    tell(found, as_json, lambda: typer.echo(f"{len(found['data'])} are still paused"))


def rows(data: Sequence[Mapping[str, Any]], columns: Sequence[str], rest: bool = False) -> None:
    """`rest`: what else is there goes into a column of its own."""
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
