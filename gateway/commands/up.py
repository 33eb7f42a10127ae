"""`vidu-gateway up`: runs the whole service on this machine until Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from rich.text import Text

from gateway.commands import printing, stack
from gateway.environment import Environment
from gateway.local.supervisor import Supervisor

_COLOURS = ("cyan", "magenta", "green", "yellow", "blue")
_PROMPT = "a slow walk through the picture"


def up(plan: stack.Plan, *, verbose: bool) -> None:
    """Run until a signal asks to stop and all processes have stopped. Raises GatewayError."""
    monotonic = Environment().monotonic
    began = monotonic()
    supervisor = Supervisor(lambda line: printing.say(line, "yellow"))
    if verbose:
        supervisor.each_tick = _follower(plan.logs)
    with stack.running(plan, supervisor) as key:
        if key is not None:
            _show(plan, key, monotonic() - began)
            supervisor.run()
        printing.say("stopping ...", "dim")
    printing.say("all processes stopped", "dim")


def _show(plan: stack.Plan, key: stack.DemoKey, seconds: float) -> None:
    shown: dict[str, object] = {
        "API": f"{plan.url}/v1/jobs",
        "docs": f"{plan.url}/docs",
        "ops": f"{plan.url}/ops  (sign in with the demo key)",
        "metrics": f"{plan.url}/metrics",
    }
    if plan.sandbox_url:
        shown["sandbox"] = f"{plan.sandbox_url}  (the upstream: renders for real, costs nothing)"
    else:
        shown["upstream"] = f"{plan.upstream_url}  (real: every job costs money)"
    shown |= {"data": plan.data_dir, "logs": plan.logs}
    printing.say(f"vidu-gateway is ready, after {seconds:.1f} s", "bold green")
    printing.show(printing.fields(shown))
    for text, value in (
        ("demo key (a client's, with all scopes; the same at the next start with this data):", key.key),
        ("signing secret, to verify webhooks to a job's callback_url:", key.signing_secret),
        ("Post a job:", curl_line(plan, key)),
        ("For the Python client:", export_line(plan, key)),
    ):
        printing.say(text, "bold")
        printing.say(value)
    printing.say("Ctrl-C stops everything.", "dim")


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


def export_line(plan: stack.Plan, key: stack.DemoKey) -> str:
    """A shell command that tells the Python client where the gateway is."""
    return f"export VIDU_GATEWAY_URL={plan.url} VIDU_GATEWAY_KEY={key.key}"


def sample_names() -> list[str]:
    """The sample images of the sandbox, ordered by name."""
    folder = resources.files("gateway.sandbox") / "samples"
    return sorted(item.name for item in folder.iterdir() if item.name.endswith(".jpg"))


def _follower(logs: Path) -> Callable[[], None]:
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
                printing.show([Text.assemble((f"{path.stem:>9} ", colour), Text.from_ansi(line))])

    return follow
