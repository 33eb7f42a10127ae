"""Looking on and acting from the command line, on a service of real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis

from gateway.commands.ops_cli import planned
from gateway.store import keys
from gateway.tenants import Scope
from tests.gateway.commands.test_doctor import run
from tests.nursery import Nursery
from tests.processes import ORDER, Machine, call, free_port, machine

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("operating"), nursery) as made:
        made.start_gateway()
        yield made


@pytest.fixture(scope="module")
def operator(service: Machine) -> dict[str, str]:
    key = service.make_key("ops", [Scope.OPS_READ, Scope.OPS_WRITE])
    return {"VIDU_GATEWAY_OPS_KEY": key, "VIDU_GATEWAY_URL": service.gateway}


@pytest.fixture(scope="module")
def client(service: Machine) -> dict[str, str]:
    return {"VIDU_GATEWAY_KEY": service.key, "VIDU_GATEWAY_URL": service.gateway}


def test_who_keeps_the_service_busy_is_seen(service: Machine, operator: dict[str, str]) -> None:
    assert run(service, "accounts", "pause", "--reason", "to see who waits", **operator)[0] == 0
    names = [call("POST", f"{service.gateway}/v1/jobs", service.key, ORDER)[1]["id"] for _ in range(3)]
    code, text = run(service, "top", **operator)  # nobody looks on: once, and no more
    assert code == 0
    assert "submit: 3 waiting" in text
    assert "acme" in text
    assert "AccountParked" in text
    assert "us" in text  # whose fault it is: an operator did it
    assert "blocked" in text
    assert run(service, "accounts", "show", **operator)[1].startswith("main is paused, 0 of 5 slots, by ")
    code, text = run(service, "top", "--role", "deliver", "--json", **operator)
    assert (code, json.loads(text)["role"]) == (0, "deliver")
    code, text = run(service, "jobs", "list", "--tenant", "acme", "--phase", "queued", **operator)
    assert code == 0
    assert all(name in text for name in names)
    assert run(service, "jobs", "list", "--tenant", "nobody", **operator) == (0, "none\n")
    assert run(service, "top", VIDU_GATEWAY_OPS_KEY="")[0] == 2


def test_what_was_done_is_listed_and_exported(service: Machine, operator: dict[str, str]) -> None:
    assert run(service, "accounts", "pause", "--reason", "to be resumed", **operator)[0] == 0
    assert run(service, "accounts", "resume", **operator)[0] == 0
    code, text = run(service, "audit", "list", **operator)
    assert code == 0
    assert "account_resumed" in text
    code, text = run(service, "audit", "export", **operator)
    assert code == 0
    assert [json.loads(line)["act"] for line in text.splitlines()][-1] == "account_resumed"
    assert run(service, "audit", "export", "--jobs", "--since", "2020-01-01", **operator)[0] == 0
    code, text = run(service, "audit", "export", "--since", "yesterday", **operator)
    assert (code, "since" in text, "Traceback" in text) == (1, True, False)


def test_an_account_is_called_held_until_its_time_and_not_after(
    service: Machine, operator: dict[str, str]
) -> None:
    with Redis.from_url(service.url) as redis:
        now = redis.time()[0]
        redis.hset(keys.account("main"), mapping={"hold_until": (now + 600) * 1000, "slots": 2})
        redis.hset(keys.account("main"), "cut_at", now * 1000)
        text = run(service, "accounts", "show", **operator)[1]
        assert text.startswith("main is held until 20")
        assert "of 2 slots (of 5, cut by a 429)" in text
        assert "main held" in run(service, "status", **operator)[1]
        assert "AccountHeld" in run(service, "status", **operator)[1]
        redis.hset(keys.account("main"), "hold_until", (now - 1) * 1000)
        assert run(service, "accounts", "show", **operator)[1].startswith("main is slowed, ")
        text = run(service, "status", **operator)[1]
        assert ("AccountHeld" in text, "SlotsCut" in text) == (False, True)
        redis.delete(keys.account("main"))
    assert run(service, "accounts", "show", **operator)[1].startswith("main is active, ")


def test_an_attempt_that_was_planned_for_a_time_that_has_passed_is_due() -> None:
    assert planned("2020-11-22T08:00:00Z") == "due"
    assert planned("2120-11-22T08:00:00Z") == "2120-11-22T08:00:00Z"
    assert (planned(None), planned(None, "when resumed")) == (None, "when resumed")


def test_a_tenant_sees_to_its_endpoints(service: Machine, client: dict[str, str]) -> None:
    assert run(service, "endpoints", "list", **client) == (0, "none\n")
    hook = f"http://127.0.0.1:{free_port()}/hook"
    made = call("POST", f"{service.gateway}/v1/endpoints", service.key, {"url": hook})[1]
    for words in (("list",), ("show", made["id"])):
        code, text = run(service, "endpoints", *words, **client)
        assert (code, hook in text, " ok " in text) == (0, True, True)
    code, text = run(service, "endpoints", "test", made["id"], **client)
    assert (code, "connection_refused" in text) == (0, True)
    assert "disabled" in run(service, "endpoints", "disable", made["id"], **client)[1]
    assert " ok " in run(service, "endpoints", "enable", made["id"], **client)[1]
    code, text = run(service, "endpoints", "recover", made["id"], "--since", made["created_at"], **client)
    assert (code, "rec_" in text) == (0, True)
    code, text = run(service, "endpoints", "show", "ep_none", **client)
    assert (code, "Traceback" in text) == (1, False)
    assert run(service, "endpoints", "list", VIDU_GATEWAY_KEY="")[0] == 2


def test_a_shell_can_complete_the_commands(service: Machine) -> None:
    # Otherwise it depends on which shell has started the tests.
    code, text = run(service, "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert code == 0
    assert "vidu-gateway" in text or "gateway.cli" in text


def test_what_jobs_cost_is_shown_compared_and_exported(service: Machine, operator: dict[str, str]) -> None:
    with Redis.from_url(service.url, decode_responses=True) as redis:
        today = datetime.now(UTC).date().isoformat()
        for period in (today, today[:7], "total"):
            redis.hset(keys.balance("spender", period), "*|charged", "275000")
        redis.zadd(keys.TENANTS, {"spender": 0})
        code, text = run(service, "usage", "--tenant", "spender", **operator)
        assert code == 0
        assert "0.2750" in text
        code, text = run(service, "usage", "--tenant", "spender", "--csv", **operator)
        assert text.splitlines()[1].startswith("spender,")
        code, text = run(service, "ledger", "check", "--json", **operator)
        assert (code, json.loads(text)["different"]) == (
            1,
            2,
        )
        entry = {"kind": "charge", "job": "job_1", "tenant": "spender", "key": "", "amount": "275000"}
        entry |= {"period": today, "priced": "", "why": "upstream", "taken": "0"}
        redis.xadd(keys.ledger(today), entry)
    code, text = run(service, "ledger", "check", **operator)
    assert code == 0
    assert text.endswith("none differ\n")
    lines = run(service, "ledger", "export", **operator)[1].splitlines()
    assert [(one["job"], one["amount"]) for one in map(json.loads, lines) if one["tenant"] == "spender"] == [
        ("job_1", "0.2750")
    ]
    assert run(service, "ledger", "export", "--csv", **operator)[1].startswith("id,at,tenant,key,kind,")
    assert run(service, "ledger", "export", "--from", "soon", **operator)[0] == 1
