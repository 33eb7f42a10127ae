"""What the client sends, when it sends it again, and what an answer means."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gateway.client import AsyncClient, Client, errors
from gateway.client.network import Awaiting, Blocking, Target
from gateway.client.requests import backoff
from tests.gateway.client.scripted import KEY, Reply, Server, scripted

JOB = {"id": "job_1", "status": "queued"}
AWAY = Reply(503, {"title": "away", "type": "/docs/errors/unavailable"})
DROP = Reply(drop=True)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(Blocking, "sleep", staticmethod(found.append))
    monkeypatch.setattr(Awaiting, "sleep", staticmethod(sleep))
    return found


def submit(server: Server, retries: int = 2) -> str:
    with Client(server.url, KEY, retries=retries) as client:
        return client.jobs.submit("fox", ["https://x/a.png"]).id


@pytest.mark.parametrize("failure", [DROP, AWAY, Reply(500), Reply(502, b"<html>"), Reply(504), Reply(408)])
def test_a_post_that_failed_is_sent_again_with_the_same_key(failure: Reply, waits: list[float]) -> None:
    with scripted(failure, failure, Reply(202, JOB)) as server:
        assert submit(server) == "job_1"
    keys = [one.headers["idempotency-key"] for one in server.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0].startswith("auto_")
    assert len(waits) == 2


def test_each_post_has_another_key_unless_it_is_given(waits: list[float]) -> None:
    with scripted(Reply(202, JOB)) as server:
        submit(server)
        submit(server)
        with Client(server.url, KEY) as client:
            client.jobs.submit("fox", ["https://x/a.png"], idempotency_key="order-1")
    first, second, third = (one.headers["idempotency-key"] for one in server.asked)
    assert first != second
    assert third == "order-1"


def test_the_asynchronous_client_does_the_same(waits: list[float]) -> None:
    async def submitted(url: str) -> str:
        async with AsyncClient(url, KEY) as client:
            return (await client.jobs.submit("fox", ["https://x/a.png"])).id

    with scripted(DROP, AWAY, Reply(202, JOB)) as server:
        assert asyncio.run(submitted(server.url)) == "job_1"
    assert len({one.headers["idempotency-key"] for one in server.asked}) == 1
    assert len(waits) == 2


def test_after_two_retries_the_error_is_raised(waits: list[float]) -> None:
    with scripted(AWAY) as server, pytest.raises(errors.Unavailable, match="answered 503: away") as raised:
        submit(server)
    assert len(server.asked) == 3
    assert raised.value.code == "unavailable"


def test_threads_that_begin_at_once_share_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    options, threads = Target.options, 4
    together = threading.Barrier(threads)

    def slow(target: Target, scheme: str) -> dict[str, Any]:
        time.sleep(0.1)  # the others come in
        return options(target, scheme)

    def pool(network: Blocking) -> httpx.Client:
        together.wait()
        return network.pool("http")

    monkeypatch.setattr(Target, "options", slow)
    network = Blocking(Target("http://127.0.0.1:1", KEY, 1.0, 0))
    with contextlib.closing(network), ThreadPoolExecutor(threads) as executor:
        assert len(set(executor.map(pool, [network] * threads))) == 1


def test_the_number_of_retries_can_be_chosen(waits: list[float]) -> None:
    with scripted(AWAY) as server, pytest.raises(errors.Unavailable):
        submit(server, retries=0)
    assert len(server.asked) == 1


@pytest.mark.parametrize("failure", [DROP, AWAY, Reply(500)])
def test_what_must_not_happen_twice_is_not_repeated_in_doubt(failure: Reply, waits: list[float]) -> None:
    with scripted(failure) as server, Client(server.url, KEY) as client, pytest.raises(errors.GatewayError):
        client.endpoints.rotate("ep_1")
    assert len(server.asked) == 1


@pytest.mark.parametrize("method", ["POST", "post", "Post"])
def test_a_post_of_any_spelling_has_a_key_and_is_not_repeated_in_doubt(
    method: str, waits: list[float]
) -> None:
    with scripted(DROP) as server, Client(server.url, KEY) as client, pytest.raises(errors.ConnectionFailed):
        client.request(method, "/v1/jobs", {})
    assert [one.method for one in server.asked] == ["POST"]
    assert server.asked[0].headers["idempotency-key"].startswith("auto_")


def test_what_certainly_did_nothing_is_repeated_all_the_same(waits: list[float]) -> None:
    busy = Reply(429, {"title": "busy"}, {"Retry-After": "1"})
    with scripted(busy, Reply(200, {"id": "ep_1", "url": "x"})) as server, Client(server.url, KEY) as client:
        assert client.endpoints.rotate("ep_1").id == "ep_1"


def test_waits_double_up_to_the_longest_less_a_quarter_at_most() -> None:
    for failures, whole in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        found = [backoff(failures, 8.0) for _ in range(100)]
        assert 0.75 * whole <= min(found)
        assert max(found) <= whole
        assert len(set(found)) > 1


@pytest.mark.parametrize("asked", ["7", "120"])
def test_a_retry_after_is_obeyed(asked: str, waits: list[float]) -> None:
    busy = Reply(429, {"title": "busy"}, {"Retry-After": asked})
    with scripted(busy, Reply(202, JOB)) as server:
        assert submit(server) == "job_1"
    assert waits == [float(asked)]


@pytest.mark.parametrize("asked", ["121", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_retry_after_beyond_two_minutes_is_raised_at_once(asked: str, waits: list[float]) -> None:
    busy = Reply(429, {"title": "busy", "limit": "jobs"}, {"Retry-After": asked})
    with scripted(busy) as server, pytest.raises(errors.RateLimited) as raised:
        submit(server)
    assert (raised.value.retry_after or 0) > 120
    assert raised.value.limit == "jobs"
    assert (waits, len(server.asked)) == ([], 1)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequest),
        (401, errors.Unauthenticated),
        (402, errors.BudgetExceeded),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.NotFound),
        (413, errors.InvalidRequest),
        (422, errors.InvalidRequest),
    ],
)
def test_a_refusal_is_an_error_of_its_kind_and_is_not_repeated(
    status: int, kind: type[errors.GatewayError]
) -> None:
    problem = {
        "type": "/docs/errors/invalid-request",
        "title": "no",
        "errors": [
            {"param": "duration", "code": "out_of_range", "message": "too long"},
            {"param": "", "code": "x", "message": "and more"},
        ],
    }
    with scripted(Reply(status, problem, {"X-Request-Id": "req_7"})) as server, pytest.raises(kind) as raised:
        submit(server)
    assert type(raised.value) is kind
    told = f"POST {server.url}/v1/jobs answered {status}: duration: too long; and more"
    hint = "; the gateway does not know this key: check key= or VIDU_GATEWAY_KEY"
    assert str(raised.value) == told + (hint if status == 401 else "")
    assert raised.value.status == status
    assert raised.value.code == "invalid-request"
    assert raised.value.request_id == "req_7"
    assert raised.value.problems[0] == errors.Problem("duration", "out_of_range", "too long")
    assert raised.value.document["title"] == "no"
    assert len(server.asked) == 1


def test_a_traceback_does_not_show_the_steps_of_a_call() -> None:
    async def asked(url: str) -> None:
        async with AsyncClient(url, KEY) as client:
            await client.jobs.get("job_1")

    with scripted(Reply(404)) as server:
        with Client(server.url, KEY) as client, pytest.raises(errors.NotFound) as raised:
            client.jobs.get("job_1")
        with pytest.raises(errors.NotFound) as awaited:
            asyncio.run(asked(server.url))
    files = [one.name for one in traceback.extract_tb(raised.value.__traceback__)]
    assert files == ["test_a_traceback_does_not_show_the_steps_of_a_call", "method", "run"]
    assert [one.name for one in traceback.extract_tb(awaited.value.__traceback__)][-2:] == ["asked", "run"]
    assert raised.value.__context__ is None


def test_a_budget_that_does_not_allow_it_is_named() -> None:
    problem = {
        "title": "no",
        "detail": "the tenant day budget is 5.0000",
        "budget": "tenant day",
        "spent": "4.9",
    }
    with scripted(Reply(402, problem)) as server, pytest.raises(errors.BudgetExceeded) as raised:
        submit(server)
    assert raised.value.budget == "tenant day"
    assert raised.value.document["spent"] == "4.9"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'{"status": "queued"}'])
def test_an_answer_of_another_service_is_an_error(body: bytes) -> None:
    with scripted(Reply(200, body)) as server, pytest.raises(errors.GatewayError):
        submit(server)


def test_a_redirect_is_not_followed_with_the_key() -> None:
    with scripted(Reply(200, JOB)) as other:
        moved = Reply(307, b"", {"Location": f"{other.url}/v1/jobs"})
        with scripted(moved) as server, pytest.raises(errors.GatewayError, match="answered 307"):
            submit(server)
    assert other.asked == []


def test_no_connection_is_told_from_no_answer(waits: list[float]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with Client(nobody, KEY) as client, pytest.raises(errors.ConnectionFailed) as raised:
        client.jobs.get("job_1")
    assert raised.value.sent is False
    assert f"GET {nobody}/v1/jobs/job_1: the server cannot be reached (" in str(raised.value)
    with scripted(DROP) as server, pytest.raises(errors.ConnectionFailed) as raised:
        submit(server)
    assert raised.value.sent is True


@pytest.mark.parametrize("prefix", ["/base", "/v1beta", "/ops"])
def test_a_prefix_of_a_proxy_stays(prefix: str) -> None:
    with scripted(Reply(200, JOB)) as server, Client(f"{server.url}{prefix}", KEY) as client:
        client.jobs.get("job_1")
    assert server.asked[0].path == f"{prefix}/v1/jobs/job_1"


def test_the_head_of_a_request() -> None:
    with scripted(Reply(202, JOB)) as server, Client(f"{server.url}/base/", KEY) as client:
        client.jobs.submit(
            "fox",
            ["https://x/a.png"],
            traceparent="00-a-b-01",
            priority="high",
            start_deadline=60,
            duration=4,
        )
    (asked,) = server.asked
    assert asked.path == "/base/v1/jobs"
    assert asked.headers["user-agent"].startswith("vidu-gateway-python/")
    assert asked.headers["user-agent"].endswith(f" python/{platform.python_version()}")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["traceparent"] == "00-a-b-01"
    assert asked.headers["gateway-priority"] == "high"
    assert asked.headers["gateway-start-deadline"] == "60"
    assert (
        asked.body
        == b'{"model":"viduq2_pro_reference","prompt":"fox","duration":4,"images":["https://x/a.png"]}'
    )


def test_the_key_is_neither_shown_nor_logged(caplog: pytest.LogCaptureFixture, waits: list[float]) -> None:
    caplog.set_level(logging.DEBUG)
    with scripted(DROP) as server, Client(server.url, KEY) as client:
        with pytest.raises(errors.ConnectionFailed) as raised:
            client.jobs.get("job_1")
        shown = [repr(client), repr(client._target), str(raised.value), repr(raised.value), caplog.text]
    assert KEY not in "".join(shown)
    assert raised.value.__cause__ is None


def test_address_and_key_come_from_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(Reply(200, JOB)) as server:
        monkeypatch.setenv("VIDU_GATEWAY_URL", server.url)
        monkeypatch.setenv("VIDU_GATEWAY_KEY", KEY)
        with Client() as client:
            client.jobs.get("job_1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # goes unheard
        with Client(key=False) as client:
            client.jobs.get("job_1")
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in server.asked[1].headers


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [
        ("", KEY, "VIDU_GATEWAY_URL"),
        ("gateway.example.com", KEY, "must be like http://"),
        ("http://x?a=1", KEY, "must be like http://"),
        ("http://user:secret@x", KEY, "pass the key as key="),
        ("http://x:8080/v1/jobs", KEY, "url must be without the path /v1/jobs: http://x:8080$"),
        ("http://x:8080/v1", KEY, "url must be without the path /v1: http://x:8080$"),
        ("http://x/base/v1/", KEY, "url must be without the path /v1/: http://x/base$"),
        ("http://x/docs", KEY, "url must be without the path /docs: http://x$"),
        ("http://x", None, "check key= or VIDU_GATEWAY_KEY"),
        ("http://x", "", "check key= or VIDU_GATEWAY_KEY"),
        ("http://x", "secret\n", "invalid characters"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    url: str, key: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDU_GATEWAY_KEY", raising=False)
    with pytest.raises(ValueError, match=told) as raised:
        Client(url, key)
    assert "secret" not in str(raised.value)


def test_an_empty_variable_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDU_GATEWAY_KEY", "")
    with pytest.raises(ValueError, match="check key= or VIDU_GATEWAY_KEY"):
        Client("http://x")
