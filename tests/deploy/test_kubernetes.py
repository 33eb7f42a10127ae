"""The manifests are valid, and say what the code means; no cluster is needed to see it."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import time
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]
from kubernetes_validate import utils as validation

from gateway import __main__ as gateway_process
from gateway.callbacks import journal
from gateway.dispatch import Role
from gateway.settings import SECRETS, Settings
from tests import extras
from tests.deploy import alerts
from tests.deploy.kustomize import KUBERNETES, Manifest, build
from workers import alive

OVERLAYS = ("sandbox", "production", "keda")
#: The oldest and the newest release that the manifests are checked against.
VERSIONS = ("1.31", "1.37")
SCHEMAS = {
    "ScaledObject": "scaledobject",
    "ServiceMonitor": "servicemonitor",
    "PrometheusRule": "prometheusrule",
}
ROOT = Path(__file__).parents[2]
# It reads megabytes of schemas anew for each manifest.
validation.schema_contents = cache(validation.schema_contents)
WORKERS = [f"workers-{role}" for role in Role]


@cache
def built(overlay: str) -> list[Manifest]:
    return build(KUBERNETES / "overlays" / overlay)


def of(overlay: str, kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in built(overlay) if one["kind"] == kind}


def pod_of(one: Manifest) -> Manifest:
    pod: Manifest = one["spec"]["template"]["spec"]
    return pod


def container_of(one: Manifest) -> Manifest:
    [container] = pod_of(one)["containers"]
    found: Manifest = container
    return found


def closed(schema: Any) -> Any:
    """The schema of a custom resource, that refuses fields which the server would drop without a word."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "x-kubernetes-preserve-unknown-fields" not in schema:
        found.setdefault("additionalProperties", False)
    return found


def check(one: Manifest) -> None:
    _check(json.dumps(one))


@cache  # most manifests are in several overlays
def _check(text: str) -> None:
    one = json.loads(text)
    if name := SCHEMAS.get(one["kind"]):
        schema = closed(json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text()))
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.Draft202012Validator(schema).validate(one)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(one, version, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_is_valid_and_none_is_there_twice(overlay: str) -> None:
    found = built(overlay)
    for one in found:
        check(one)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(names) == len(set(names)) > 15


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", *SCHEMAS])
def test_a_misspelt_field_is_found(kind: str) -> None:
    one = copy.deepcopy(next(iter(of("keda", kind).values())))
    one["spec"]["replicass"] = 1
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError), match="replicass"):
        check(one)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_what_is_tested_here(overlay: str) -> None:
    program = shutil.which("kustomize") or shutil.which("kustomize", path=str(extras.FOLDER))
    if program is None:
        pytest.skip("this machine has no kustomize; the overlays were built by tests.deploy.kustomize alone")
    command = [program, "build", str(KUBERNETES / "overlays" / overlay)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    named = re.sub(r"\bsettings-[0-9a-z]{10}\b", "settings", printed)
    theirs = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(named)}
    ours = {(one["kind"], one["metadata"]["name"]): one for one in built(overlay)}
    assert {name: ordered(one) for name, one in ours.items()} == {
        name: ordered(one) for name, one in theirs.items()
    }


def ordered(one: Any) -> Any:
    """Lists with names in the order of these: a patch may put its elements before or behind."""
    if isinstance(one, dict):
        return {name: ordered(value) for name, value in one.items()}
    if isinstance(one, list):
        return sorted(map(ordered, one), key=_name_in_list)
    return one


def _name_in_list(one: Any) -> str:
    return str(one.get("name", one.get("mountPath"))) if isinstance(one, dict) else ""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_unprivileged_and_cannot_write_its_image(overlay: str) -> None:
    found = [*of(overlay, "Deployment").values(), *of(overlay, "StatefulSet").values()]
    assert len(found) >= 5
    for one in found:
        pod = pod_of(one)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        container = container_of(one)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert set(container["resources"]["limits"]) == {"memory"}


def test_our_pods_are_the_user_of_the_image_and_write_where_it_may() -> None:
    image = (ROOT / "Dockerfile").read_text()
    for one in of("production", "Deployment").values():
        security = pod_of(one)["securityContext"]
        assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in image
        assert security["fsGroup"] == security["runAsGroup"]
        mounts = {mount["mountPath"] for mount in container_of(one)["volumeMounts"]}
        assert "/tmp" in mounts


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_has_a_deployment_of_its_own_and_keeps_one_pod(overlay: str) -> None:
    found = of(overlay, "Deployment")
    assert set(found) - {"sandbox"} == {"gateway", *WORKERS}
    kept = of(overlay, "PodDisruptionBudget")
    for name in ("gateway", *WORKERS):
        labels = found[name]["spec"]["template"]["metadata"]["labels"]
        selector = found[name]["spec"]["selector"]["matchLabels"]
        assert selector.items() <= labels.items()
        assert kept[name]["spec"] == {"minAvailable": 1, "selector": {"matchLabels": selector}}
        assert found[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        for spread in pod_of(found[name])["topologySpreadConstraints"]:
            assert spread["labelSelector"]["matchLabels"].items() <= labels.items()
            assert "app.kubernetes.io/component" in spread["matchLabelKeys"]
    for role in Role:
        command = container_of(found[f"workers-{role}"])["command"]
        assert command == ["python", "-m", "workers", "--role", str(role), "--alive-file", "/tmp/alive"]


@pytest.fixture
def probe(tmp_path: Path) -> tuple[list[str], Path]:
    """What the kubelet runs in a worker, and its file."""
    [command] = {
        tuple(container_of(of("production", "Deployment")[name])[probe]["exec"]["command"])
        for name in WORKERS
        for probe in ("startupProbe", "livenessProbe")
    }
    words = [word.replace("/tmp/alive", str(tmp_path / "alive")) for word in command]
    assert words != list(command)
    return words, tmp_path / "alive"


def test_the_probe_of_workers_believes_a_fresh_file_alone(probe: tuple[list[str], Path]) -> None:
    command, path = probe

    def succeeds() -> bool:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not succeeds()
    path.touch()
    assert succeeds()
    os.utime(path, (time.time() - 25, time.time() - 25))
    assert succeeds()
    os.utime(path, (time.time() - 31, time.time() - 31))
    assert not succeeds()
    assert alive.TOUCH_SECONDS + alive.HANGS_SECONDS < 25


def test_only_the_readiness_of_a_gateway_depends_on_redis() -> None:
    found = of("production", "Deployment")
    gateway = container_of(found["gateway"])
    asked = {
        name: gateway[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
    }
    assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    for name in WORKERS:
        assert "readinessProbe" not in container_of(found[name])


def test_a_pod_gets_the_time_to_finish_what_it_is_paying_for() -> None:
    found = of("production", "Deployment")
    given = {name: pod_of(one)["terminationGracePeriodSeconds"] for name, one in found.items()}
    default = {name: field.default for name, field in Settings.model_fields.items()}
    changed = of("production", "ConfigMap")["settings"]["data"]
    assert "GATEWAY_UPSTREAM_TIMEOUT_SECONDS" not in changed
    assert given["workers-submit"] >= default["upstream_timeout_seconds"] + 15 + 30
    drain = float(changed["GATEWAY_DRAIN_SECONDS"])
    assert given["gateway"] >= drain + gateway_process._STOP_SECONDS + 30


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_exist_and_secrets_are_files_of_the_secret(overlay: str) -> None:
    found = of(overlay, "ConfigMap")["settings"]["data"]
    known = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    secret = {f"GATEWAY_{name.upper()}" for name in SECRETS}
    files = {name: value for name, value in found.items() if name.endswith("_FILE")}
    assert {name.removesuffix("_FILE") for name in files} <= secret
    ours = {name for name in found if name.startswith("GATEWAY_")} - set(files)
    assert ours <= known - secret
    for one in of(overlay, "Deployment").values():
        [mount] = [one for one in container_of(one)["volumeMounts"] if one["name"] == "secrets"]
        assert mount["readOnly"] is True
        assert all(path.startswith(f"{mount['mountPath']}/") for path in files.values())
    assert not of(overlay, "Secret")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_have_values_that_the_service_takes(
    overlay: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in of(overlay, "ConfigMap")["settings"]["data"].items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", "set")
    monkeypatch.setenv("GATEWAY_UPSTREAM_KEY", "set")
    Settings().media_location()


def test_callbacks_reach_gateways_that_are_not_ready_and_are_kept_while_the_pod_lives() -> None:
    services = of("production", "Service")
    assert "publishNotReadyAddresses" not in services["gateway"]["spec"]
    assert services["gateway-callbacks"]["spec"]["publishNotReadyAddresses"] is True
    assert services["gateway-callbacks"]["spec"]["selector"] == services["gateway"]["spec"]["selector"]
    [rule] = of("production", "Ingress")["callbacks"]["spec"]["rules"]
    served = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert served == {"/callbacks": "gateway-callbacks", "/media": "gateway"}
    configured = of("production", "ConfigMap")["settings"]["data"]
    assert configured["GATEWAY_PUBLIC_URL"] == f"https://{rule['host']}"
    gateway = of("production", "Deployment")["gateway"]
    mounts = {one["mountPath"]: one["name"] for one in container_of(gateway)["volumeMounts"]}
    [volume] = [
        one
        for one in pod_of(gateway)["volumes"]
        if one["name"] == mounts[configured["GATEWAY_CALLBACK_JOURNAL_DIR"]]
    ]
    assert volume["emptyDir"]["sizeLimit"] == "512Mi"
    assert journal.MAX_BYTES < 512 * 2**20


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_webhooks_may_go_where_the_network_lets_them_and_nobody_to_the_clouds_metadata(overlay: str) -> None:
    policies = of(overlay, "NetworkPolicy")
    assert policies["nothing-else"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    subscribers = policies["subscribers"]["spec"]
    named = [to["ipBlock"]["cidr"] for rule in subscribers["egress"] for to in rule["to"]]
    assert ",".join(named) == of(overlay, "ConfigMap")["settings"]["data"]["GATEWAY_DELIVERY_NETWORKS"]
    [who] = subscribers["podSelector"]["matchExpressions"]
    assert who["values"] == ["gateway", "workers-deliver"]
    for policy in policies.values():
        for rule in policy["spec"].get("egress", []):
            for block in [to["ipBlock"] for to in rule["to"] if "ipBlock" in to]:
                assert not reaches(block, "169.254.169.254")
                assert policy is policies["subscribers"] or not reaches(block, "10.0.0.1")


def reaches(block: Manifest, address: str) -> bool:
    inside = ip_address(address) in ip_network(block["cidr"])
    return inside and not any(ip_address(address) in ip_network(one) for one in block.get("except", []))


def test_the_alerts_are_those_of_the_rules_file() -> None:
    assert alerts.WRITTEN.read_text() == alerts.made(), "run: python -m tests.deploy.alerts"
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    assert of("production", "PrometheusRule")["vidu-gateway"]["spec"] == rules


def test_prometheus_scrapes_every_gateway_once() -> None:
    monitor = of("production", "ServiceMonitor")["gateway"]["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    [service] = [
        one
        for one in of("production", "Service").values()
        if wanted <= one["metadata"].get("labels", {}).items()
    ]
    assert monitor["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_what_scales_is_asked_of_all_gateways_at_once_and_is_scaled_by_one_alone() -> None:
    deployments = of("keda", "Deployment")
    documented = (ROOT / "docs" / "operations.md").read_text()
    scaled = of("keda", "ScaledObject")
    autoscaled = of("keda", "HorizontalPodAutoscaler")
    targets = [one["spec"]["scaleTargetRef"]["name"] for one in (*scaled.values(), *autoscaled.values())]
    assert sorted(targets) == ["gateway", "workers-deliver", "workers-submit"]
    for name, one in deployments.items():
        assert ("replicas" in one["spec"]) == (name not in targets)
    for one in scaled.values():
        assert one["spec"]["minReplicaCount"] == 2
        for trigger in one["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            [metric] = re.findall(r"^max\((gateway_\w+)(?:\{role=\"\w+\"\})?\)$", query)
            assert metric in documented
    [submit] = scaled["workers-submit"]["spec"]["triggers"]
    assert "gateway_slots_in_use" in submit["metadata"]["query"]
