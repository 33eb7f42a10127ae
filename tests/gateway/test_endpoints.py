"""Endpoints as their owners see them, and the lanes of webhooks that have none."""

from __future__ import annotations

import pytest

from gateway.endpoints import Endpoint, callback_lane, public_endpoint
from gateway.events import FINAL_TYPES, EventType

ENDPOINT = Endpoint(
    "ep_1",
    "acme",
    "https://a.example.com/hook",
    (EventType.FAILED,),
    "k1",
    1_795_334_400_007,
    description="d",
)


def test_the_public_form_has_exactly_these_fields_and_no_secret() -> None:
    assert public_endpoint(ENDPOINT) == {
        "id": "ep_1",
        "object": "endpoint",
        "url": "https://a.example.com/hook",
        "events": ["job.failed"],
        "description": "d",
        "headers": {},
        "schedule": None,
        "slots": None,
        "created_at": "2026-11-22T08:00:00.007Z",
        "disabled_at": None,
        "disabled_reason": None,
    }


def test_an_endpoint_without_event_filters_gets_the_final_events() -> None:
    everything = Endpoint("ep_1", "acme", "https://a.example.com/hook", (), "k1", 1)
    assert public_endpoint(everything)["events"] == list(FINAL_TYPES)


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
