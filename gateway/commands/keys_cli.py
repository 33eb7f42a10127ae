"""How `vidu-gateway keys ...` is called."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.tenants import CLIENT_SCOPES, Scope

app = typer.Typer(help="Client keys: make one, list them, revoke one.", no_args_is_help=True)

RedisUrl = Annotated[str, typer.Option(envvar="GATEWAY_REDIS_URL", help="Where the keys are kept.")]
_LOCAL = "redis://127.0.0.1:6379/0"


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Who owns the key, its jobs and its endpoints.")],
    secret_keys: Annotated[
        str, typer.Option(envvar="GATEWAY_SECRET_KEYS", help="The service's keyring.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="What the key is for, for people.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do (repeatable; default: jobs and endpoints).")
    ] = None,
    redis_url: RedisUrl = _LOCAL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Make a key. It is shown once; only its hash is kept."""
    from gateway.commands import keys
    from gateway.keyring import Keyring

    made = keys.create(redis_url, Keyring.parse(secret_keys), tenant, scope or CLIENT_SCOPES, name)
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    typer.echo(f"key             {made.key}   (shown this once)")
    typer.echo(f"id              {made.key_id}")
    typer.echo(f"tenant          {made.tenant}")
    typer.echo(f"scopes          {' '.join(made.scopes)}")
    typer.echo(f"signing secret  {made.signing_secret}   (verifies webhooks to a job's callback_url)")


@app.command("list")
def list_keys(
    redis_url: RedisUrl = _LOCAL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the keys, without their secrets."""
    from gateway.commands import keys
    from gateway.jobs import rfc3339

    rows: list[dict[str, object]] = [
        {
            "key_id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "created_at": rfc3339(key.created_at),
            "revoked_at": rfc3339(key.revoked_at),
        }
        for key in keys.all_keys(redis_url)
    ]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    _print_table(rows)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id.")], redis_url: RedisUrl = _LOCAL
) -> None:
    """Revoke a key: within five seconds it opens nothing any more."""
    from gateway.commands import keys

    keys.revoke(redis_url, key_id)
    typer.echo(f"{key_id} is revoked")


def _print_table(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "tenant", "name", "scopes", "created", "revoked")
    for row in rows:
        scopes = row["scopes"]
        assert isinstance(scopes, list)
        table.add_row(
            str(row["key_id"]),
            str(row["tenant"]),
            str(row["name"]),
            " ".join(scopes),
            str(row["created_at"]),
            str(row["revoked_at"] or ""),
        )
    Console().print(table)
