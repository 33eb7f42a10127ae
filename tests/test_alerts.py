"""Every alert fires when it should, keeps quiet when it should, names what exists, and has a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from gateway.web.alarms import Fault
from tests import extras

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "prometheus"
GUIDE = (ROOT / "docs" / "operations.md").read_text()
METRIC = re.compile(r"\bgateway_[a-z0-9_]+")

RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.test.yaml").read_text())["tests"]
ALERTS = [rule["alert"] for rule in RULES]


def promtool() -> str:
    found = shutil.which("promtool") or shutil.which("promtool", path=extras.FOLDER)
    return found or extras.missing("promtool, which tries the alerts (Debian's package prometheus has it)")


def test_the_rules_are_well_formed_and_fire_as_their_tests_say() -> None:
    for words in (["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]):
        done = subprocess.run([promtool(), *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_test_that_makes_it_fire_and_one_that_keeps_it_quiet(alert: str) -> None:
    expected = [
        case["exp_alerts"] for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == alert
    ]
    assert any(expected)
    assert not all(expected)


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_each_alert_is_made_of_metrics_that_the_guide_explains(rule: dict[str, Any]) -> None:
    for name in METRIC.findall(rule["expr"]):
        assert f"`{name.removesuffix('_bucket')}" in GUIDE, name


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_each_alert_says_how_grave_and_whose_it_is_and_leads_to_its_runbook(
    rule: dict[str, Any],
) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["labels"]["fault"] in list(Fault)
    assert rule["annotations"].get("page", "/ops").startswith("/ops")
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in GUIDE


def test_the_guide_explains_no_alert_that_is_gone() -> None:
    alerts = GUIDE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", alerts, re.MULTILINE) == ALERTS


def test_the_board_is_made_of_metrics_that_the_guide_explains() -> None:
    board = json.loads((ROOT / "deploy" / "grafana" / "vidu-gateway.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    for name in {name for expression in expressions for name in METRIC.findall(expression)}:
        assert f"`{name.removesuffix('_bucket')}" in GUIDE, name
