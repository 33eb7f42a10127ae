"""What an operator should look at now."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.web import alarms
from gateway.web.alarms import Figures, Severity, alarms_of

ROOT = Path(__file__).parents[3]
RULES = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
WELL = Figures(
    durable=True,
    paused=False,
    accounts=2,
    paused_accounts=[],
    callbacks=True,
    callback_path_seconds=20,
    unknown_seconds=100,
    queue_seconds=60,
    sweep_seconds=1,
    lease_seconds=0,
    due_seconds=5,
    dead=0,
    memory_ratio=0.2,
    skew_seconds=0.01,
)

ILL: list[tuple[dict[str, Any], str]] = [
    ({"durable": False}, "RedisCouldForget"),
    ({"sweep_seconds": 31}, "NoWorker"),
    ({"lease_seconds": 61}, "WorkerHangs"),
    ({"paused_accounts": ["main"]}, "AccountParked"),
    ({"paused": True}, "ServicePaused"),
    ({"callback_path_seconds": 301}, "CallbackPathDead"),
    ({"unknown_seconds": 2401}, "UnknownOld"),
    ({"queue_seconds": 7300}, "QueueOld"),
    ({"due_seconds": 601}, "DeliveriesOverdue"),
    ({"dead": 3}, "DeadLetters"),
    ({"memory_ratio": 0.76}, "RedisNearlyFull"),
    ({"disk_headroom": 1.4}, "DiskNearlyFull"),
    ({"skew_seconds": -2.5}, "ClockSkew"),
]


def test_a_service_that_is_well_raises_nothing() -> None:
    assert alarms_of(WELL) == []
    assert alarms_of(replace(WELL, durable=None, callbacks=False, callback_path_seconds=1.8e9)) == []


@pytest.mark.parametrize(("ill", "code"), ILL, ids=[code for _, code in ILL])
def test_each_thing_that_is_wrong_is_named(ill: dict[str, Any], code: str) -> None:
    [alarm] = alarms_of(replace(WELL, **ill))
    assert alarm.code == code
    assert alarm.text


def test_a_paused_account_is_named_and_whether_another_sends() -> None:
    [some] = alarms_of(replace(WELL, paused_accounts=["second"]))
    assert some.text == (
        "nothing is sent with second: the upstream refused account second, or an operator paused it"
    )
    [everything] = alarms_of(replace(WELL, paused_accounts=["main", "second"]))
    assert everything.text.startswith("nothing is sent: the upstream refused account main, second")


def test_the_gravest_come_first() -> None:
    found = alarms_of(replace(WELL, dead=1, paused=True, paused_accounts=["main"]))
    assert [alarm.severity for alarm in found] == [Severity.PAGE, Severity.TICKET, Severity.TICKET]


@pytest.mark.parametrize("code", [code for _, code in ILL])
def test_each_alarm_is_an_alert_of_the_same_gravity_with_an_entry_in_the_guide(code: str) -> None:
    found = re.search(rf"- alert: {code}\n(.*?)(?=- alert:|\Z)", RULES, re.S)
    assert found
    [alarm] = alarms_of(replace(WELL, **next(ill for ill, other in ILL if other == code)))
    assert f"severity: {alarm.severity}" in found[1]
    assert f"\n### {code}\n" in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (alarms.QUEUE_SECONDS, "QueueOld"),
        (alarms.UNKNOWN_SECONDS, "UnknownOld"),
        (alarms.SWEEP_SECONDS, "NoWorker"),
        (alarms.LEASE_SECONDS, "WorkerHangs"),
        (alarms.CALLBACK_PATH_SECONDS, "CallbackPathDead"),
        (alarms.DUE_SECONDS, "DeliveriesOverdue"),
        (alarms.MEMORY_RATIO, "RedisNearlyFull"),
        (alarms.SKEW_SECONDS, "ClockSkew"),
    ],
)
def test_the_lines_are_those_of_the_alerts(limit: float, code: str) -> None:
    found = re.search(rf"- alert: {code}\n\s*expr: (.*)\n", RULES)
    assert found
    assert f"> {limit:g}" in found[1]
