"""The deployment files say what the code means; no container engine is needed to see it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml  # type: ignore[import-untyped]
from packaging.specifiers import SpecifierSet

from gateway.local import valkey
from gateway.local.process import ManagedProcess
from gateway.settings import SECRETS, Settings
from tests.gateway.local.test_valkey import eventually

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def assignments(text: str) -> dict[str, str]:
    lines = [line.lstrip("#") for line in text.splitlines() if line.lstrip("#").startswith("GATEWAY_")]
    return dict(line.split("=", 1) for line in lines)


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", "set")
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY", "set")
    default = Settings()
    for name, value in assignments((DEPLOY / "env.example").read_text()).items():
        if value:
            monkeypatch.setenv(name, value)
    assert Settings() == default


COMPOSE = ("compose.yaml", "compose.sandbox.yaml", "compose.s3.yaml", "compose.sentinel.yaml")


@pytest.mark.parametrize("name", COMPOSE)
def test_compose_sets_only_variables_that_exist(name: str) -> None:
    known = {f"GATEWAY_{field.upper()}" for field in Settings.model_fields} | {
        "TMPDIR",
        "GATEWAY_REPLICAS_ACK",
    }
    known |= {f"GATEWAY_{field.upper()}_FILE" for field in SECRETS}
    services = compose(name)["services"]
    used = {variable for service in services.values() for variable in service.get("environment", {})}
    assert used
    assert used <= known


def test_compose_gives_both_processes_the_same_image_media_store_and_time_to_stop() -> None:
    services = compose("compose.yaml")["services"]
    for name in ("gateway", "workers"):
        assert services[name]["image"] == "vidu-gateway"
        assert services[name]["stop_grace_period"] == "90s"
        assert services[name]["volumes"] == ["${VIDU_GATEWAY_BLOBS:-blobs}:/var/lib/vidu-gateway/blobs"]
        assert services[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}
        assert services[name]["secrets"] == ["redis_url"]
    assert services["workers"]["command"] == ["python", "-m", "workers", "--alive-file", "/tmp/alive"]


def test_media_and_the_append_only_file_can_be_put_on_filesystems_of_their_own() -> None:
    found = compose("compose.yaml")
    volumes = {name: service["volumes"] for name, service in found["services"].items()}
    assert "${VIDU_GATEWAY_REDIS:-redis}:/data" in volumes["redis"]
    assert not {volume for volume in volumes["redis"] if "BLOBS" in volume}
    assert set(found["volumes"]) == {"redis", "blobs"}
    example = (DEPLOY / "env.example").read_text()
    assert "\n#VIDU_GATEWAY_BLOBS=/" in example
    assert "\n#VIDU_GATEWAY_REDIS=/" in example


def test_files_are_on_the_volume_unless_a_media_url_leads_elsewhere() -> None:
    """A setting in the image or in compose.yaml would contradict a GATEWAY_MEDIA_URL of .env."""
    final = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    service = compose("compose.yaml")["services"]["gateway"]
    [(_, mounted)] = [volume.rsplit(":", 1) for volume in service["volumes"]]
    [workdir] = re.findall(r"^WORKDIR (.+)$", final, re.MULTILINE)
    assert f"{workdir}/{Settings.model_fields['blob_dir'].default}" == mounted
    assert "GATEWAY_BLOB_DIR" not in final
    assert not {"GATEWAY_BLOB_DIR", "GATEWAY_MEDIA_URL"} & set(service["environment"])
    assert "working_dir" not in service


def test_with_a_bucket_both_processes_have_it_and_write_on_the_volume_meanwhile() -> None:
    services = compose("compose.s3.yaml")["services"]
    assert set(services) == {"gateway", "workers"}
    for service in services.values():
        assert service["environment"].keys() == {"GATEWAY_MEDIA_URL", "TMPDIR"}
        assert service["environment"]["TMPDIR"] == "/var/lib/vidu-gateway/blobs"


def test_what_is_linked_to_can_be_opened_by_the_published_ports() -> None:
    found = compose("compose.sandbox.yaml")
    [port] = compose("compose.yaml")["services"]["gateway"]["ports"]
    for name in ("gateway", "workers"):
        base = found["services"][name]["environment"]["GATEWAY_CLIENT_URL"]
        assert base == f"http://{port.rpartition(':')[0]}"


def test_no_secret_and_no_port_open_to_the_network_is_in_the_compose_files() -> None:
    secret = {f"GATEWAY_{field.upper()}" for field in SECRETS} - {"GATEWAY_UPSTREAM_KEY"}  # the sandbox's
    for name in COMPOSE:
        for service in compose(name)["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
            assert not secret & set(service.get("environment", {}))


def test_the_server_starts_with_the_shipped_configuration(tmp_path: Path) -> None:
    path = tmp_path / "s"
    command = [valkey.server_program(), str(DEPLOY / "redis.conf")]
    command += ["--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path)]
    child = ManagedProcess("valkey", command, tmp_path / "log")
    child.start()
    try:
        eventually(path.exists)
        with redis.Redis(unix_socket_path=str(path), decode_responses=True) as connection:
            eventually(lambda: connection.ping() is True)
            wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
            assert {name: connection.config_get(name)[name] for name in wanted} == wanted
            assert connection.config_get("save") == {"save": ""}
    finally:
        child.stop()


def test_every_line_of_the_image_runs_unprivileged_and_without_a_shell() -> None:
    final = (ROOT / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    assert "\nUSER 10001:10001\n" in final
    assert '\nCMD ["python", "-m", "gateway"]' in final
    check = final[final.index("HEALTHCHECK") :]
    code = eval(check[check.index("[") : check.index("]\nCMD") + 1])[2]
    compile(code, "healthcheck", "exec")


def test_the_build_lock_holds_what_the_project_is_built_with() -> None:
    lock = (DEPLOY / "requirements-build.lock").read_text()
    assert "\nhatchling==" in f"\n{lock}"
    assert "://" not in lock
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for needed in ("!gateway", "!workers", "!requirements.lock", "!deploy/requirements-build.lock"):
        assert needed in ignored


PYTHONS = ("3.11", "3.12", "3.13")


def test_the_versions_of_python_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = SpecifierSet(project["requires-python"])
    assert [one for one in ("3.10", *PYTHONS, "3.14", "3.15") if allowed.contains(f"{one}.2")] == [*PYTHONS]
    assert project["classifiers"] == [f"Programming Language :: Python :: {one}" for one in PYTHONS]
    assert "Python 3.11, 3.12 or 3.13; 3.14 is not tested yet" in (ROOT / "README.md").read_text()
    image = re.findall(r"^FROM python:([0-9.]+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(image) <= set(PYTHONS)


@pytest.mark.parametrize("version", ["(3, 10, 9)", "(3, 14, 0)"])
def test_another_python_is_refused_in_words_before_anything_is_installed(
    tmp_path: Path, version: str
) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && { echo Python X; exit; }\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; exec(sys.argv[1])" "$2"\n'
    )
    python.chmod(0o755)
    made = subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed, not Python X" in made.stdout
    assert not (tmp_path / ".venv").exists()
