"""What an operator should see to now."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.store.account_gauges import AccountGauges
from gateway.store.lane_views import FailingSubscriber
from gateway.store.prices import PriceGauges
from gateway.store.spend import LastCheck, MoneyGauges, SoonSpent, Spend
from gateway.web import alarms
from gateway.web.alarms import Fault, Figures, Severity, alarms_of

ROOT = Path(__file__).parents[3]
RULES = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
MAIN = AccountGauges("main", paused=False, held=False, slots=5, limit=5, in_flight=2)
SECOND = replace(MAIN, name="second")
REFUSED = replace(MAIN, paused=True, reason="no credit")
FAILING = FailingSubscriber(
    "ep_1", "acme", "https://client.example.com/hook", "HTTP 500", seconds=600, open=False
)
SOON = SoonSpent("acme", None, "month", 100, 60, 1_796_083_200_000)
WELL = Figures(
    durable=True,
    paused=False,
    accounts=[MAIN, SECOND],
    callbacks=True,
    callback_path_seconds=20,
    callback_path_unproven_seconds=None,
    unknown=1,
    unknown_seconds=100,
    waiting=3,
    queue_seconds=60,
    queue_tenant="acme",
    workers=2,
    sweep_seconds=1,
    lease_seconds=0,
    due_seconds=5,
    failing=[],
    failing_total=0,
    dead=0,
    memory_ratio=0.2,
    skew_seconds=0.01,
    prices=PriceGauges(books=1),
)

ILL: list[tuple[dict[str, Any], str]] = [
    ({"durable": False}, "RedisCouldForget"),
    ({"sweep_seconds": 31}, "NoWorker"),
    ({"workers": 0}, "NoWorker"),
    ({"lease_seconds": 61}, "WorkerHangs"),
    ({"accounts": [REFUSED, SECOND]}, "AccountParked"),
    ({"accounts": [replace(MAIN, held=True, hold_seconds=200), SECOND]}, "AccountHeld"),
    ({"accounts": [replace(MAIN, slots=1), SECOND]}, "SlotsCut"),
    ({"unknown": 5}, "UnknownsHoldSlots"),
    ({"failing": [FAILING], "failing_total": 1}, "SubscriberFails"),
    ({"paused": True}, "ServicePaused"),
    ({"unsafe_failover_seconds": 3599.0}, "StoreFailedOver"),
    ({"on_hold": True}, "SubmissionsHeld"),
    ({"unknown_statuses": {"frozen": 899.0}}, "StatusUnknown"),
    ({"callback_path_seconds": 301}, "CallbackPathDead"),
    ({"unknown_seconds": 2401}, "UnknownOld"),
    ({"queue_seconds": 7300}, "QueueOld"),
    ({"due_seconds": 601}, "DeliveriesOverdue"),
    ({"dead": 3}, "DeadLetters"),
    ({"dying": 2}, "ResultsUncopied"),
    ({"memory_ratio": 0.76}, "RedisNearlyFull"),
    ({"disk_headroom": 1.4}, "DiskNearlyFull"),
    ({"media_up": False}, "MediaStoreAway"),
    ({"skew_seconds": -2.5}, "ClockSkew"),
    ({"money": MoneyGauges(suspended=1, suspense_seconds=86_401)}, "MoneyInSuspense"),
    ({"money": MoneyGauges(Spend(0, soon=[SOON], soon_total=1))}, "BudgetSoonSpent"),
    ({"money": MoneyGauges(check=LastCheck(0, 1))}, "LedgerDrift"),
    ({"money": MoneyGauges(check=LastCheck(0, 0), checked_seconds=10_801)}, "LedgerDrift"),
    ({"money": MoneyGauges(Spend(0, charged=106, dearer=6))}, "LedgerDrift"),
    ({"prices": PriceGauges(books=2)}, "PricesDiffer"),
    ({"prices": PriceGauges(books=1, faults=1)}, "PricesUnreadable"),
]


def test_a_service_that_is_well_raises_nothing() -> None:
    assert alarms_of(WELL) == []
    assert alarms_of(replace(WELL, durable=None, callbacks=False, callback_path_seconds=9000)) == []


def test_a_fresh_start_raises_nothing_about_what_cannot_have_happened_yet() -> None:
    fresh = replace(WELL, sweep_seconds=None, callback_path_seconds=None)
    assert alarms_of(fresh) == []
    assert alarms_of(replace(fresh, callback_path_unproven_seconds=299)) == []


def test_what_has_never_happened_is_said_to_be_so() -> None:
    fresh = replace(WELL, sweep_seconds=None, callback_path_seconds=None, callback_path_unproven_seconds=360)
    assert [alarm.text for alarm in alarms_of(replace(fresh, workers=0))] == [
        "no worker has run yet: nothing is sent, confirmed or delivered",
        "callbacks have never reached us for 6 min: polling finds results later",
    ]


@pytest.mark.parametrize(("ill", "code"), ILL, ids=[code for _, code in ILL])
def test_each_thing_that_is_wrong_is_named(ill: dict[str, Any], code: str) -> None:
    [alarm] = alarms_of(replace(WELL, **ill))
    assert alarm.code == code
    assert alarm.text


def test_a_paused_account_is_named_and_by_whom_and_whether_another_sends() -> None:
    [some] = alarms_of(replace(WELL, accounts=[REFUSED, SECOND]))
    assert some.text == "nothing is sent with main: the upstream refused account main (no credit)"
    assert some.fault is Fault.UPSTREAM
    ours = replace(SECOND, paused=True, by="key1", reason="the invoice")
    [everything] = alarms_of(replace(WELL, accounts=[REFUSED, ours]))
    assert everything.text == (
        "nothing is sent: the upstream refused account main (no credit); "
        "operator key1 paused account second (the invoice)"
    )
    assert everything.fault is Fault.UPSTREAM
    [own] = alarms_of(replace(WELL, accounts=[MAIN, ours]))
    assert own.fault is Fault.US


def test_slots_that_a_429_cut_and_a_time_to_wait_are_shown_with_their_numbers() -> None:
    cut, held = replace(MAIN, slots=1), replace(SECOND, held=True, hold_seconds=200)
    found = alarms_of(replace(WELL, accounts=[cut, held], unknown=0))
    assert {alarm.code: alarm.text for alarm in found} == {
        "SlotsCut": "the upstream answered 429: main may hold 1 of 5 slots",
        "AccountHeld": "the upstream answered 429: nothing is sent with second for 3 min more",
    }


@pytest.mark.parametrize("slots", [3, 4, 5])
def test_a_few_slots_less_are_no_alarm_nor_is_an_account_with_one(slots: int) -> None:
    one = replace(SECOND, slots=1, limit=1)
    assert alarms_of(replace(WELL, accounts=[replace(MAIN, slots=slots), one])) == []


def test_a_paused_account_is_not_shown_as_held_or_cut_too() -> None:
    worst = replace(REFUSED, held=True, hold_seconds=9, slots=1)
    assert [alarm.code for alarm in alarms_of(replace(WELL, accounts=[worst, SECOND]))] == ["AccountParked"]


def test_unknown_outcomes_are_an_alarm_when_they_hold_most_slots() -> None:
    assert alarms_of(replace(WELL, unknown=4)) == []
    [held] = alarms_of(replace(WELL, accounts=[MAIN], unknown=5, waiting=11))
    assert held.text == (
        "5 jobs with an unknown outcome hold most of the 5 slots, and 11 jobs wait: "
        "the upstream's answers were lost"
    )


def test_a_failing_subscriber_is_shown_with_its_tenant_its_url_and_the_last_error() -> None:
    [failing] = alarms_of(replace(WELL, failing=[FAILING], failing_total=1))
    assert failing.text == ("https://client.example.com/hook of tenant acme has failed for 10 min: HTTP 500")
    assert failing.page == "/ops/endpoints/ep_1"
    paused = replace(FAILING, lane="url-1", seconds=8, open=True)
    [paused_one] = alarms_of(replace(WELL, failing=[paused], failing_total=1))
    assert paused_one.text.endswith("has failed for 8 s: HTTP 500; its circuit breaker is open")
    assert paused_one.page == "/ops/endpoints"


def test_a_subscriber_that_failed_just_now_is_no_alarm() -> None:
    assert alarms_of(replace(WELL, failing=[replace(FAILING, seconds=300)], failing_total=1)) == []


def test_of_many_failing_subscribers_a_few_are_named_and_the_others_counted() -> None:
    many = [replace(FAILING, lane=f"ep_{at}") for at in range(20)]
    found = alarms_of(replace(WELL, failing=many, failing_total=31))
    assert len({alarm.subject for alarm in found}) == len(found) == alarms.MOST_SUBSCRIBERS + 1
    assert found[-1].text == "up to 26 more subscribers fail"


def test_the_tenant_whose_job_waits_longest_is_named() -> None:
    [old] = alarms_of(replace(WELL, queue_seconds=7300))
    assert old.text == "the oldest job, of tenant acme, has waited for 2 h 1 min"


def test_a_status_that_nobody_knows_is_quoted_while_it_is_seen() -> None:
    words = {"a": 1.0, "[/red]": 2.0, "c": 3.0, "d": 4.0, "old": 901.0}
    [alarm] = alarms_of(replace(WELL, unknown_statuses=words))
    assert alarm.text == 'the upstream reports a status that nobody knows: "a", "[/red]", "c" and 1 more'
    assert alarms_of(replace(WELL, unknown_statuses={"old": 901.0})) == []
    assert f"(gateway_unknown_status_age_seconds) < {alarms.STATUS_SECONDS}" in RULES


def test_the_gravest_come_first() -> None:
    found = alarms_of(replace(WELL, dead=1, paused=True, accounts=[REFUSED, SECOND]))
    assert [alarm.severity for alarm in found] == [Severity.PAGE, Severity.TICKET, Severity.TICKET]


@pytest.mark.parametrize("code", [code for _, code in ILL])
def test_each_alarm_is_an_alert_of_the_same_gravity_with_an_entry_in_the_guide(code: str) -> None:
    found = re.search(rf"- alert: {code}\n(.*?)(?=- alert:|\Z)", RULES, re.S)
    assert found
    [alarm] = alarms_of(replace(WELL, **next(ill for ill, other in ILL if other == code)))
    assert f"labels: {{severity: {alarm.severity}, fault: {alarm.fault}}}" in found[1]
    page = alarms.ALERTS[code].page
    assert (f"page: {page}\n" in found[1].replace('"', "")) if page else ("page: /" not in found[1])
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
        (alarms.FAILING_SECONDS, "SubscriberFails"),
        (alarms.MEMORY_RATIO, "RedisNearlyFull"),
        (alarms.SUSPENSE_SECONDS, "MoneyInSuspense"),
        (alarms.DRIFT_RATIO, "LedgerDrift"),
        (alarms.CHECKED_SECONDS, "LedgerDrift"),
        (alarms.SKEW_SECONDS, "ClockSkew"),
    ],
)
def test_the_lines_are_those_of_the_alerts(limit: float, code: str) -> None:
    found = re.search(rf"- alert: {code}\n(.*?)\n\s*labels:", RULES, re.S)
    assert found
    assert f"> {limit:g}" in found[1]


def test_a_budget_that_will_not_last_is_named_with_whose_it_is_and_until_when_it_lasts() -> None:
    key = replace(SOON, key="0a1b", period="day", used=130)
    total = replace(SOON, period="total", at=None, used=85)
    found = alarms_of(replace(WELL, money=MoneyGauges(Spend(0, soon=[SOON, key, total], soon_total=3))))
    assert [alarm.text for alarm in found] == [
        "tenant acme has used 60 % of its budget of the month; it will be spent by Dec 01, 00:00 UTC",
        "key 0a1b of tenant acme has used 130 % of its budget of the day",
        "tenant acme has used 85 % of its budget",
    ]
    assert len({alarm.subject for alarm in found}) == 3


def test_of_many_budgets_a_few_are_named_and_the_others_counted() -> None:
    many = [replace(SOON, tenant=f"team-{at}") for at in range(20)]
    found = alarms_of(replace(WELL, money=MoneyGauges(Spend(0, soon=many, soon_total=31))))
    assert [alarm.code for alarm in found] == ["BudgetSoonSpent"] * 6
    assert found[-1].text == "26 more budgets will be spent early"


def test_money_that_is_as_it_should_be_is_no_alarm() -> None:
    well = MoneyGauges(Spend(0, charged=105, dearer=5), LastCheck(0, 0), 3, 86_400)
    assert alarms_of(replace(WELL, money=well)) == []
