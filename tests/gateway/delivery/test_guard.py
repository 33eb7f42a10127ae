"""Which addresses may be dialled."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.guard import Guard
from gateway.errors import AddressRefused, ConfigurationError

PUBLIC = Guard([], public=True)
INSIDE = Guard(["10.0.0.0/8", "fd12::/16"])
EVERYTHING = Guard(["0.0.0.0/0", "::/0"], public=True)


def words(text: str) -> list[str]:
    return text.split()


FORBIDDEN = words("""
    0.0.0.0 0.0.0.1 10.0.0.1 10.255.255.255 100.64.0.1 100.100.0.0 100.100.100.200 100.127.255.255
    127.0.0.1 127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1
    172.31.255.255 192.0.0.9 192.0.0.10 192.0.0.192 192.0.0.255 192.0.2.1 192.88.99.1 192.88.99.3
    192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 224.1.2.3
    233.252.0.16 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 1::1 0:0:0:1::1 ff:ffff::1 100::1 fc00::1 fd00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::1%1
    fec0::1 ff02::1 ff0e::1 5f00::1 4000::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 3fff::1
    3fff:fff::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1
    ::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::c0a8:0 64:ff9b::a00:1
    64:ff9b:1::1 64:ff9b:1::808:808 2002:c0a8:1::1 2002:7f00:1::1 2002:a9fe:a9fe::1 2002:808:808::1
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:4136:e378:8000:63bf:80ff:fffe
""")
GOOD = words("""
    1.1.1.1 8.8.8.8 93.184.216.34 2001:4860:4860::8888 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808
""")
NEVER = words("""
    0.0.0.0 0.1.2.3 224.0.0.1 255.255.255.255 :: fe80::1 fec0::1 ff02::1 64:ff9b:1::1 64:ff9b:1::808:808
    169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd00:ec2::23
    fd20:ce::254 fe80::a9fe:a9fe ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1
    ::169.254.169.254 ::ffff:0:169.254.169.254 2001:0:1:1:1:1:5601:5601 2001:0:a9fe:a9fe::f7f7:f7f7
    fd12::5efe:169.254.169.254 2606:4700::200:5efe:a9fe:a9fe ::ffff:169.254.169.254%1
    fd00:42::42 fd00:a9fe:a9fe::1
""")

v4 = st.ip_addresses(v=4).map(lambda a: IPv4Address(int(a)))
v6 = st.ip_addresses(v=6).map(lambda a: IPv6Address(int(a)))


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not PUBLIC.permits(address, 443)


@pytest.mark.parametrize("address", GOOD)
def test_a_public_address_is_public(address: str) -> None:
    assert PUBLIC.permits(address, 443)


@pytest.mark.parametrize("address", NEVER)
def test_link_local_and_metadata_are_refused_even_inside_an_allowed_network(address: str) -> None:
    assert not EVERYTHING.permits(address, 80)


@pytest.mark.parametrize("address", [*GOOD, *FORBIDDEN])
def test_internal_mode_permits_only_the_allowed_networks(address: str) -> None:
    inside = address in {"10.0.0.1", "10.255.255.255", "::ffff:10.0.0.1", "64:ff9b::a00:1"}
    assert INSIDE.permits(address, 80) == inside
    assert not Guard([]).permits(address, 80)


def test_an_allowed_network_opens_loopback() -> None:
    guard = Guard(["127.0.0.0/8", "::1/128"])
    assert guard.permits("127.0.0.1", 80)
    assert guard.permits("::1", 80)
    assert guard.permits("::ffff:127.0.0.1", 80)
    assert not guard.permits("10.0.0.1", 80)


def test_public_mode_permits_the_allowed_networks_too() -> None:
    guard = Guard(["10.1.0.0/16"], public=True)
    assert guard.permits("10.1.2.3", 80)
    assert not guard.permits("10.2.2.3", 80)
    assert guard.permits("8.8.8.8", 80)


@given(v4)
def test_mapped_and_translated_spellings_are_treated_like_the_plain_address(address: IPv4Address) -> None:
    for guard in (PUBLIC, INSIDE, EVERYTHING):
        verdict = guard.permits(str(address), 80)
        assert guard.permits(f"::ffff:{address}", 80) == verdict
        assert guard.permits(str(IPv6Address(int(IPv6Address("64:ff9b::")) | int(address))), 80) == verdict


@given(v4, st.integers(0, 2**80 - 1), st.integers(0, 2**64 - 1))
def test_a_tunnel_does_not_open_a_closed_address(address: IPv4Address, low: int, middle: int) -> None:
    spellings = [
        (0x2002 << 112) | (int(address) << 80) | low,
        (0x20010000 << 96) | (middle << 32) | (int(address) ^ 0xFFFFFFFF),
        (0xFFFF << 48) | int(address),
    ]
    for guard in (PUBLIC, INSIDE, EVERYTHING):
        for spelling in map(IPv6Address, spellings):
            assert guard.permits(str(address), 80) or not guard.permits(str(spelling), 80)


@given(st.integers(0, 2**120 - 1))
def test_nothing_under_the_zero_prefix_is_public(low: int) -> None:
    address = IPv6Address(low)
    assert not PUBLIC.permits(str(address), 80) or address.ipv4_mapped is not None


@given(v6)
def test_every_public_address_is_global_unicast(address: IPv6Address) -> None:
    is_ipv4_spelled = int(address) >> 32 in (0xFFFF, 0x64FF9B << 64)
    if PUBLIC.permits(str(address), 80) and not is_ipv4_spelled:
        assert int(address) >> 125 == 1
        assert not address.is_private


@given(v4)
def test_an_address_that_python_calls_special_is_not_public(address: IPv4Address) -> None:
    special = (address.is_private, address.is_multicast, address.is_reserved, address.is_link_local)
    assert not (PUBLIC.permits(str(address), 80) and any(special))


@given(st.one_of(v4, v6))
def test_allowing_a_network_never_closes_anything(address: IPv4Address | IPv6Address) -> None:
    if PUBLIC.permits(str(address), 80):
        assert EVERYTHING.permits(str(address), 80)


def test_only_allowed_ports_are_dialled() -> None:
    guard = Guard(["127.0.0.0/8"], allowed_ports={80, 443})
    assert guard.permits("127.0.0.1", 443)
    assert not guard.permits("127.0.0.1", 8080)


def test_allowed_ports_replace_the_closed_ones() -> None:
    assert Guard(["127.0.0.0/8"], allowed_ports={6379}).permits("127.0.0.1", 6379)


@pytest.mark.parametrize("port", [22, 25, 53, 110, 143, 445, 587, 993, 2375, 5432, 6379, 10250, 11211, 27017])
def test_ports_of_services_that_are_not_web_servers_are_closed(port: int) -> None:
    for guard in (PUBLIC, INSIDE, EVERYTHING):
        assert guard.permits("10.0.0.1" if guard is INSIDE else "8.8.8.8", 443)
        assert not guard.permits("10.0.0.1" if guard is INSIDE else "8.8.8.8", port)


@pytest.mark.parametrize("port", [80, 443, 3000, 5000, 8000, 8080, 8443, 9000, 32768, 65535])
def test_common_ports_of_web_servers_are_open(port: int) -> None:
    assert PUBLIC.permits("8.8.8.8", port)


def test_http_is_only_for_allowed_networks_unless_opened_for_public_addresses() -> None:
    mixed = Guard(["10.0.0.0/8"], public=True)
    assert mixed.permits("10.0.0.1", 80, plain=True)
    assert mixed.permits("8.8.8.8", 443)
    for address in ("8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"):
        assert not mixed.permits(address, 80, plain=True)
        assert Guard([], public=True, plain_public=True).permits(address, 80, plain=True)


@pytest.mark.parametrize(
    "text", ["", "hooks.example", "10.0.0", "10.0.0.1 ", "1.1.1.1.", "\u0661.1.1.1", "[::1]"]
)
def test_a_text_that_is_not_an_address_is_not_permitted(text: str) -> None:
    assert not EVERYTHING.permits(text, 80)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "localhost", ""])
def test_an_invalid_network_is_a_configuration_error(network: str) -> None:
    with pytest.raises(ConfigurationError, match="CIDR"):
        Guard([network])


async def test_as_a_socket_factory_it_opens_a_socket_or_raises_an_oserror() -> None:
    guard = Guard(["127.0.0.0/8"])
    await guard.about_to_dial("http://hooks.example/")
    guard((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))).close()
    for host in ("10.0.0.1", "169.254.169.254"):
        with pytest.raises(AddressRefused, match="this address may not be dialled"):
            guard((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 80)))
    assert issubclass(AddressRefused, OSError)


async def test_as_a_socket_factory_it_checks_the_scheme_and_assumes_http() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))
    with pytest.raises(AddressRefused):
        PUBLIC(info)
    await PUBLIC.about_to_dial("HTTPS://hooks.example/")
    PUBLIC(info).close()
    await PUBLIC.about_to_dial("http://hooks.example:443/")
    with pytest.raises(AddressRefused):
        PUBLIC(info)


async def test_two_parallel_dials_have_their_own_schemes() -> None:
    async def dial(url: str) -> bool:
        await PUBLIC.about_to_dial(url)
        await asyncio.sleep(0)
        try:
            PUBLIC((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))).close()
        except AddressRefused:
            return False
        return True

    dials = asyncio.gather(*(dial(f"{scheme}://hooks.example:443/") for scheme in ("https", "http", "https")))
    assert await dials == [True, False, True]
