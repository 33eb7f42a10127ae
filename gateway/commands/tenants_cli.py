"""How `vidu-gateway tenants ...` is called."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.commands.keys_cli import LOCAL, DataDir, RedisUrl, redis_of
from gateway.lifecycle import OnUnknown

app = typer.Typer(
    help="Tenants: what becomes of their jobs whose outcome stays unknown.", no_args_is_help=True
)

Tenant = Annotated[str, typer.Argument(help="The tenant's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@app.command("set")
def change(
    tenant: Tenant,
    on_unknown: Annotated[
        OnUnknown,
        typer.Option(
            help="hold: fail, never pay twice; resubmit: it may pay twice; manual: an operator decides."
        ),
    ],
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Choose for a tenant; a job that says it itself goes its own way."""
    from gateway.commands import tenants

    tenants.change(redis_of(redis_url, data_dir), tenant, on_unknown)
    _tell(tenant, on_unknown, as_json=as_json)


@app.command()
def show(
    tenant: Tenant,
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what was chosen."""
    from gateway.commands import tenants

    _tell(tenant, tenants.show(redis_of(redis_url, data_dir), tenant), as_json=as_json)


def _tell(tenant: str, on_unknown: OnUnknown | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"tenant": tenant, "on_unknown": on_unknown}))
        return
    typer.echo(f"tenant          {tenant}")
    typer.echo(f"on unknown      {on_unknown or 'as the service does (GATEWAY_ON_UNKNOWN)'}")
