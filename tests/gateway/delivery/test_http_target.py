"""The bytes of a URL that its owner registered are the bytes of the request line."""

from __future__ import annotations

import pytest

from gateway.delivery.http import Deliverer
from gateway.urls import MAX_CALLBACK_URL_CHARACTERS, split_url, url_fault
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber

TARGETS = [
    "/%28x%29?sig=a%2Bb%2F",
    "/a%2fb%2Fc/%7Euser/%41",
    "/a/../b/./c//d",
    "/hook?",
    "/?",
    "/hook??a=b?&&=",
    "/hook?a=1+2&b=%20&c=;,:@/",
    "/hook?sig=%e2%82%ac%zz%",
    "/a|b^c`{d}[e]!$&'()*+,;=:@~",
    "/hook?q='{x}'",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_the_request_line_has_the_registered_bytes(target: str) -> None:
    async with subscriber(reply(200)) as served, Deliverer(LOOPBACK) as deliverer:
        url = f"http://127.0.0.1:{served.port}{target}"
        assert url_fault(url, max_characters=MAX_CALLBACK_URL_CHARACTERS) is None
        result = await deliverer.post(url, {}, b"{}")
    assert (result.outcome, result.url) == ("succeeded", url)
    [(head, _)] = served.requests
    assert head.split(b"\r\n")[0] == f"POST {target} HTTP/1.1".encode()
    assert f"\r\nHost: 127.0.0.1:{served.port}\r\n".encode() in head


@pytest.mark.parametrize(
    ("after_host", "target"), [("", "/"), ("?sig=%2B", "/?sig=%2B"), ("#part", "/"), ("/a?b#c?d", "/a?b")]
)
async def test_only_what_http_cannot_carry_is_changed(after_host: str, target: str) -> None:
    async with subscriber(reply(200)) as served, Deliverer(LOOPBACK) as deliverer:
        await deliverer.post(f"HTTP://127.0.0.1:{served.port}{after_host}", {}, b"{}")
    [(head, _)] = served.requests
    assert head.split(b"\r\n")[0] == f"POST {target} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://Hooks.Example.com:8443/A?B=%2F", ("https", "hooks.example.com:8443", "/A?B=%2F")),
        ("HTTP://[::1]:80", ("http", "[::1]:80", "/")),
    ],
)
def test_a_url_is_split_without_a_change_of_its_target(url: str, parts: tuple[str, str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize("url", ["", "/x", "ftp://h/x", "https:h"])
def test_what_is_no_url_is_not_split(url: str) -> None:
    with pytest.raises(ValueError, match="not an http"):
        split_url(url)
