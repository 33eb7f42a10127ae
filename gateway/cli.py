"""The command `vidu-gateway`: how each sub-command is called. What it does is imported when it is run."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.commands import accounts_cli, audit_cli, endpoints_cli, keys_cli, ops_cli, tenants_cli
from gateway.dispatch import Role
from gateway.errors import GatewayError

app = typer.Typer(
    help="Video generation jobs: accepted once, paid for once, told to you by a signed webhook.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and with them secrets
)
app.add_typer(keys_cli.app, name="keys")
app.add_typer(tenants_cli.app, name="tenants")
app.add_typer(audit_cli.app, name="audit")
app.add_typer(endpoints_cli.app, name="endpoints")
app.add_typer(ops_cli.jobs, name="jobs")
app.add_typer(ops_cli.deliveries, name="deliveries")
app.add_typer(ops_cli.subscribers, name="subscribers")
app.add_typer(accounts_cli.accounts, name="accounts")

Render = Literal["full", "none"]
CallbackStyle = Literal["none", "vtrix", "vidu"]
LogLevel = Literal["debug", "info", "warning", "error"]
_OWNER_ONLY_UMASK = 0o077


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vidu-gateway {version('vidu-gateway')}")
        raise typer.Exit


@app.callback()
def vidu_gateway(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What all sub-commands share: SIGTERM ends them as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@app.command()
def up(
    data_dir: Annotated[
        Path, typer.Option(help="Everything that is kept: data, videos, logs, secrets.")
    ] = Path(".vidu-gateway"),
    host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65535)] = 8080,
    sandbox_port: Annotated[int, typer.Option(help="Port of the sandbox.", min=1, max=65535)] = 8090,
    upstream_url: Annotated[
        str | None, typer.Option(help="The real upstream, instead of the sandbox: its jobs cost money.")
    ] = None,
    upstream_key: Annotated[
        str | None,
        typer.Option(
            envvar="GATEWAY_UPSTREAM_KEY",
            help="Key for the real upstream; as this variable it stays out of the list of processes.",
        ),
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Where the real upstream can reach the API with its callbacks.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=64)] = 1,
    render: Annotated[Render, typer.Option(help="Whether the sandbox renders videos.")] = "full",
    callback_style: Annotated[CallbackStyle, typer.Option(help="How the sandbox calls back.")] = "vtrix",
    log_level: Annotated[LogLevel, typer.Option(help="Of all processes.")] = "info",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what the processes log.")] = False,
) -> None:
    """Run the whole service on this machine: store, gateway, workers and a sandbox upstream."""
    if upstream_url and not upstream_key:
        raise typer.BadParameter("the real upstream needs --upstream-key, or GATEWAY_UPSTREAM_KEY")
    from gateway.commands.stack import Plan
    from gateway.commands.up import up as run

    plan = Plan(
        data_dir=data_dir,
        port=port,
        sandbox_port=sandbox_port,
        host=host,
        public_url=public_url,
        upstream_url=upstream_url,
        upstream_key=upstream_key if upstream_url else None,
        workers=workers,
        render=render,
        callback_style=callback_style,
        log_level=log_level,
    )
    os.umask(_OWNER_ONLY_UMASK)  # before anything is started or written
    run(plan, verbose=verbose)


@app.command()
def demo(
    prompt: Annotated[str, typer.Option(help="What the video shows.")] = (
        "A quiet morning: light moves over the hills, slowly, from picture to picture"
    ),
    duration: Annotated[int, typer.Option(help="Seconds of video.")] = 5,
    resolution: Annotated[str, typer.Option(help="540p, 720p or 1080p.")] = "720p",
    aspect_ratio: Annotated[str, typer.Option(help="16:9, 9:16, 1:1, ...")] = "16:9",
    output: Annotated[Path, typer.Option(help="Where the video is saved.")] = Path("demo.mp4"),
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object as the last line; progress goes to stderr.")
    ] = False,
) -> None:
    """See one job go the whole way: three pictures in, a video and a signed webhook out."""
    from gateway.commands.demo import Order
    from gateway.commands.demo import demo as run

    os.umask(_OWNER_ONLY_UMASK)
    run(Order(prompt, duration, resolution, aspect_ratio), output, as_json=as_json)


@app.command()
def listen(
    forward: Annotated[str, typer.Option(help="Where each event is POSTed to, as a signed webhook.")],
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str,
        typer.Option(envvar="VIDU_GATEWAY_KEY", help="A client key with jobs:read.", show_default=False),
    ] = "",
    events: Annotated[
        str, typer.Option(help="Types, comma-separated; * for all; none: what an endpoint gets by default.")
    ] = "",
    secret: Annotated[
        str | None, typer.Option(help="Sign with this one (whsec_...) instead of a new one each time.")
    ] = None,
) -> None:
    """Forward your tenant's events to a service on this machine, where the gateway cannot reach it."""
    if not key:
        raise typer.BadParameter("a key is needed: --key, or VIDU_GATEWAY_KEY")
    from gateway.commands.listen import Plan
    from gateway.commands.listen import listen as run

    filters = tuple(part.strip() for part in events.split(",") if part.strip())
    run(Plan(forward, url, key, filters, secret))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Look at the set-up in this environment: settings, Redis, workers, callbacks, upstream, files."""
    from gateway.commands import doctor as examination

    findings = examination.examine()
    if as_json:
        for finding in findings:
            typer.echo(json.dumps(asdict(finding)))
    else:
        from rich.console import Console

        from gateway.commands.tables import findings_table

        Console().print(findings_table(findings))
    if examination.has_errors(findings):
        raise typer.Exit(1)


@app.command()
def status(
    url: Annotated[str, typer.Option(help="The gateway.")] = "http://127.0.0.1:8080",
    key: Annotated[
        str, typer.Option(envvar="VIDU_GATEWAY_OPS_KEY", help="A key with ops:read.", show_default=False)
    ] = "",
    watch: Annotated[float | None, typer.Option(min=0.5, help="Again every so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show the whole service in one look: depth, age, slots, counts, and what is wrong."""
    if not key:
        raise typer.BadParameter("a key is needed: --key, or VIDU_GATEWAY_OPS_KEY")
    from gateway.commands import status as status_command

    status_command.show(url, key, watch=watch, as_json=as_json)


@app.command()
def top(
    role: Annotated[
        Role, typer.Option(help="Whose lanes: submit: tenants, deliver: subscribers, confirm: accounts.")
    ] = Role.SUBMIT,
    url: ops_cli.Url = ops_cli.LOCAL,
    key: ops_cli.Key = "",
    every: Annotated[float, typer.Option(min=0.5, help="Again every so many seconds.")] = 2,
    once: Annotated[
        bool, typer.Option("--once", help="And no more; so it is, too, when nobody looks on.")
    ] = False,
    as_json: ops_cli.AsJson = False,
) -> None:
    """Show who keeps the service busy: the lanes in which somebody waits the longest."""
    if not key:
        raise typer.BadParameter("a key is needed: --key, or VIDU_GATEWAY_OPS_KEY")
    from gateway.commands import status as status_command

    status_command.top(url, key, role.value, watch=None if once else every, as_json=as_json)


def main() -> None:
    """Entry point: an error raised on purpose is a sentence on stderr and exit code 1, never a traceback."""
    try:
        app()
    except GatewayError as error:
        typer.secho(f"vidu-gateway: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
