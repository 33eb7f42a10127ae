"""What a tenant chose, from the command line."""

from __future__ import annotations

import json
import re

import pytest
from redis import Redis
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands import keys, tenants
from gateway.errors import ConfigurationError, NotFound
from gateway.keyring import Keyring
from gateway.tenants import CLIENT_SCOPES


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["tenants", *words])
    return found.exit_code, found.output


@pytest.mark.usefixtures("empty_redis")
def test_what_is_set_is_kept_shown_and_an_ops_event(redis_url: str) -> None:
    where = ("--redis-url", redis_url)
    assert "on_unknown  default of the service" in run("show", "acme", *where)[1]
    code, text = run("set", "acme", "--on-unknown", "manual", "--weight", "3", "--rate", "0.5", *where)
    assert code == 0
    assert "on_unknown  manual\nweight      3\n" in text
    code, text = run("set", "acme", "--queue-max", "10", "--unset", "on-unknown", "--json", *where)
    shown = json.loads(text)
    assert (shown["on_unknown"], shown["weight"], shown["rate"], shown["queue_max"]) == (None, 3, 0.5, 10)
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        events = [event for _, event in redis.xrange("{gw}:ops:events")]
        assert redis.hgetall("{gw}:submit:weights") == {"acme": "3"}
    assert [(event["kind"], event["tenant"], event["by"]) for event in events] == [
        ("tenant_changed", "acme", "command line")
    ] * 2
    assert events[1]["on_unknown"] == "manual -> default"


@pytest.mark.usefixtures("empty_redis")
def test_a_tenant_is_paused_and_goes_on(redis_url: str) -> None:
    where = ("--redis-url", redis_url)
    assert (
        "paused      by command line: the invoice"
        in run("pause", "acme", "--reason", "the invoice", *where)[1]
    )
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        assert redis.zscore("{gw}:submit:parked", "acme") == float("inf")
        assert "paused" not in run("resume", "acme", *where)[1]
        assert redis.zscore("{gw}:submit:parked", "acme") is None


@pytest.mark.usefixtures("empty_redis")
def test_all_tenants_are_listed_by_name(redis_url: str) -> None:
    where = ("--redis-url", redis_url)
    assert "no tenants" in run("list", *where)[1]
    for name in ("zeta", "acme"):
        tenants.change(redis_url, name, {"weight": 2})
    assert run("list", *where)[1].index("acme") < run("list", *where)[1].index("zeta")
    lines = run("list", "--json", *where)[1].splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["acme", "zeta"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--on-unknown", "always"), "hold"),
        (("--weight", "0"), "greater than or equal to 1"),
        (("--rate", "-1"), "greater than or equal to 0"),
    ],
)
def test_a_value_that_is_no_choice_is_refused_with_those_that_are(
    redis_url: str, words: tuple[str, ...], told: str
) -> None:
    code, text = run("set", "acme", *words, "--redis-url", redis_url)
    assert code == 2
    assert told in " ".join(text.replace("│", " ").split())


def test_a_setting_that_there_is_not_is_named_with_those_that_are(redis_url: str) -> None:
    found = CliRunner().invoke(app, ["tenants", "set", "acme", "--unset", "wieght", "--redis-url", redis_url])
    assert isinstance(found.exception, ConfigurationError)
    assert "weight" in str(found.exception)


@pytest.mark.parametrize("tenant", ["ACME", "a b", "-x", "a" * 33, "acme\n"])
def test_a_name_that_no_tenant_can_have_is_refused(redis_url: str, tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="not a valid tenant name"):
        tenants.show(redis_url, tenant)
    with pytest.raises(ConfigurationError, match="not a valid tenant name"):
        tenants.change(redis_url, tenant, {"weight": 2})


@pytest.mark.usefixtures("empty_redis")
def test_networks_of_its_own_are_set_and_taken_back(redis_url: str) -> None:
    where = ("--redis-url", redis_url, "--json")
    shown = json.loads(run("set", "acme", "--networks", "10.1.0.0/16, fd00::/8", *where)[1])
    assert shown["networks"] == ["10.1.0.0/16", "fd00::/8"]
    assert json.loads(run("set", "acme", "--unset", "networks", *where)[1])["networks"] is None
    found = CliRunner().invoke(app, ["tenants", "set", "acme", "--networks", "10.1.0.1/16", *where])
    assert isinstance(found.exception, ConfigurationError)
    assert "--networks" in str(found.exception)


@pytest.mark.usefixtures("empty_redis")
def test_budgets_are_set_shown_and_removed(redis_url: str) -> None:
    where = ("--redis-url", redis_url)
    code, text = run("set", "acme", "--budget", "day=10", "--budget", "month=100.5:soft", *where)
    assert code == 0
    assert "budgets     day=10.0000 month=100.5000:soft\n" in text
    shown = json.loads(run("set", "acme", "--budget", "day=none", "--json", *where)[1])
    assert shown["budgets"] == {"month": {"limit": "100.5000", "hard": False}}
    assert json.loads(run("list", "--json", *where)[1])["budgets"] == shown["budgets"]


@pytest.mark.parametrize("given", ["day", "year=1", "day=", "day=-1", "day=abc", "day=1:firm", "day=1e3"])
def test_a_wrong_budget_is_refused_with_what_to_send(redis_url: str, given: str) -> None:
    found = CliRunner().invoke(app, ["tenants", "set", "acme", "--budget", given, "--redis-url", redis_url])
    assert isinstance(found.exception, ConfigurationError)
    assert str(found.exception).startswith("--budget ")
    assert re.search("[;:] send ", str(found.exception))


@pytest.mark.usefixtures("empty_redis")
def test_a_key_has_budgets_of_its_own(redis_url: str) -> None:
    keyring = Keyring.parse(Keyring.generate())
    made = keys.create(redis_url, keyring, "acme", CLIENT_SCOPES, "test")
    words = ["keys", "set", made.key_id, "--budget", "total=3", "--redis-url", redis_url]
    assert "total=3.0000" in CliRunner().invoke(app, words).output
    shown = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert (shown["key_id"], shown["budgets"]) == (made.key_id, {"total": {"limit": "3.0000", "hard": True}})
    assert f"of key {made.key_id}  total=3.0000" in run("show", "acme", "--redis-url", redis_url)[1]
    words[2] = "0a0b0c0d0e0f"
    assert isinstance(CliRunner().invoke(app, words).exception, NotFound)
