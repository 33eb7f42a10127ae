"""`vidu-gateway up`: runs the whole service on this machine until Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from gateway.commands import stack
from gateway.environment import Environment
from gateway.local.supervisor import Supervisor

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")
_PROMPT = "a slow walk through the picture"


def up(plan: stack.Plan, *, verbose: bool) -> None:
    """Run until a signal asks to stop and all processes have stopped. Raises GatewayError."""
    console = Console(highlight=False)
    monotonic = Environment().monotonic
    began = monotonic()

    def say(line: str) -> None:
        console.print(Text(line, "yellow"), soft_wrap=True)

    supervisor = Supervisor(say)
    if verbose:
        supervisor.each_tick = _follower(plan.logs, console)
    with stack.running(plan, supervisor) as key:
        if key is not None:
            _show(console, plan, key, monotonic() - began)
            supervisor.run()
        console.print("stopping …", style="dim")
    console.print("all processes stopped", style="dim")


def _show(console: Console, plan: stack.Plan, key: stack.DemoKey, seconds: float) -> None:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold")
    rows.add_column(overflow="fold")
    rows.add_row("API", f"{plan.url}/v1/jobs")
    rows.add_row("docs", f"{plan.url}/docs")
    rows.add_row("ops", f"{plan.url}/ops  (sign in with the demo key)")
    rows.add_row("metrics", f"{plan.url}/metrics")
    if plan.sandbox_url:
        rows.add_row("sandbox", f"{plan.sandbox_url}  (the upstream: renders for real, costs nothing)")
    else:
        rows.add_row("upstream", f"{plan.upstream_url}  (real: every job costs money)")
    rows.add_row("data", str(plan.data_dir))
    rows.add_row("logs", str(plan.logs))
    title = f"vidu-gateway is ready, after {seconds:.1f} s"
    console.print(Panel(rows, title=title, border_style="green", expand=False))
    # Outside the panel, so that copying picks up no borders, and without line breaks.
    console.print("demo key:", style="bold")
    console.print(Text(key.key), soft_wrap=True)
    console.print("signing secret, to verify webhooks to a job's callback_url:", style="bold")
    console.print(Text(key.signing_secret), soft_wrap=True)
    console.print("Post a job:", style="bold")
    console.print(Text(curl_line(plan, key)), soft_wrap=True)
    console.print("Ctrl-C stops everything.", style="dim")


def curl_line(plan: stack.Plan, key: stack.DemoKey) -> str:
    """A shell command that posts a job."""
    image = (
        f"{plan.sandbox_url}/samples/{sample_names()[0]}"
        if plan.sandbox_url
        else "https://example.com/your.jpg"
    )
    order = {"model": stack.MODEL, "prompt": _PROMPT, "images": [image], "duration": 5}
    words = [
        f"curl -sS {plan.url}/v1/jobs",
        f"-H 'Authorization: Bearer {key.key}'",
        "-H 'Content-Type: application/json'",
        f"-d '{json.dumps(order)}'",
    ]
    return " ".join(words)


def sample_names() -> list[str]:
    """The sample images of the sandbox, ordered by name."""
    folder = resources.files("gateway.sandbox") / "samples"
    return sorted(item.name for item in folder.iterdir() if item.name.endswith(".jpg"))


def _follower(logs: Path, console: Console) -> Callable[[], None]:
    """Prints lines added to the logs from now on, each with the process's name in its own colour."""
    read: dict[Path, int] = {path: path.stat().st_size for path in logs.glob("*.log")}
    colours: dict[Path, str] = {}

    def follow() -> None:
        for path in sorted(logs.glob("*.log")):
            with path.open("rb") as log:
                log.seek(read.get(path, 0))
                text = log.read()
            whole = text[: text.rfind(b"\n") + 1]  # print only complete lines
            read[path] = read.get(path, 0) + len(whole)
            colour = colours.setdefault(path, _COLOURS[len(colours) % len(_COLOURS)])
            for line in whole.decode(errors="replace").splitlines():
                console.print(
                    Text.assemble((f"{path.stem:>9} ", colour), Text.from_ansi(line)), soft_wrap=True
                )

    return follow
