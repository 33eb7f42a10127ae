"""The command line of `vidu-gateway tenants`."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.commands import budgets, printing
from gateway.commands.keys_cli import DataDir, RedisUrl, redis_of
from gateway.errors import ConfigurationError
from gateway.lifecycle import OnUnknown

if TYPE_CHECKING:
    from gateway.tenants import Tenant

app = typer.Typer(help="Tenants: list and change their limits; pause and resume them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The tenant's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SETTINGS: Final = ("title", "on_unknown", "weight", "in_flight", "queue_max", "rate", "burst", "networks")
_MAX: Final = 10_000_000


@app.command("set")
def change(
    tenant: Name,
    on_unknown: Annotated[
        OnUnknown | None,
        typer.Option(
            help="Jobs with an unknown outcome: hold: fail, never pay twice; resubmit: may pay twice; "
            "manual: an operator decides."
        ),
    ] = None,
    weight: Annotated[
        int | None, typer.Option(min=1, max=100, help="Its share of the upstream is proportional to this.")
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, max=_MAX, help="Maximum number of its tasks at the upstream.")
    ] = None,
    queue_max: Annotated[
        int | None, typer.Option(min=1, max=_MAX, help="Maximum number of its waiting jobs.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0, max=_MAX, help="Maximum number of jobs it may post per second; 0: unlimited."),
    ] = None,
    burst: Annotated[
        int | None,
        typer.Option(min=1, max=_MAX, help="Maximum number of jobs posted at once after a quiet time."),
    ] = None,
    networks: Annotated[
        str | None,
        typer.Option(help="Additional networks (CIDR, comma-separated) that its webhooks may go to."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Display name.")] = None,
    budget: Annotated[list[str] | None, typer.Option(help=budgets.HELP)] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(help=f"Reset to the service's default: one of {', '.join(SETTINGS)} (repeatable)."),
    ] = None,
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's settings; creates the tenant if it is new. Other settings stay unchanged."""
    from gateway.commands import tenants

    given = {
        "title": title,
        "on_unknown": on_unknown,
        "weight": weight,
        "in_flight": in_flight,
        "queue_max": queue_max,
        "rate": rate,
        "burst": burst,
        "networks": _networks(networks),
    }
    changes: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    changes |= _unset(unset or ()) | budgets.changes_of(budget or ())
    _print_tenant(tenants.change(redis_of(redis_url, data_dir), tenant, changes), as_json=as_json)


def _unset(names: Sequence[str]) -> dict[str, object]:
    """These settings, to be reset."""
    found = [name.replace("-", "_") for name in names]
    for name in found:
        if name not in SETTINGS:
            raise ConfigurationError(f"{name!r} is not a tenant setting; known are {', '.join(SETTINGS)}")
    return dict.fromkeys(found)


@app.command()
def show(tenant: Name, redis_url: RedisUrl = "", data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show a tenant's settings."""
    from gateway.commands import tenants

    _print_tenant(tenants.show(redis_of(redis_url, data_dir), tenant), as_json=as_json)


@app.command("list")
def list_tenants(redis_url: RedisUrl = "", data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List all tenants; with --json one JSON object per line."""
    from gateway.commands import tenants

    found = tenants.all_tenants(redis_of(redis_url, data_dir))
    if as_json:
        for tenant in found:
            printing.show_json(budgets.document(tenant))
        return
    columns = ("name", "weight", "in_flight", "queue_max", "rate", "on_unknown", "paused_reason")
    empty = "no tenants; vidu-gateway keys create --tenant NAME creates one"
    printing.show(printing.rows([budgets.document(tenant) for tenant in found], columns, empty=empty))


@app.command()
def pause(
    tenant: Name,
    reason: Annotated[str, typer.Option(help="The reason, for other operators.")],
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Stop sending a tenant's jobs to the upstream. New jobs are still accepted, and wait."""
    from gateway.commands import tenants

    _print_tenant(tenants.pause(redis_of(redis_url, data_dir), tenant, reason), as_json=as_json)


@app.command()
def resume(tenant: Name, redis_url: RedisUrl = "", data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Send a tenant's jobs again."""
    from gateway.commands import tenants

    _print_tenant(tenants.resume(redis_of(redis_url, data_dir), tenant), as_json=as_json)


def _networks(text: str | None) -> list[str] | None:
    if text is None:
        return None
    found = [part.strip() for part in text.split(",") if part.strip()]
    try:
        for part in found:
            ip_network(part)
    except ValueError as error:
        raise ConfigurationError(f"--networks: {error}") from None
    return found or None


def _print_tenant(tenant: Tenant, *, as_json: bool) -> None:
    if as_json:
        printing.show_json(budgets.document(tenant))
        return
    shown: dict[str, object] = {"tenant": tenant.name}
    for name in SETTINGS:
        default = "none" if name == "title" else "default of the service"
        value = getattr(tenant, name)
        shown[name] = default if value is None else value
    shown["budgets"] = budgets.shown(tenant.budgets)
    shown |= {f"of key {key_id}": budgets.shown(own) for key_id, own in tenant.key_budgets.items()}
    if tenant.paused_at is not None:
        shown["paused"] = f"by {tenant.paused_by}: {tenant.paused_reason}"
    printing.show(printing.fields(shown))
