"""To whom a request is addressed, which proxies are believed, and what every answer asks of a browser."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from gateway.web.server.hosts import PROBES, asked_base, own_base
from tests.gateway.web.conftest import connected, serving
from tests.gateway.web.pages.conftest import sign_in


@pytest.fixture
def guarded(settings: Settings, empty_redis: None) -> Settings:
    return settings.model_copy(
        update={
            "allowed_hosts": ["gateway.example.com", "*.internal.example"],
            "public_url": "https://public.example.com/vidu",
        }
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("gateway.example.com", 401),
        ("Gateway.Example.COM:8443", 401),
        ("a.internal.example", 401),
        ("public.example.com", 401),
        ("internal.example", 400),
        ("evilinternal.example", 400),
        ("gateway.example.com.evil.example", 400),
        ("127.0.0.1:8080", 400),
        ("[::1]:8080", 400),
        ("", 400),
    ],
)
async def test_only_requests_to_our_own_hosts_are_served(guarded: Settings, host: str, status: int) -> None:
    async with serving(guarded) as app, connected(app) as client:
        answer = await client.get("/v1/jobs", headers={"Host": host})
        assert answer.status_code == status
        if status == 400:
            assert answer.json()["errors"][0]["param"] == "Host"
        for path in PROBES:
            assert (await client.get(path, headers={"Host": host})).status_code in (200, 503)


CLIENT, PUBLIC = "https://video.example.com/gw", "https://Public.example.com/vidu"


@pytest.mark.parametrize(
    ("given", "host", "base"),
    [
        ({"client_url": CLIENT, "public_url": PUBLIC}, "public.example.com", CLIENT),
        ({"client_url": CLIENT}, "evil.example", CLIENT),
        ({"public_url": PUBLIC}, "public.example.com", PUBLIC),
        ({"public_url": PUBLIC}, "PUBLIC.example.com:443", PUBLIC),
        ({"public_url": PUBLIC}, "", PUBLIC),
        ({"public_url": PUBLIC}, "public.example.com:80", None),
        ({"public_url": PUBLIC}, "evil.example", None),
        ({"public_url": PUBLIC, "allowed_hosts": ["inner"]}, "public.example.com", PUBLIC),
        ({"public_url": PUBLIC, "allowed_hosts": ["inner"]}, "Inner:8080", "http://inner:8080"),
        ({"public_url": "http://a:8080"}, "a:8080", "http://a:8080"),
        ({"public_url": "http://a:8080"}, "a", None),
        ({}, "inner", None),
        ({}, "", None),
    ],
    ids=str,
)
def test_our_own_address_is_the_operator_s_or_that_of_a_known_host(
    settings: Settings, given: dict[str, object], host: str, base: str | None
) -> None:
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", host.encode())]}
    assert own_base(scope, settings.model_copy(update={"public_url": "", **given})) == base
    assert asked_base(scope) == (f"http://{host.lower()}" if host else "")


async def test_without_a_list_any_host_is_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/jobs", headers={"Host": "whatever.example"})).status_code == 200


@pytest.mark.parametrize("text", ["https://a.example", "*", "a.*.example", "a.example/x"])
def test_what_is_no_name_of_a_host_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(ValidationError, match="allowed_hosts"):
        Settings.model_validate(settings.model_dump() | {"allowed_hosts": text})


@pytest.mark.parametrize(
    "path", ["/v1/jobs", "/nothing", "/livez", "/metrics", "/ops", "/docs", "/openapi.json"]
)
async def test_every_answer_keeps_a_browser_from_making_anything_of_it(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    [policy] = answer.headers.get_list("content-security-policy")
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert len(answer.headers.get_list("referrer-policy")) == 1


async def test_https_is_asked_for_over_https_alone_and_only_if_that_is_configured(
    settings: Settings, empty_redis: None
) -> None:
    strict = settings.model_copy(update={"hsts_seconds": 600})
    for chosen, url, told in (
        (strict, "https://gateway", "max-age=600"),
        (strict, "http://gateway", None),
        (settings, "https://gateway", None),
    ):
        async with serving(chosen) as app, connected(app) as client:
            client.base_url = httpx.URL(url)
            answer = await client.get("/livez")
            assert answer.headers.get("strict-transport-security") == told


async def test_the_session_s_cookie_is_for_https_alone_where_there_is_https(
    settings: Settings, empty_redis: None, make_key: object
) -> None:
    assert callable(make_key)
    from gateway.tenants import Scope

    key = await make_key("platform", [Scope.OPS_READ])
    async with serving(settings) as app, connected(app) as client:
        client.base_url = httpx.URL("https://gateway")
        assert "Secure" in (await sign_in(client, key)).headers["set-cookie"]
