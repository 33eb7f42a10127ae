"""Every command, on a service of real processes: in a pipe, on a terminal, in an encoding that lacks much."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gateway import cli
from gateway.sandbox import prices as sandbox_prices
from gateway.tenants import Scope
from tests.gateway.commands.test_printing import Output
from tests.gateway.local.test_valkey import eventually
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine

PRICES = str(Path(sandbox_prices.__file__).with_suffix(".toml"))
WHY = "waits … for 日本 [fe80::1]"
#: The words after each command. `{...}` are ids of the service's records.
WORDS: dict[str, tuple[str, ...]] = {
    "doctor": (),
    "status": (),
    "top": ("--once",),
    "keys create": ("--tenant", "acme", "--name", WHY),
    "keys list": (),
    "keys set": ("{key}", "--budget", "day=25"),
    "keys rotate": ("{key}",),
    "keys revoke": ("{key}",),
    "tenants set": ("acme", "--title", WHY),
    "tenants show": ("acme",),
    "tenants pause": ("other", "--reason", WHY),
    "tenants list": (),
    "tenants resume": ("other",),
    "audit list": (),
    "audit export": (),
    "endpoints list": (),
    "endpoints show": ("{endpoint}",),
    "endpoints test": ("{endpoint}",),
    "endpoints disable": ("{endpoint}",),
    "endpoints enable": ("{endpoint}",),
    "endpoints recover": ("{endpoint}", "--since", "{since}"),
    "service pause": ("--reason", WHY),
    "service show": (),
    "service resume": (),
    "jobs list": ("--tenant", "acme"),
    "jobs show": ("{job}",),
    "jobs unknown": (),
    "jobs cancel": ("{job}",),
    "jobs suspense": (),
    "jobs charge": ("{job}", "--amount", "0.2750", "--reason", WHY),
    "jobs resolve": ("{job}", "--action", "fail"),
    "usage": ("--by", "tenant,day"),
    "ledger check": (),
    "ledger export": ("--csv",),
    "deliveries list": ("--tenant", "acme"),
    "deliveries redeliver": ("{delivery}",),
    "subscribers pause": ("{endpoint}", "--reason", WHY),
    "subscribers paused": (),
    "subscribers resume": (),
    "prices check": (PRICES,),
    "prices set": (PRICES,),
    "prices list": (),
    "accounts pause": ("--reason", WHY),
    "accounts list": (),
    "accounts show": (),
    "accounts resume": (),
}
#: They need a terminal, run long or have tests of their own.
OTHERS = {"up", "demo", "listen"}
MAY_BE_REFUSED = {"jobs cancel", "jobs charge", "jobs resolve", "deliveries redeliver", "endpoints recover"}
SHOW_IDS = {"jobs list", "jobs show", "deliveries list", "endpoints list", "endpoints show"}
_ID = re.compile(r"\b(?:job|ep|evt|dlv)_\w+")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something, with its name."""
    command = command or get_command(cli.app)
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))
    if not hasattr(command, "commands"):
        yield " ".join(path), command


COMMANDS = dict(commands())


@dataclass
class Service:
    machine: Machine
    records: dict[str, str]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Service]:
    with machine(tmp_path_factory.mktemp("every"), nursery) as made:
        (made.folder / "blobs").mkdir()
        made.start_sandbox()
        made.start_gateway()
        made.start_workers()
        hook = f"http://127.0.0.1:{free_port()}/hook"
        endpoint = call("POST", f"{made.gateway}/v1/endpoints", made.key, {"url": hook})[1]
        job = call(
            "POST", f"{made.gateway}/v1/jobs", made.key, ORDER | {"prompt": "[[fault:failed_task=NoFox]]"}
        )[1]
        found: list[dict[str, Any]] = []

        def failed() -> bool:
            found[:] = call("GET", f"{made.gateway}/v1/deliveries", made.key)[1]["data"]
            return bool(found)

        eventually(failed)
        made.make_key("other")
        yield Service(
            made,
            {
                "job": job["id"],
                "endpoint": endpoint["id"],
                "since": endpoint["created_at"],
                "delivery": found[0]["id"],
            },
            made.environment
            | {
                "VIDU_GATEWAY_URL": made.gateway,
                "VIDU_GATEWAY_KEY": made.key,
                "VIDU_GATEWAY_OPS_KEY": made.make_key("ops", [Scope.OPS_READ, Scope.OPS_WRITE]),
                "COLUMNS": "80",
            },
        )


@pytest.fixture
def run(service: Service, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs one command as `main` does; returns what it printed on standard output and standard error."""

    def run_command(name: str, *more: str, out: Output, no_color: str = "") -> tuple[str, str]:
        records = service.records | {"key": service.machine.make_key("rotated").split("_")[1]}
        words = [*name.split(), *(word.format(**records) for word in WORDS[name]), *more]
        err = Output(terminal=False, encoding=out.encoding)
        for variable, value in (service.environment | {"NO_COLOR": no_color}).items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(sys, "argv", ["vidu-gateway", *words])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in ((0, 1, None) if name in MAY_BE_REFUSED else (0, None)), err.text
        return out.text, err.text

    return run_command


def test_no_command_is_left_out() -> None:
    assert COMMANDS.keys() - OTHERS == set(WORDS)


@pytest.mark.processes
@pytest.mark.parametrize("name", WORDS)
def test_a_pipe_gets_whole_lines_without_colours(name: str, run: Any) -> None:
    found = "".join(run(name, out=Output(terminal=False)))
    assert found
    assert "\x1b" not in found
    assert "\u2026" not in found.replace(WHY, "")
    assert not any(line != line.rstrip() for line in found.splitlines())


@pytest.mark.processes
@pytest.mark.parametrize("name", WORDS)
def test_an_encoding_that_lacks_characters_is_no_error(name: str, run: Any) -> None:
    found = "".join(run(name, out=Output(terminal=False, encoding="latin-1")))
    assert found
    if name in ("tenants set", "tenants show"):
        assert r"waits \u2026 for \u65e5\u672c [fe80::1]" in found


@pytest.mark.processes
@pytest.mark.parametrize("name", WORDS)
def test_a_terminal_of_80_columns_shows_ids_as_a_pipe_does(name: str, run: Any) -> None:
    piped, _ = run(name, out=Output(terminal=False))
    shown, _ = run(name, out=Output(terminal=True))
    lines = _STYLE.sub("", shown).splitlines()
    if name not in MAY_BE_REFUSED:
        assert set(_ID.findall(piped)) == set(_ID.findall("\n".join(lines)))
    assert bool(_ID.search(piped)) or name not in SHOW_IDS
    if name.split()[-1] in ("list", "unknown", "paused", "doctor", "status", "top") or name in SHOW_IDS:
        assert [line for line in lines if len(line) > 80 and " " in line.strip()] == []


@pytest.mark.processes
@pytest.mark.parametrize("name", WORDS)
def test_a_terminal_that_wants_no_colours_gets_none(name: str, run: Any) -> None:
    assert "\x1b" not in run(name, out=Output(terminal=True), no_color="1")[0]


@pytest.mark.processes
def test_why_a_job_failed_is_shown(service: Service, run: Any) -> None:
    job = service.records["job"]
    error = call("GET", f"{service.machine.gateway}/v1/jobs/{job}", service.machine.key)[1]["error"]
    assert "NoFox" in error["code"] + error["error_message"]
    why = f"{error['code']}: {error['error_message']}"
    found, _ = run("jobs show", out=Output(terminal=False))
    assert re.search(rf"^error +{re.escape(why)}$", found, re.MULTILINE)
    found, _ = run("jobs show", "--json", out=Output(terminal=False))
    assert json.loads(found)["details"]["error"] == error
    assert why in run("jobs list", out=Output(terminal=False))[0]


@pytest.mark.processes
def test_the_whole_service_is_paused_and_resumed(service: Service, run: Any) -> None:
    where = f"{service.machine.gateway}/ops/api/state"
    key = service.environment["VIDU_GATEWAY_OPS_KEY"]
    found, _ = run("service pause", out=Output(terminal=False))
    assert found.startswith("the service is paused since ")
    assert found.endswith(f": {WHY}\n")
    assert call("GET", where, key)[1]["paused"]["reason"] == WHY
    assert "vidu-gateway service show" in run("status", out=Output(terminal=False))[0]
    assert run("service resume", out=Output(terminal=False))[0] == "the service is active\n"
    assert call("GET", where, key)[1]["paused"] is None


@pytest.mark.processes
@pytest.mark.parametrize("name", ["jobs list", "doctor", "keys list"])
def test_a_process_in_an_ascii_world_prints_whole_ids(name: str, service: Service) -> None:
    ascii_only = "PYTHONIOENCODING=latin-1 LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"
    environment = service.environment | dict(one.split("=") for one in ascii_only.split())
    words = [sys.executable, "-m", "gateway.cli", *name.split(), *WORDS[name]]
    ended = subprocess.run(words, env=environment, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    if name == "jobs list":
        assert service.records["job"].encode() in ended.stdout


@pytest.mark.processes
def test_a_real_terminal_shows_whole_ids(service: Service) -> None:
    environment = {name: value for name, value in service.environment.items() if name != "COLUMNS"}
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "gateway.cli", "jobs", "list", "--tenant", "acme"]
    with subprocess.Popen(words, env=environment | {"COLUMNS": "80"}, stdout=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:  # how Linux reports that the other side is closed
            pass
        assert running.wait(60) == 0
    os.close(ours)
    assert service.records["job"] in [line.strip() for line in shown.decode().splitlines()]


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("up", "demo")])
def test_help_fits_80_columns_and_is_whole(name: str) -> None:
    for words in (name.split(), name.split()[:-1]):
        shown = CliRunner().invoke(cli.app, [*words, "--help"]).output
        assert max(map(len, shown.splitlines())) <= 80
        assert not re.search(r"\w\.\.\.$|\u2026", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "command"),
    [item for item in COMMANDS.items() if any(one.name == "key" for one in item[1].params)],
)
def test_a_command_with_a_key_needs_an_address(
    name: str, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key must not go to a server that nobody named, so there is no default."""
    [url] = [one for one in command.params if one.name == "url"]
    [key] = [one for one in command.params if one.name == "key"]
    assert (url.envvar, url.default) == ("VIDU_GATEWAY_URL", "")
    assert key.envvar in ("VIDU_GATEWAY_KEY", "VIDU_GATEWAY_OPS_KEY")
    monkeypatch.delenv("VIDU_GATEWAY_URL", raising=False)
    words = [word.replace("{", "").replace("}", "") for word in WORDS.get(name, ("--forward", "http://h"))]
    refused = CliRunner().invoke(cli.app, [*name.split(), *words, "--key", "vgw_a_b"])
    assert refused.exit_code == 2
    assert "--url, or VIDU_GATEWAY_URL" in refused.output
