"""What a tenant chose, from the command line."""

from __future__ import annotations

import json

import pytest
from redis import Redis
from typer.testing import CliRunner

from gateway.cli import app
from gateway.commands import tenants
from gateway.errors import ConfigurationError
from gateway.lifecycle import OnUnknown


def run(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["tenants", *words])
    return found.exit_code, found.output


@pytest.mark.usefixtures("empty_redis")
def test_a_choice_is_kept_shown_and_told_to_operators(redis_url: str) -> None:
    where = ("--redis-url", redis_url)
    assert run("show", "acme", *where)[1].endswith("as the service does (GATEWAY_ON_UNKNOWN)\n")
    assert run("set", "acme", "--on-unknown", "manual", *where) == (
        0,
        "tenant          acme\non unknown      manual\n",
    )
    code, text = run("show", "acme", "--json", *where)
    assert (code, json.loads(text)) == (0, {"tenant": "acme", "on_unknown": "manual"})
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        [(_, event)] = redis.xrange("{gw}:ops:events")
    assert (event["kind"], event["tenant"], event["by"]) == ("tenant_changed", "acme", "command line")


@pytest.mark.usefixtures("empty_redis")
def test_another_tenant_keeps_what_it_had(redis_url: str) -> None:
    tenants.change(redis_url, "acme", OnUnknown.RESUBMIT)
    assert tenants.show(redis_url, "acme") is OnUnknown.RESUBMIT
    assert tenants.show(redis_url, "zeta") is None
    tenants.change(redis_url, "acme", None)
    assert tenants.show(redis_url, "acme") is None


def test_a_word_that_is_no_choice_is_refused_with_those_that_are(redis_url: str) -> None:
    code, text = run("set", "acme", "--on-unknown", "always", "--redis-url", redis_url)
    assert code == 2
    for word in OnUnknown:
        assert word in text


@pytest.mark.parametrize("tenant", ["ACME", "a b", "-x", "a" * 33, "acme\n"])
def test_a_name_that_no_tenant_can_have_is_refused(redis_url: str, tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="no name for a tenant"):
        tenants.show(redis_url, tenant)
    with pytest.raises(ConfigurationError, match="no name for a tenant"):
        tenants.change(redis_url, tenant, OnUnknown.HOLD)
