"""The command line of `vidu-gateway keys`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.errors import ConfigurationError
from gateway.tenants import CLIENT_SCOPES, Scope

if TYPE_CHECKING:
    from gateway.commands.keys import NewKey
    from gateway.keyring import Keyring

app = typer.Typer(help="Client keys: create, list, rotate and revoke them.", no_args_is_help=True)

RedisUrl = Annotated[str, typer.Option(envvar="GATEWAY_REDIS_URL", help="URL of the service's Redis.")]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Data directory of a running `vidu-gateway up`, to use its Redis and keyring."),
]
LOCAL = "redis://127.0.0.1:6379/0"


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Tenant that owns the key, its jobs and its endpoints.")],
    secret_keys: Annotated[
        str, typer.Option(envvar="GATEWAY_SECRET_KEYS", help="The service's keyring.", show_default=False)
    ] = "",
    name: Annotated[str, typer.Option(help="Purpose of the key.")] = "",
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the key may do (repeatable; default: jobs and endpoints)."),
    ] = None,
    expires_in_days: Annotated[
        float | None, typer.Option(min=0.001, max=3650, help="Days until the key expires (default: never).")
    ] = None,
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create a key. It is shown only once; only its hash is stored."""
    from gateway.commands import keys

    seconds = None if expires_in_days is None else expires_in_days * 86_400
    where = redis_of(redis_url, data_dir)
    ring = _keyring(secret_keys, data_dir)
    _print_key(keys.create(where, ring, tenant, scope or CLIENT_SCOPES, name, seconds), as_json=as_json)


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="Id of the key to replace.")],
    secret_keys: Annotated[
        str, typer.Option(envvar="GATEWAY_SECRET_KEYS", help="The service's keyring.", show_default=False)
    ] = "",
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=168, help="Hours for which the old key stays valid.")
    ] = 24.0,
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replace a key by a new one with the same scopes, shown only once. The old key expires."""
    from gateway.commands import keys

    ring = _keyring(secret_keys, data_dir)
    made = keys.rotate(redis_of(redis_url, data_dir), ring, key_id, overlap_hours * 3600)
    _print_key(made, as_json=as_json)


def _keyring(secret_keys: str, data_dir: Path | None) -> Keyring:
    from gateway.commands import stack
    from gateway.keyring import Keyring

    if data_dir:
        secret_keys = _kept(data_dir, stack.SECRET_KEYS)
    if not secret_keys:
        raise typer.BadParameter("the keyring is required: --data-dir, --secret-keys or GATEWAY_SECRET_KEYS")
    return Keyring.parse(secret_keys)


def _print_key(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(made)))
        return
    typer.echo(f"id              {made.key_id}")
    typer.echo(f"tenant          {made.tenant}")
    typer.echo(f"scopes          {' '.join(made.scopes)}")
    typer.echo(f"key, shown only once:\n{made.key}")
    typer.echo(f"signing secret, to verify webhooks to a job's callback_url:\n{made.signing_secret}")


@app.command("list")
def list_keys(
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """List keys, without their secrets."""
    from gateway.commands import keys
    from gateway.environment import Environment
    from gateway.jobs import rfc3339

    now = Environment().now_ms()
    rows: list[dict[str, Any]] = [
        {
            "key_id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "created_at": rfc3339(key.created_at),
            "expires_at": rfc3339(key.expires_at),
            "last_used_at": rfc3339(key.last_used_at),
            "revoked_at": rfc3339(key.revoked_at),
            "replaces": key.replaces,
            "expired": key.expires_at is not None and key.expires_at <= now,
        }
        for key in keys.all_keys(redis_of(redis_url, data_dir))
    ]
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    for row in rows:
        words = (("expires", "expires_at"), ("last used", "last_used_at"), ("revoked", "revoked_at"))
        more = "".join(f", {word} {row[name]}" for word, name in words if row[name])
        more += "" if row["last_used_at"] else ", never used"
        more = more.replace(", expires ", ", expired ") if row["expired"] else more
        typer.echo(f"{row['key_id']}  {row['tenant']}  {row['name']}".rstrip())
        typer.echo(f"    created {row['created_at']}{more}")
        typer.echo(f"    {' '.join(row['scopes'])}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key.")],
    redis_url: RedisUrl = LOCAL,
    data_dir: DataDir = None,
) -> None:
    """Revoke a key. It is refused everywhere within five seconds."""
    from gateway.commands import keys

    keys.revoke(redis_of(redis_url, data_dir), key_id)
    typer.echo(f"{key_id} is revoked")


def redis_of(redis_url: str, data_dir: Path | None) -> str:
    from gateway.commands import stack

    return _kept(data_dir, stack.REDIS_URL) if data_dir else redis_url


def _kept(data_dir: Path, name: str) -> str:
    try:
        return (data_dir / name).read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {data_dir / name} ({error.strerror}): is this the data directory of a running "
            "`vidu-gateway up`?"
        ) from None
