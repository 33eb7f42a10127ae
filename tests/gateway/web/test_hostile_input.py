"""No bytes of a client make the service fail: each gets an answer, and a wrong request a problem document."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import product

import httpx
import orjson
import pytest

from gateway.settings import Settings
from gateway.tenants import Scope
from gateway.web import app
from gateway.web.http import login_limits
from gateway.web.pages.routes import PAGES
from tests.effort import scaled
from tests.gateway.web.conftest import MakeKey
from tests.gateway.web.hostile import (
    HEADERS,
    OPERATIONS,
    VALUES,
    Sent,
    Wire,
    headers_in_source,
    in_the_target,
    names_of,
    plain,
)
from tests.gateway.web.live import listening
from tests.gateway.web.pages.conftest import sign_in

FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
CHOSEN = scaled(2)


def judged(url: str, requests: Iterable[Sent], *, html: bool = False) -> list[str]:
    """What is wrong with the answers; the requests are sent one after another."""
    wrong = []
    with Wire(url) as wire:
        for sent in requests:
            try:
                status, kind, body = wire.exchange(sent)
            except OSError as error:
                wrong.append(f"{sent.method.decode()} {sent.target[:60]!r} {sent.where}: {error!r}")
                wire.hang_up()
                continue
            meant = status < 500 or (status == 501 and "transfer-encoding" in sent.where)
            shown = status < 400 or (html and kind == "text/html")
            if not meant or not (
                shown or (kind == "application/problem+json" and is_document(status, body, sent))
            ):
                wrong.append(f"{sent.method.decode()} {sent.target[:60]!r} {sent.where}: {status} {kind}")
    return wrong


def is_document(status: int, body: bytes, sent: Sent) -> bool:
    return sent.method == b"HEAD" or orjson.loads(body)["status"] == status


def few(choice: random.Random) -> list[bytes]:
    return choice.sample(VALUES, min(CHOSEN, len(VALUES)))


@pytest.fixture
def open_settings(settings: Settings, empty_redis: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With all that reads more of a request, and without what refuses the next one."""
    monkeypatch.setattr(app, "_METRICS", (0.0, 1))
    monkeypatch.setattr(login_limits, "PER_ADDRESS", (1, 0.0))
    monkeypatch.setattr(login_limits, "OVERALL", (1, 0.0))
    hosts = ["x", "*.example"]
    proxies = ["127.0.0.0/8"]
    edge = {"trusted_proxies": proxies, "allowed_hosts": hosts}
    return settings.model_copy(update={**edge, "durability": "assume", "tenant_request_rate": 0})


def test_the_list_of_headers_is_complete() -> None:
    assert headers_in_source() <= HEADERS


async def test_hostile_headers_and_targets_get_an_answer_on_every_operation(
    open_settings: Settings, make_key: MakeKey
) -> None:
    bearer = (b"Authorization", f"Bearer {await make_key(scopes=list(Scope))}".encode())
    choice = random.Random(1)

    def requests() -> Iterator[Sent]:
        for operation in OPERATIONS:
            sent = plain(operation, bearer)
            for name in names_of(operation):
                yield from (sent.having(name.encode(), value) for value in few(choice))
            for value in few(choice):
                yield from in_the_target(operation, sent, value)
        thorough = [one for one in OPERATIONS if one.id in ("createJob", "listJobs", "receiveCallback")]
        assert len(thorough) == 3
        for operation, value in product(thorough, VALUES):
            for name in names_of(operation):
                yield plain(operation, bearer).having(name.encode(), value)

    with listening(open_settings) as url:
        assert judged(url, requests()) == []


async def test_hostile_fields_of_a_body_get_an_answer_on_every_operation(
    open_settings: Settings, make_key: MakeKey
) -> None:
    bearer = (b"Authorization", f"Bearer {await make_key(scopes=list(Scope))}".encode())
    odd = (
        b'"["',
        b'"\\u0000"',
        b'"\\ud800"',
        b"1e999",
        b"-0",
        b"9" * 400,
        b"[[]]",
        b'{"":{}}',
        b"\xff",
        b"null",
    )

    def requests() -> Iterator[Sent]:
        for operation in OPERATIONS:
            sent = plain(operation, bearer)
            for body in (b"[", b"\xff", b"null", b'"x"', b"{}{}", b"[" * 5000, b""):
                yield Sent(sent.method, sent.target, sent.headers, body, f"body: {body[:40]!r}")
            fields = getattr(operation.body, "model_fields", {"x": None})
            for name, value in product(fields, odd):
                body = b'{"%s": %s}' % (name.encode(), value)
                yield Sent(sent.method, sent.target, sent.headers, body, f"body: {body[:60]!r}")

    with listening(open_settings) as url:
        assert judged(url, requests()) == []


async def test_hostile_cookies_forms_and_headers_get_an_answer_on_every_page(
    open_settings: Settings, make_key: MakeKey
) -> None:
    key, choice = await make_key(scopes=list(Scope)), random.Random(2)
    with listening(open_settings) as url:
        async with httpx.AsyncClient(base_url=url, headers={"Host": "x"}) as browser:
            signed = await sign_in(browser, key)
        cookie = signed.headers["set-cookie"].partition(";")[0].encode()
        name = cookie.partition(b"=")[0]

        def requests() -> Iterator[Sent]:
            places = [(path, method) for path, methods in PAGES.items() for method in methods]
            places += [("/docs", "GET"), ("/openapi.json", "GET"), ("/ops/static/ops.css", "GET")]
            thorough = [one for one in places if one in (("/ops/login", "POST"), ("/ops/jobs", "GET"))]
            assert len(thorough) == 2
            for path, method in places:
                if path == "/ops/logout":
                    continue  # it ends the session that the others need
                target = path.replace("{", "").replace("}", "").encode()
                sent = Sent(method.encode(), target, ((b"Cookie", cookie), FORM))
                for header, value in product(sorted(HEADERS), few(choice)):
                    yield sent.having(header.encode(), value)
                for value in VALUES if (path, method) in thorough else few(choice):
                    yield sent.having(b"cookie", b"%s=%s" % (name, value))
                    yield sent.having(b"cookie", cookie + value)
                    query = target + b"?said=" + value.replace(b" ", b"")
                    yield Sent(sent.method, query, sent.headers, b"", "query")
                    for field in (b"token", b"key", b"reason", b"next", b"tenant", b"action", value):
                        body = b"%s=%s" % (field, value)
                        yield Sent(sent.method, sent.target, sent.headers, body, f"form: {body[:60]!r}")

        assert judged(url, requests(), html=True) == []
