"""The lanes of webhooks that have no endpoint."""

from __future__ import annotations

import pytest

from gateway.endpoints import callback_lane


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://client.example.com/hook", True),
        ("https://client.example.com/another?x=1", True),
        ("https://CLIENT.example.com/hook", True),
        ("https://client.example.com./hook", True),
        ("https://client.example.com:443/hook", True),
        ("https://client.example.com:0443/hook", True),
        ("https://client.example.com:8443/hook", False),
        ("http://client.example.com/hook", False),
        ("https://other.example.com/hook", False),
    ],
)
def test_callback_urls_of_one_host_share_a_lane(url: str, same: bool) -> None:
    lane = callback_lane("acme", "https://client.example.com/")
    assert (callback_lane("acme", url) == lane) is same


def test_tenants_do_not_share_the_lane_of_a_host() -> None:
    url = "https://client.example.com/hook"
    assert callback_lane("acme", url) != callback_lane("zeta", url)


def test_a_lane_name_never_contains_the_separator_of_tickets() -> None:
    assert "|" not in callback_lane("acme", "https://client.example.com/a|b")
