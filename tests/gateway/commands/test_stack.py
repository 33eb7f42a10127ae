"""How the processes of one machine are set up, without starting them."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from gateway.commands import stack
from gateway.commands.stack import DemoKey, Plan
from gateway.commands.up import _show, curl_line, sample_names
from gateway.local.valkey import valkey
from gateway.settings import load

KEY = DemoKey("vgw_key", "whsec_secret")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(tmp_path, port=8080, sandbox_port=8090)


def test_the_environment_is_what_the_settings_accept(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_BLOB_DIR", "/srv/of/another/installation")
    for name, value in stack._environment(plan, "unix:///tmp/s").items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.redis_url == "unix:///tmp/s"
    assert settings.upstream_url == "http://127.0.0.1:8090"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.client_url == "http://127.0.0.1:8080"
    assert settings.delivery_networks == ["127.0.0.0/8", "::1/128"]
    assert settings.allow_private_media_urls
    assert settings.media_location() == plan.data_dir / "blobs"
    settings.check_prices()  # those of the sandbox
    assert settings.prices_file is not None


def test_a_newcomer_s_prices_are_those_of_the_sandbox_and_of_nothing_else(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Plan(tmp_path, 8080, 8090, upstream_url="https://upstream.example")
    assert "GATEWAY_PRICES_FILE" not in stack._environment(real, "")
    monkeypatch.setenv("GATEWAY_PRICES_FILE", "mine.toml")
    assert stack._environment(plan, "")["GATEWAY_PRICES_FILE"] == "mine.toml"


@pytest.mark.parametrize("more", [{"host": "0.0.0.0"}, {"upstream_url": "https://upstream.example"}])
def test_webhooks_go_to_this_machine_only_when_nobody_else_can_post_jobs(
    more: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path, 8080, 8090, **more)  # type: ignore[arg-type]
    assert "GATEWAY_DELIVERY_NETWORKS" not in stack._environment(plan, "")
    monkeypatch.setenv("GATEWAY_DELIVERY_NETWORKS", "10.0.0.0/8")
    for chosen in (plan, Plan(tmp_path, 8080, 8090)):
        assert stack._environment(chosen, "")["GATEWAY_DELIVERY_NETWORKS"] == "10.0.0.0/8"


def test_the_address_for_clients_is_the_public_one_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path, 8080, 8090, public_url="https://gateway.example")
    assert stack._environment(plan, "")["GATEWAY_CLIENT_URL"] == "https://gateway.example"
    monkeypatch.setenv("GATEWAY_CLIENT_URL", "https://inner.example")
    assert stack._environment(plan, "")["GATEWAY_CLIENT_URL"] == "https://inner.example"


def test_results_are_copied_before_the_sandbox_drops_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(tmp_path, 8080, 8090, result_seconds=5)
    environment = stack._environment(plan, "")
    assert environment["GATEWAY_MIRROR"] == "1"
    command = stack._processes(plan, environment)[0].command
    assert command[command.index("--result-seconds") + 1] == "5"
    monkeypatch.setenv("GATEWAY_MIRROR", "0")
    assert stack._environment(plan, "")["GATEWAY_MIRROR"] == "0"


def test_key_and_secret_can_be_copied(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    key = DemoKey("vgw_" + "k" * 100, "whsec_" + "s" * 100)
    _show(plan, key, 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert key.key in lines
    assert key.signing_secret in lines
    assert f"export VIDU_GATEWAY_URL=http://127.0.0.1:8080 VIDU_GATEWAY_KEY={key.key}" in lines


def test_with_the_real_upstream_there_is_no_sandbox_and_no_callback_to_a_loopback_address(
    tmp_path: Path,
) -> None:
    plan = Plan(tmp_path, 8080, 8090, upstream_url="https://upstream.example", upstream_key="paid")
    environment = stack._environment(plan, "unix:///tmp/s")
    assert environment["GATEWAY_UPSTREAM_KEY"] == "paid"
    assert environment["GATEWAY_PUBLIC_URL"] == ""
    assert "GATEWAY_ALLOW_PRIVATE_MEDIA_URLS" not in environment
    assert [child.name for child in stack._processes(plan, environment)] == ["workers", "gateway"]
    assert "paid" not in repr(plan)


def test_processes_start_so_that_the_gateway_stops_first(tmp_path: Path) -> None:
    plan = Plan(tmp_path, 8080, 8090, processes=2)
    assert [child.name for child in stack._processes(plan, {})] == ["sandbox", "workers", "gateway"]


@pytest.mark.parametrize(("workers", "expected"), [(None, ["2", "2"]), (3, ["3", "2"])])
def test_workers_are_as_many_processes_as_the_gateway_by_default(
    tmp_path: Path, workers: int | None, expected: list[str]
) -> None:
    _, *children = stack._processes(Plan(tmp_path, 8080, 8090, processes=2, workers=workers), {})
    assert [child.command[-2:] for child in children] == [("--processes", number) for number in expected]


@pytest.mark.parametrize(("cores", "expected"), [(None, 1), (1, 1), (2, 1), (4, 2), (128, 8)])
def test_a_machine_has_processes_by_its_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, expected: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert stack.processes_here() == expected


def test_settings_of_the_plan_win(tmp_path: Path) -> None:
    plan = Plan(tmp_path, 8080, 8090, settings={"GATEWAY_LOG_FORMAT": "json"})
    assert stack._environment(plan, "")["GATEWAY_LOG_FORMAT"] == "json"


def test_the_keyring_outlasts_a_restart_and_is_its_owners_alone(plan: Plan) -> None:
    first = stack._environment(plan, "")["GATEWAY_SECRET_KEYS"]
    assert stack._environment(plan, "")["GATEWAY_SECRET_KEYS"] == first
    assert (plan.data_dir / "secret-keys").stat().st_mode & 0o777 == 0o600


def test_the_sandbox_has_a_key_that_is_its_owners_alone(plan: Plan) -> None:
    environment = stack._environment(plan, "")
    key = environment["GATEWAY_UPSTREAM_KEY"]
    assert len(key) == 32
    assert stack._environment(plan, "")["GATEWAY_UPSTREAM_KEY"] == key
    assert (plan.data_dir / "sandbox-key").stat().st_mode & 0o777 == 0o600
    sandbox = stack._processes(plan, environment)[0]
    assert (sandbox.environment or {})["SANDBOX_KEY"] == key
    assert not any(key in word for word in sandbox.command)


def test_a_kept_key_is_used_again(plan: Plan) -> None:
    record = {"key": "vgw_kept", "signing_secret": "whsec_kept"}
    (plan.data_dir / "demo-key.json").write_text(json.dumps(record))
    assert stack._demo_key(plan, {}) == DemoKey("vgw_kept", "whsec_kept")


def test_a_new_key_is_made_once_and_is_its_owners_alone(plan: Plan) -> None:
    with valkey(plan.data_dir / "valkey", "--appendfsync", "no") as server:
        environment = stack._environment(plan, server.url)
        made = stack._demo_key(plan, environment)
        assert stack._demo_key(plan, environment) == made
        assert stack._demo_key(plan, environment, renew=True) != made
    assert (plan.data_dir / "demo-key.json").stat().st_mode & 0o777 == 0o600


def test_a_key_is_not_shown() -> None:
    assert "vgw_key" not in repr(KEY)
    assert "whsec_secret" not in repr(KEY)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("10.1.2.3", "http://10.1.2.3:8080"),
    ],
)
def test_the_url_can_be_reached_from_this_machine(host: str, url: str, tmp_path: Path) -> None:
    assert Plan(tmp_path, 8080, 8090, host=host).url == url


def test_the_curl_line_is_one_shell_command_with_a_sample_picture(plan: Plan) -> None:
    words = shlex.split(curl_line(plan, KEY))
    assert words[:3] == ["curl", "-sS", "http://127.0.0.1:8080/v1/jobs"]
    assert "Authorization: Bearer vgw_key" in words
    body = json.loads(words[words.index("-d") + 1])
    assert body["images"] == [f"http://127.0.0.1:8090/samples/{sample_names()[0]}"]


def test_there_are_enough_sample_pictures_for_the_demo() -> None:
    assert len(sample_names()) >= 3


def test_a_file_of_the_environment_does_not_meet_a_secret_of_this_machine(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes would refuse to start with both."""
    for name in ("SECRET_KEYS", "REDIS_URL", "UPSTREAM_KEY", "CALLBACK_SIGNATURE_KEY"):
        monkeypatch.setenv(f"GATEWAY_{name}_FILE", "/run/secrets/it")
    files = [name for name in stack._environment(plan, "unix:///tmp/s") if name.endswith("_FILE")]
    ours = {name for name in files if name.startswith("GATEWAY_")}
    assert ours == {"GATEWAY_CALLBACK_SIGNATURE_KEY_FILE", "GATEWAY_PRICES_FILE"}
