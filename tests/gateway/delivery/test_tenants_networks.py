"""Networks of one tenant: allowed for it besides, for no other, and not against what is always refused."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.addresses import NEVER, OwnAddresses, within
from gateway.delivery.attempts import DeliveryOutcome
from gateway.delivery.guard import Guard, allowing
from gateway.delivery.http import Deliverer

OURS = (ip_network("10.7.0.0/16"),)
ALL = (ip_network("0.0.0.0/0"), ip_network("::/0"))
LOOPBACK = (ip_network("127.0.0.0/8"),)


def test_tenant_networks_are_allowed_only_in_the_block() -> None:
    guard = Guard(["192.168.0.0/24"])
    assert not guard.permits("10.7.1.1", 443)
    with allowing(OURS):
        assert guard.permits("10.7.1.1", 443)
        assert guard.permits("192.168.0.9", 443)
        assert not guard.permits("10.8.1.1", 443)
        assert guard.check_literal("http://10.7.1.1/hook") is None
    assert guard.check_literal("http://10.7.1.1/hook") is not None


async def test_another_task_does_not_get_tenant_networks() -> None:
    guard, seen = Guard([]), []

    async def other() -> None:
        await asyncio.sleep(0.01)
        seen.append(guard.permits("10.7.1.1", 443))

    task = asyncio.create_task(other())
    with allowing(OURS):
        assert guard.permits("10.7.1.1", 443)
        await asyncio.sleep(0.03)
    await task
    assert seen == [False]


@given(address=st.ip_addresses())
def test_tenant_networks_do_not_open_forbidden_addresses(address: object) -> None:
    guard = Guard([])
    with allowing(ALL):
        if within(address, NEVER):  # type: ignore[arg-type]
            assert not guard.permits(str(address), 443)


async def test_tenant_networks_do_not_open_our_own_places() -> None:
    guard = Guard([], own=OwnAddresses([("10.7.0.5", 6379)]))
    await guard.learn()
    with allowing(OURS):
        assert not guard.permits("10.7.0.5", 6379)
        assert guard.permits("10.7.0.5", 8443)


def test_a_hidden_address_must_be_allowed_too() -> None:
    guard = Guard([])
    with allowing((ip_network("::ffff:0:0/96"), *OURS)):
        assert guard.permits("::ffff:10.7.0.1", 443)
        assert not guard.permits("::ffff:10.8.0.1", 443)


async def test_a_connection_made_for_one_tenant_is_not_kept() -> None:
    heard = 0
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        heard += 1
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server, Deliverer(Guard([]), pool_size=4, total_seconds=5) as deliverer:
        first = await deliverer.post(url, {}, b"{}", LOOPBACK)
        assert first.outcome is DeliveryOutcome.SUCCEEDED
        other = await deliverer.post(url, {}, b"{}")
        assert other.outcome is DeliveryOutcome.TARGET_FORBIDDEN
        again = await deliverer.post(url, {}, b"{}", LOOPBACK)
        assert (again.outcome, again.reused) == (DeliveryOutcome.SUCCEEDED, False)
        for writer in writers:
            writer.close()
            await writer.wait_closed()
    assert heard == 2


@pytest.mark.parametrize("text", ["10.7.0.0/16", "fd00::/8"])
def test_networks_are_read_as_operators_write_them(text: str) -> None:
    assert str(ip_network(text)) == text
    assert isinstance(OURS[0], IPv4Network)
