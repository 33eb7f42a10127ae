"""Names: every address that one has must be permitted, at registration and at each lookup before a dial."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.delivery.addresses import OwnAddresses
from gateway.delivery.guard import Guard, TooManyAddresses, VettingResolver
from gateway.errors import AddressRefused
from tests.gateway.delivery.test_guard_own import Names

TABLE = {
    "inside.example": ["10.0.0.1", "fd12::1"],
    "outside.example": ["8.8.8.8"],
    "mixed.example": ["10.0.0.1", "127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "zoned.example": ["fe80::1%1"],
    "empty.example": [],
    "redis.example": ["10.1.2.3"],
}


def guard_with(networks: list[str], *, public: bool = False) -> Guard:
    own = OwnAddresses([("10.1.2.3", 7070)])
    return Guard(networks, public, own=own, look_up=Names(**TABLE))


INSIDE = guard_with(["10.0.0.0/8", "fd12::/16"])
BOTH = guard_with(["10.0.0.0/8", "fd12::/16"], public=True)


@pytest.mark.parametrize(
    "url", ["http://inside.example/", "https://inside.example:8443/x", "http://10.0.0.1/"]
)
async def test_a_name_with_only_good_addresses_is_accepted(url: str) -> None:
    assert await INSIDE.check_resolved(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://outside.example/", "points to an address of outside.example, which is not in the networks"),
        ("http://mixed.example/", "not in the networks"),
        ("http://metadata.google.internal/", "not in the networks"),
        ("http://mapped.example/", "not in the networks"),
        ("http://zoned.example/", "not in the networks"),
        ("http://redis.example:7070/", "which webhooks may not go to"),
        ("http://10.1.2.3:7070/", "which webhooks may not go to"),
        ("http://inside.example:22/", "names port 22"),
        ("http://127.0.0.1/", "not in the networks"),
        ("http://u@inside.example/", "user name"),
        ("nonsense", "must start with"),
    ],
)
async def test_a_name_with_one_bad_address_is_refused_at_registration(url: str, problem: str) -> None:
    assert problem in (await INSIDE.check_resolved(url) or "")


async def test_the_refusal_of_a_name_does_not_contain_its_addresses() -> None:
    assert "127.0.0.1" not in (await INSIDE.check_resolved("http://mixed.example/") or "")


async def test_http_to_a_name_is_refused_when_one_address_is_public() -> None:
    assert "send an https:// URL" in (await BOTH.check_resolved("http://outside.example/") or "")
    assert await BOTH.check_resolved("https://outside.example/") is None
    assert await BOTH.check_resolved("http://inside.example/") is None


@pytest.mark.parametrize("name", ["unknown.example", "empty.example"])
async def test_a_name_that_cannot_be_looked_up_is_neither_good_nor_bad(name: str) -> None:
    with pytest.raises(OSError):
        await INSIDE.check_resolved(f"http://{name}/")


async def test_our_own_place_is_looked_up_before_a_url_is_checked() -> None:
    guard = Guard(["10.0.0.0/8"], own=OwnAddresses([("redis.example", 7070)]), look_up=Names(**TABLE))
    assert await guard.check_resolved("http://10.0.0.1:7070/") is None
    assert "which webhooks may not go to" in (await guard.check_resolved("http://10.1.2.3:7070/") or "")


@pytest.mark.parametrize("order", [["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "10.0.0.1"]])
async def test_nothing_of_a_mixed_answer_is_dialled(order: list[str]) -> None:
    with pytest.raises(AddressRefused, match="this address may not be dialled"):
        INSIDE.vet("mixed.example", 80, order)


class Answers(AbstractResolver):
    """Instead of a name server."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        await asyncio.sleep(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def test_a_lookup_returns_good_answers_unchanged() -> None:
    answers = Answers("10.0.0.1", "10.0.0.2")
    found = await VettingResolver(INSIDE, answers).resolve("hooks.example", 80, socket.AF_UNSPEC)
    assert found == await answers.resolve("hooks.example", 80, socket.AF_UNSPEC)


async def test_a_lookup_with_one_bad_answer_fails() -> None:
    with pytest.raises(AddressRefused):
        await VettingResolver(INSIDE, Answers("10.0.0.1", "8.8.8.8")).resolve("hooks.example", 80)


async def test_a_lookup_without_an_answer_is_an_unknown_name() -> None:
    with pytest.raises(socket.gaierror):
        await VettingResolver(INSIDE, Answers()).resolve("hooks.example", 80)


async def test_a_lookup_checks_the_port_too() -> None:
    with pytest.raises(AddressRefused):
        await VettingResolver(INSIDE, Answers("10.0.0.1")).resolve("hooks.example", 22)


async def test_the_inner_resolver_is_closed_with_the_outer_one() -> None:
    answers = Answers("10.0.0.1")
    await VettingResolver(INSIDE, answers).close()
    assert answers.closed


MANY = [f"10.0.{n}.1" for n in range(33)]


async def test_a_name_with_too_many_addresses_is_refused_before_any_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    INSIDE.vet("hooks.example", 80, MANY[:32])

    def judge(*_: object, **__: object) -> bool:
        raise AssertionError("an address was judged")

    monkeypatch.setattr(Guard, "_refusal", judge)
    with pytest.raises(TooManyAddresses):
        await VettingResolver(INSIDE, Answers(*MANY)).resolve("hooks.example", 80)


async def test_a_name_with_too_many_addresses_is_refused_at_registration() -> None:
    guard = Guard(["10.0.0.0/8"], look_up=Names(**{"hooks.example": MANY, "fewer.example": MANY[:32]}))
    assert "more than 32 addresses" in (await guard.check_resolved("http://hooks.example/") or "")
    assert await guard.check_resolved("http://fewer.example/") is None
