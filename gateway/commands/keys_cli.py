"""The command line of `vidu-gateway keys`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway import variables
from gateway.commands import budgets, printing
from gateway.errors import ConfigurationError
from gateway.tenants import CLIENT_SCOPES, Scope

if TYPE_CHECKING:
    from gateway.commands.keys import NewKey
    from gateway.keyring import Keyring

app = typer.Typer(help="Client keys: create, list, change, rotate and revoke them.", no_args_is_help=True)

_LOCAL_REDIS: Final = "redis://127.0.0.1:6379/0"

RedisUrl = Annotated[
    str,
    typer.Option(envvar="GATEWAY_REDIS_URL", help="URL of the service's Redis.", show_default=_LOCAL_REDIS),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Data directory of a running `vidu-gateway up`, to use its Redis and keyring."),
]


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
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create a key. It is shown only once; only its hash is stored."""
    from gateway.commands import keys

    seconds = None if expires_in_days is None else expires_in_days * 86_400
    where = redis_of(redis_url, data_dir)
    keyring = _keyring(secret_keys, data_dir)
    _print_key(keys.create(where, keyring, tenant, scope or CLIENT_SCOPES, name, seconds), as_json=as_json)


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="Id of the key to replace.")],
    secret_keys: Annotated[
        str, typer.Option(envvar="GATEWAY_SECRET_KEYS", help="The service's keyring.", show_default=False)
    ] = "",
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=168, help="Hours for which the old key stays valid.")
    ] = 24.0,
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replace a key by a new one with the same scopes, shown only once. The old key expires."""
    from gateway.commands import keys

    keyring = _keyring(secret_keys, data_dir)
    made = keys.rotate(redis_of(redis_url, data_dir), keyring, key_id, overlap_hours * 3600)
    _print_key(made, as_json=as_json)


def _keyring(secret_keys: str, data_dir: Path | None) -> Keyring:
    from gateway.commands import stack
    from gateway.keyring import Keyring

    if data_dir:
        secret_keys = _kept(data_dir, stack.SECRET_KEYS)
    else:
        secret_keys = variables.secret("GATEWAY_SECRET_KEYS", secret_keys)
    if not secret_keys:
        raise typer.BadParameter("the keyring is required: --data-dir, --secret-keys or GATEWAY_SECRET_KEYS")
    return Keyring.parse(secret_keys)


def _print_key(made: NewKey, *, as_json: bool) -> None:
    if as_json:
        printing.show_json(asdict(made))
        return
    shown = {"id": made.key_id, "tenant": made.tenant, "scopes": " ".join(made.scopes)}
    printing.show(printing.fields(shown))
    printing.say(f"key, shown only once:\n{made.key}")
    printing.say(f"signing secret, to verify webhooks to a job's callback_url:\n{made.signing_secret}")


@app.command("list")
def list_keys(
    redis_url: RedisUrl = "",
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
            printing.show_json(row)
        return
    dates = ("created_at", "last_used_at", "expires_at", "revoked_at")
    columns = ("key_id", "tenant", "name", "state", *dates, "scopes")
    shown = [{**row, "scopes": " ".join(row["scopes"]), "state": _state(row)} for row in rows]
    printing.show(printing.rows(shown, columns))


def _state(row: dict[str, Any]) -> str:
    if row["revoked_at"]:
        return "revoked"
    return "expired" if row["expired"] else "active"


@app.command("set")
def change(
    key_id: Annotated[str, typer.Argument(help="Id of the key.")],
    budget: Annotated[list[str], typer.Option(help=budgets.HELP)],
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Change the budgets of a key. Those of its tenant count as well."""
    from gateway.commands import keys

    changes = budgets.changes_of(budget, key_id)
    tenant = keys.change(redis_of(redis_url, data_dir), key_id, changes)
    if as_json:
        found = budgets.document(tenant)["key_budgets"].get(key_id, {})
        printing.show_json({"key_id": key_id, "tenant": tenant.name, "budgets": found})
        return
    shown = budgets.shown(tenant.key_budgets.get(key_id, {}))
    printing.show(printing.fields({"key": key_id, "tenant": tenant.name, "budgets": shown}))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key.")],
    redis_url: RedisUrl = "",
    data_dir: DataDir = None,
) -> None:
    """Revoke a key. It is refused everywhere within five seconds."""
    from gateway.commands import keys

    keys.revoke(redis_of(redis_url, data_dir), key_id)
    printing.say(f"{key_id} is revoked")


def redis_of(redis_url: str, data_dir: Path | None) -> str:
    from gateway.commands import stack

    if data_dir:
        return _kept(data_dir, stack.REDIS_URL)
    return variables.secret("GATEWAY_REDIS_URL", redis_url) or _LOCAL_REDIS


def _kept(data_dir: Path, name: str) -> str:
    try:
        return (data_dir / name).read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {data_dir / name} ({error.strerror}): is this the data directory of a running "
            "`vidu-gateway up`?"
        ) from None
