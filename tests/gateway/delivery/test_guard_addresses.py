"""Every address there is: the edges of each special network, and what hides inside of what."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.delivery import addresses
from gateway.delivery.addresses import carried, is_of_this_machine, read_address
from gateway.delivery.guard import Guard

PUBLIC = Guard([], public=True)
INSIDE = Guard(["10.0.0.0/8", "fd12::/16", "192.0.2.0/25"])
EVERYTHING = Guard(["0.0.0.0/0", "::/0"], public=True)
GUARDS = (PUBLIC, INSIDE, EVERYTHING)

# The registries of special addresses, written down a second time: what is not here is public.
SPECIAL_4 = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32"),
]
SPECIAL_6 = ["::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"]
NEVER = [
    *(
        "0.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
    ),
    *("::/128", "fe80::/10", "fec0::/10", "ff00::/8", "64:ff9b:1::/48", "fd00:ec2::/32", "fd20:ce::254/128"),
]

_special_4 = [IPv4Network(text) for text in SPECIAL_4]
_special_6 = [IPv6Network(text) for text in SPECIAL_6]
_never = [ip_network(text) for text in NEVER]


def edges(network: IPv4Network | IPv6Network) -> list[int]:
    first, last = int(network.network_address), int(network.broadcast_address)
    whole = 2**network.max_prefixlen
    return [number for number in (first - 1, first, last, last + 1) if 0 <= number < whole]


_edges_4 = sorted(
    {number for network in [*_special_4, *_never] if network.version == 4 for number in edges(network)}
)
_edges_6 = sorted(
    {number for network in [*_special_6, *_never] if network.version == 6 for number in edges(network)}
)
v4 = (st.sampled_from(_edges_4) | st.integers(0, 2**32 - 1)).map(IPv4Address)
v6 = (st.sampled_from(_edges_6) | st.integers(0, 2**128 - 1) | st.integers(2**125, 2**126 - 1)).map(
    IPv6Address
)
numbers = st.integers(0, 2**128 - 1)


def is_spelled_otherwise(address: IPv6Address) -> bool:
    """Mapped and NAT64: judged as the IPv4 address that they spell."""
    return int(address) >> 32 in (0xFFFF, 0x64FF9B << 64)


@pytest.mark.parametrize("number", _edges_4)
def test_the_edges_of_the_special_ipv4_networks_match_the_registries(number: int) -> None:
    address = IPv4Address(number)
    assert PUBLIC.permits(str(address), 443) == (not any(address in special for special in _special_4))


@pytest.mark.parametrize("number", _edges_6)
def test_the_edges_of_the_special_ipv6_networks_match_the_registries(number: int) -> None:
    address = IPv6Address(number)
    assert PUBLIC.permits(str(address), 443) == (not any(address in special for special in _special_6))


@given(v4)
def test_an_ipv4_address_is_public_when_no_registry_calls_it_special(address: IPv4Address) -> None:
    assert PUBLIC.permits(str(address), 443) == (not any(address in special for special in _special_4))


@given(v6)
def test_an_ipv6_address_is_public_when_no_registry_calls_it_special(address: IPv6Address) -> None:
    if not is_spelled_otherwise(address) and not carried(address):
        assert PUBLIC.permits(str(address), 443) == (not any(address in special for special in _special_6))


@given(v4 | v6)
def test_a_forbidden_address_is_refused_whatever_is_allowed(address: IPv4Address | IPv6Address) -> None:
    if any(address in never for never in _never):
        assert not any(guard.permits(str(address), 443) for guard in GUARDS)


@given(v4 | v6)
def test_nothing_is_dialled_if_nothing_is_allowed(address: IPv4Address | IPv6Address) -> None:
    assert not Guard([]).permits(str(address), 443)


# Each spells or carries an IPv4 address, with whatever else the form has room for.
SPELLINGS: dict[str, Callable[[int, int], int]] = {
    "mapped": lambda inner, _: (0xFFFF << 32) | inner,
    "nat64": lambda inner, _: (0x64FF9B << 96) | inner,
}
TUNNELS: dict[str, Callable[[int, int], int]] = {
    "6to4": lambda inner, rest: (0x2002 << 112) | (inner << 80) | (rest % 2**80),
    "teredo client": lambda inner, rest: (0x20010000 << 96) | ((rest % 2**64) << 32) | (inner ^ 0xFFFFFFFF),
    "teredo server": lambda inner, rest: (0x20010000 << 96) | (inner << 64) | (rest % 2**64),
    "isatap, private": lambda inner, rest: ((rest >> 64) << 64) | (0x00005EFE << 32) | inner,
    "isatap, global": lambda inner, rest: ((rest >> 64) << 64) | (0x02005EFE << 32) | inner,
    "v4-compatible": lambda inner, _: inner,
    "v4-translated": lambda inner, _: (0xFFFF << 48) | inner,
    "local nat64": lambda inner, rest: (0x64FF9B0001 << 80) | ((rest % 2**48) << 32) | inner,
}


@pytest.mark.parametrize("form", SPELLINGS)
@given(v4, numbers, st.booleans())
def test_every_spelling_is_treated_like_its_address(
    form: str, inner: IPv4Address, rest: int, plain: bool
) -> None:
    outer = IPv6Address(SPELLINGS[form](int(inner), rest))
    for guard in GUARDS:
        assert guard.permits(str(outer), 80, plain=plain) == guard.permits(str(inner), 80, plain=plain)


@pytest.mark.parametrize("form", TUNNELS)
@given(v4, numbers)
@example(IPv4Address("169.254.169.254"), 0xFD12 << 112)
@example(IPv4Address("127.0.0.1"), 0x2606_4700 << 96)
def test_no_form_of_tunnel_opens_a_closed_address(form: str, inner: IPv4Address, rest: int) -> None:
    outer = IPv6Address(TUNNELS[form](int(inner), rest))
    if outer == IPv6Address("::1"):  # not the v4-compatible 0.0.0.1: loopback has this address
        return
    for guard in GUARDS:
        assert guard.permits(str(inner), 80) or not guard.permits(str(outer), 80)


def test_a_tunnel_into_an_allowed_network_is_open_if_it_is_allowed_itself() -> None:
    guard = Guard(["10.0.0.0/8", "fd12::/16"])
    assert guard.permits("fd12::5efe:10.0.0.1", 80)
    assert not guard.permits("fd12::5efe:11.0.0.1", 80)
    assert not guard.permits("fd13::5efe:10.0.0.1", 80)


@given(v6, st.sampled_from(["1", "eth0", "25"]))
def test_a_zone_changes_nothing(address: IPv6Address, zone: str) -> None:
    for guard in GUARDS:
        assert guard.permits(f"{address}%{zone}", 80) == guard.permits(str(address), 80)
    assert read_address(f"{address}%{zone}") == read_address(str(address))


@given(v4 | v6)
def test_long_and_capital_forms_change_nothing(address: IPv4Address | IPv6Address) -> None:
    for guard in GUARDS:
        assert guard.permits(address.exploded.upper(), 80) == guard.permits(str(address), 80)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_is_this_machine(address: str) -> None:
    assert is_of_this_machine(ip_address(address))


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "8.8.8.8", "2001:db8::1", "255.255.255.255", "fe80::1", "::"]
)
def test_other_addresses_are_not_this_machine(address: str) -> None:
    assert not is_of_this_machine(ip_address(address))


def test_the_address_of_a_network_interface_is_this_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no way out")
        own = probe.getsockname()[0]
    assert is_of_this_machine(ip_address(own))


def test_the_answer_for_an_address_is_cached_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, probes = 1e6, 0
    real = socket.socket

    def probe(*given: Any) -> socket.socket:
        nonlocal probes
        probes += 1
        return real(*given)

    monkeypatch.setattr(addresses, "_MONOTONIC", lambda: now)
    monkeypatch.setattr(socket, "socket", probe)
    for _ in range(3):
        assert not is_of_this_machine(ip_address("192.0.2.77"))
    assert probes == 1
    now += 5
    assert not is_of_this_machine(ip_address("192.0.2.77"))
    assert probes == 2
