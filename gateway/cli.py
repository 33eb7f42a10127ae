"""The command line of `vidu-gateway`. The code of each sub-command is imported when it runs."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway import variables
from gateway.commands import (
    accounts_cli,
    audit_cli,
    endpoints_cli,
    keys_cli,
    money_cli,
    ops_cli,
    prices_cli,
    printing,
    tenants_cli,
)
from gateway.commands.options import AsJson, ClientKey, OperatorKey, Url, client, operator
from gateway.dispatch import Role
from gateway.errors import GatewayError

app = typer.Typer(
    help="Video generation jobs: accepted once, paid for once, delivered by a signed webhook.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, including secrets
    rich_markup_mode=None,  # its help has boxes, and cuts what is too long for them
)
app.add_typer(keys_cli.app, name="keys")
app.add_typer(tenants_cli.app, name="tenants")
app.add_typer(audit_cli.app, name="audit")
app.add_typer(endpoints_cli.app, name="endpoints")
app.add_typer(ops_cli.service, name="service")
app.add_typer(ops_cli.jobs, name="jobs")
app.add_typer(ops_cli.deliveries, name="deliveries")
app.add_typer(ops_cli.subscribers, name="subscribers")
app.add_typer(accounts_cli.accounts, name="accounts")
app.add_typer(money_cli.ledger, name="ledger")
app.command("usage")(money_cli.usage)
app.add_typer(prices_cli.prices, name="prices")

Render = Literal["full", "none"]
CallbackStyle = Literal["none", "vtrix", "vidu"]
LogLevel = Literal["debug", "info", "warning", "error"]
_OWNER_ONLY_UMASK = 0o077


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        printing.say(f"vidu-gateway {version('vidu-gateway')}")
        raise typer.Exit


@app.callback()
def vidu_gateway(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Common to all sub-commands: SIGTERM stops them like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@app.command()
def up(
    data_dir: Annotated[
        Path, typer.Option(help="Directory for all data: store, videos, logs, secrets.")
    ] = Path(".vidu-gateway"),
    host: Annotated[str, typer.Option(help="Address that the API listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.", min=1, max=65535)] = 8080,
    sandbox_port: Annotated[int, typer.Option(help="Port of the sandbox.", min=1, max=65535)] = 8090,
    upstream_url: Annotated[
        str | None, typer.Option(help="URL of a real upstream instead of the sandbox. Jobs cost money.")
    ] = None,
    upstream_key: Annotated[
        str | None,
        typer.Option(
            envvar="GATEWAY_UPSTREAM_KEY",
            help="API key of the real upstream. Prefer the variable: it is not shown in the process list.",
        ),
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="Public base URL, for the callbacks.")] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes of the gateway, and of the workers (default: by cores).", min=1, max=64),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes, if not as many.", min=1, max=64)
    ] = None,
    render: Annotated[Render, typer.Option(help="Whether the sandbox renders videos.")] = "full",
    callback_style: Annotated[
        CallbackStyle, typer.Option(help="Format of the sandbox's callbacks.")
    ] = "vtrix",
    log_level: Annotated[LogLevel, typer.Option(help="Log level of all processes.")] = "info",
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the logs of all processes.")] = False,
) -> None:
    """Run the whole service on this machine.

    That is the store, the gateway, workers and, as upstream, the sandbox.
    """
    upstream_key = variables.secret("GATEWAY_UPSTREAM_KEY", upstream_key or "") if upstream_url else ""
    if upstream_url and not upstream_key:
        raise typer.BadParameter("--upstream-url requires --upstream-key, or GATEWAY_UPSTREAM_KEY")
    from gateway.commands.stack import Plan, processes_here
    from gateway.commands.up import up as run

    plan = Plan(
        data_dir=data_dir,
        port=port,
        sandbox_port=sandbox_port,
        host=host,
        public_url=public_url,
        upstream_url=upstream_url,
        upstream_key=upstream_key or None,
        processes=processes or processes_here(),
        workers=workers,
        render=render,
        callback_style=callback_style,
        log_level=log_level,
    )
    os.umask(_OWNER_ONLY_UMASK)  # before anything is started or written
    run(plan, verbose=verbose)


@app.command()
def demo(
    prompt: Annotated[str, typer.Option(help="Description of the video.")] = (
        "A quiet morning: light moves over the hills, slowly, from picture to picture"
    ),
    duration: Annotated[int, typer.Option(help="Length of the video in seconds.")] = 5,
    resolution: Annotated[str, typer.Option(help="540p, 720p or 1080p.")] = "720p",
    aspect_ratio: Annotated[str, typer.Option(help="16:9, 9:16, 1:1, ...")] = "16:9",
    output: Annotated[Path, typer.Option(help="File to save the video in.")] = Path("demo.mp4"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object as the last line; progress goes to stderr.")
    ] = False,
) -> None:
    """Run one job, from three images to a video and a signed webhook."""
    from gateway.commands.demo import Order
    from gateway.commands.demo import demo as run

    os.umask(_OWNER_ONLY_UMASK)
    run(Order(prompt, duration, resolution, aspect_ratio), output, as_json=as_json)


@app.command()
def listen(
    forward: Annotated[str, typer.Option(help="URL that each event is POSTed to as a signed webhook.")],
    url: Url = "",
    key: ClientKey = "",
    events: Annotated[
        str,
        typer.Option(help="Event types, comma-separated; * for all (default: the default of an endpoint)."),
    ] = "",
    secret: Annotated[
        str | None, typer.Option(help="Signing secret (whsec_...) to use instead of a new one.")
    ] = None,
) -> None:
    """Forward your tenant's events to a service on this machine."""
    gateway = client(url, key)
    from gateway.commands.listen import Plan
    from gateway.commands.listen import listen as run

    filters = tuple(part.strip() for part in events.split(",") if part.strip())
    run(Plan(forward, gateway.url, gateway.key, filters, secret))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Check the configuration in this environment.

    It checks settings, Redis, workers, callbacks, the upstream and files.
    """
    from gateway.commands import doctor as examination

    findings = examination.examine()
    if as_json:
        for finding in findings:
            printing.show_json(asdict(finding))
    else:
        from gateway.commands.tables import findings_table

        printing.show(findings_table(findings))
    if examination.has_errors(findings):
        raise typer.Exit(1)


@app.command()
def status(
    url: Url = "",
    key: OperatorKey = "",
    watch: Annotated[
        float | None, typer.Option(min=0.5, help="Seconds between updates (default: print once).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the service: depth, age, slots, counts and alarms."""
    gateway = operator(url, key)
    from gateway.commands import status as status_command

    status_command.show(gateway, watch=watch, as_json=as_json)


@app.command()
def top(
    role: Annotated[
        Role,
        typer.Option(help="Role of the lanes: submit: tenants, deliver: subscribers, confirm: accounts."),
    ] = Role.SUBMIT,
    url: Url = "",
    key: OperatorKey = "",
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between updates.")] = 2,
    once: Annotated[
        bool, typer.Option("--once", help="Print once and exit (default when output is not a terminal).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the lanes with the longest wait."""
    gateway = operator(url, key)
    from gateway.commands import status as status_command

    status_command.top(gateway, role.value, watch=None if once else every, as_json=as_json)


def main() -> None:
    """Entry point. A GatewayError is printed to stderr as one message, with exit code 1 and no traceback."""
    printing.prepare_streams()
    try:
        app()
    except GatewayError as error:
        printing.say(f"vidu-gateway: {error}", "red", stderr=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
