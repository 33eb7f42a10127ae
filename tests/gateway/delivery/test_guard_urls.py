"""Which URLs are refused at registration, without a lookup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.guard import Guard

INSIDE = Guard(["10.0.0.0/8", "fd12::/16"])


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/x?y=z#f",
        "http://hooks.example:8080",
        "http://10.0.0.1/",
        "http://[fd12::1]:81/x",
        "http://video_hooks.svc.cluster.local./",
        "http://metadata.google.internal/",
        "HTTP://EXAMPLE/",
        "http://[::ffff:a00:1]/",
    ],
)
def test_a_good_url_is_accepted(url: str) -> None:
    assert INSIDE.check_literal(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://hooks.example/", "must start with"),
        ("", "must start with"),
        ("http:///x", "host"),
        ("http://user:pass@hooks.example/", "user name"),
        ("http://@hooks.example/", "user name"),
        ("http://hooks.example:0/", "port"),
        ("http://hooks.example:99999/", "port"),
        ("http://[::1/", "host"),
        ("http://good.example\\@10.0.0.1/", "characters"),
        ("http://hooks.example/\r\nx: y", "characters"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://0x7f.1/", "four decimal numbers"),
        ("http://010.0.0.1/", "four decimal numbers"),
        ("http://017700000001/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.0.1/", "four decimal numbers"),
        ("http://10.0.0.1.1/", "four decimal numbers"),
        ("http://10.0.0.256/", "four decimal numbers"),
        ("http://0/", "four decimal numbers"),
        ("http://\u0661\u0660.0.0.1/", "characters"),
        ("http://\uff11\uff10.0.0.1/", "characters"),
        ("http://10\u30020\u30020\u30021/", "characters"),
        ("http://\u2460\u24ea.0.0.1/", "characters"),
        ("http://%31%30.0.0.1/", "host"),
        ("http://10.0.0.1%00.example/", "host"),
        ("http://[fd12::1%1]/", "without a zone"),
        ("http://[fd12::1%25eth0]/", "without a zone"),
        ("http://[fe80::1%251]/", "without a zone"),
        ("http://[::ffff:10.0.0.1%251]/", "without a zone"),
        ("http://[10.0.0.1]/", "invalid IP address"),
        ("http://[fd12::1].example/", "host"),
        ("http://10.0.0.1./", "remove the dot"),
        ("http://10.0.0.1../", "host"),
        ("http://hooks.example:22/", "names port 22"),
        ("http://10.0.0.1:6379/", "names port 6379"),
        ("http://hooks.example/" + "a" * 2048, "at most 2048"),
        ("http://8.8.8.8/", "points to 8.8.8.8, which is not in the networks"),
        ("http://8.8.8.8./", "remove the dot"),
        ("http://169.254.169.254/latest/", "networks"),
        ("http://[::ffff:169.254.169.254]/", "networks"),
        ("http://[64:ff9b::7f00:1]/", "networks"),
        ("http://[::]/", "networks"),
        ("http://[fd12::5efe:127.0.0.1]/", "networks"),
        ("http://[2002:a00:1::1]/", "networks"),
    ],
)
def test_a_url_is_refused_at_registration_with_a_reason(url: str, problem: str) -> None:
    assert problem in (INSIDE.check_literal(url) or "")


def test_a_port_that_is_not_allowed_is_refused_at_registration() -> None:
    guard = Guard(["10.0.0.0/8"], allowed_ports=[443])
    assert guard.check_literal("https://hooks.example/") is None
    assert "names port 80" in (guard.check_literal("http://hooks.example/") or "")


def test_http_to_a_public_address_is_refused_at_registration_unless_it_is_allowed() -> None:
    strict, lax = Guard([], public=True), Guard([], public=True, plain_public=True)
    for url in ("http://8.8.8.8/", "http://hooks.example/", "http://[64:ff9b::808:808]/"):
        assert "send an https:// URL" in (strict.check_literal(url) or "")
        assert lax.check_literal(url) is None
        assert strict.check_literal(url.replace("http:", "https:")) is None


def test_http_to_a_name_that_may_be_in_an_allowed_network_is_decided_at_the_lookup() -> None:
    assert Guard(["10.0.0.0/8"], public=True).check_literal("http://hooks.example/") is None


@given(st.text() | st.text(alphabet="[]:.0f%@/?#x-"), st.sampled_from(["", "http://", "https://["]))
def test_no_text_raises(text: str, start: str) -> None:
    INSIDE.check_literal(start + text)
