"""The places where the service itself listens: no webhook goes there, whatever is allowed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gateway.delivery.addresses import OwnAddresses
from gateway.delivery.guard import Guard, open_guard, own_addresses
from gateway.delivery.names import NameService
from gateway.errors import AddressRefused, ConfigurationError
from gateway.settings import Settings

EVERY_PORT = range(1, 65536)


class Names:
    """A lookup from a table, which may change; it counts how often it was asked."""

    def __init__(self, **table: Sequence[str]) -> None:
        self.table: dict[str, Sequence[str]] = dict(table)
        self.asked = 0

    async def __call__(self, name: str, port: int) -> list[str]:
        self.asked += 1
        await asyncio.sleep(0)
        if name not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return list(self.table[name])


def open_wide(own: OwnAddresses, look_up: Names | None = None) -> Guard:
    return Guard(
        ["0.0.0.0/0", "::/0"], True, EVERY_PORT, plain_public=True, own=own, look_up=look_up or Names()
    )


def settings_with(**values: object) -> Settings:
    given: Mapping[str, object] = {
        "secret_keys": SecretStr("k1:" + "A" * 43 + "="),
        "upstream_key": SecretStr("key"),
        "blob_dir": Path("nowhere"),
        **values,
    }
    return Settings(**given)  # type: ignore[arg-type]


def refuses(guard: Guard, *places: str) -> bool:
    """Whether all of the places are refused; AssertionError when only some are."""
    verdicts = [guard.permits(*_split(place)) for place in places]
    assert len(set(verdicts)) == 1, dict(zip(places, verdicts, strict=True))
    return not verdicts[0]


def _split(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)


def test_another_machine_is_ours_by_its_address_and_port_in_every_spelling() -> None:
    guard = open_wide(OwnAddresses([("10.1.2.3", 6379)]))
    assert refuses(
        guard, "10.1.2.3:6379", "::ffff:10.1.2.3:6379", "::ffff:a01:203%1:6379", "64:ff9b::a01:203:6379"
    )
    assert refuses(guard, "fd12::5efe:10.1.2.3:6379", "2002:a01:203::1:6379", "::10.1.2.3:6379")
    assert not refuses(guard, "10.1.2.3:6380", "10.1.2.4:6379", "127.0.0.1:6379")


def test_an_ipv6_address_is_ours_in_every_spelling() -> None:
    guard = open_wide(OwnAddresses([("[fd12::5]", 8080)]))
    assert refuses(guard, "fd12::5:8080", "fd12::5%eth0:8080", "FD12:0::0005:8080")
    assert not refuses(guard, "fd12::6:8080", "fd12::5:8081")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "", "::", "[::]", "::1"])
def test_listening_on_this_machine_closes_every_way_to_the_port_here(host: str) -> None:
    guard = open_wide(OwnAddresses([(host, 8080)]))
    assert refuses(guard, "127.0.0.1:8080", "127.9.9.9:8080", "::1:8080", "::ffff:127.0.0.1:8080")
    assert not refuses(guard, "127.0.0.1:8081", "::1:8081", "10.0.0.1:8080", "8.8.8.8:8080")


def no_places() -> list[tuple[str, int]]:
    return []


async def test_the_places_of_a_name_are_known_after_the_lookup_at_the_start() -> None:
    guard = open_wide(OwnAddresses([("redis", 7000)]), Names(redis=["10.1.2.3", "fd12::3"]))
    await guard.learn()
    assert refuses(guard, "10.1.2.3:7000", "fd12::3:7000")
    assert not refuses(guard, "10.1.2.4:7000", "10.1.2.3:7001")


async def test_a_name_that_stands_for_this_machine_closes_every_way_to_the_port_here() -> None:
    guard = open_wide(OwnAddresses([("localhost", 7000)]), Names(localhost=["127.0.0.1"]))
    await guard.learn()
    assert refuses(guard, "127.0.0.1:7000", "127.0.0.2:7000", "::1:7000")


@pytest.mark.parametrize("known", [{}, {"redis": []}])
async def test_until_the_name_of_a_place_is_known_its_port_is_closed_everywhere(
    known: dict[str, list[str]],
) -> None:
    names = Names(**known)
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    await guard.learn()
    assert refuses(guard, "8.8.8.8:7000", "10.0.0.1:7000")
    assert not refuses(guard, "8.8.8.8:7001")


async def test_a_name_that_appears_later_is_learned_by_the_next_lookup_at_its_port() -> None:
    names = Names()
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    names.table["redis"] = ["10.1.2.3"]
    await guard.about_to_dial("http://8.8.8.8:7001/")
    assert names.asked == 0
    assert refuses(guard, "8.8.8.8:7000")
    await guard.about_to_dial("http://8.8.8.8:7000/")
    assert not refuses(guard, "8.8.8.8:7000")
    assert refuses(guard, "10.1.2.3:7000")
    assert names.asked == 1


async def test_a_name_is_not_looked_up_at_every_dial() -> None:
    names = Names(redis=["10.1.2.3"])
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    for _ in range(3):
        await guard.about_to_dial("http://hooks.example:7000/")
    assert names.asked == 1


async def test_many_dials_at_once_share_the_lookup_of_an_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.addresses._LOOKUP_SECONDS", -1.0)
    names = Names(redis=["10.1.2.3"])
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    await guard.learn()
    await asyncio.gather(*(guard.about_to_dial("http://hooks.example:7000/") for _ in range(20)))
    assert names.asked == 2


async def test_known_addresses_stay_if_a_later_lookup_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.addresses._LOOKUP_SECONDS", -1.0)
    names = Names(redis=["10.1.2.3"])
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    await guard.learn()
    names.table.clear()
    await guard.about_to_dial("http://hooks.example:7000/")
    assert names.asked == 2
    assert refuses(guard, "10.1.2.3:7000")


async def test_a_name_that_moved_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.addresses._LOOKUP_SECONDS", -1.0)
    names = Names(redis=["10.1.2.3"])
    guard = open_wide(OwnAddresses([("redis", 7000)]), names)
    await guard.learn()
    names.table["redis"] = ["10.1.2.9"]
    await guard.about_to_dial("http://hooks.example:7000/")
    assert refuses(guard, "10.1.2.9:7000")
    assert not refuses(guard, "10.1.2.3:7000")


async def test_the_settings_say_where_the_service_listens() -> None:
    settings = settings_with(
        host="10.0.0.7",
        port=8000,
        redis_url="redis://user:secret@10.0.0.8:7000/3",
        public_url="https://10.0.0.9/base",
    )
    guard = open_wide(own_addresses(settings))
    assert refuses(guard, "10.0.0.7:8000", "10.0.0.8:7000", "10.0.0.9:443")
    assert not refuses(guard, "10.0.0.7:8001", "10.0.0.8:8000", "10.0.0.9:8443")


@pytest.mark.parametrize(
    ("url", "place"), [("redis://10.0.0.8", "10.0.0.8:6379"), ("rediss:///0", "127.0.0.1:6379")]
)
async def test_a_redis_url_without_port_or_host_has_the_defaults(url: str, place: str) -> None:
    guard = open_wide(own_addresses(settings_with(redis_url=url)), Names(localhost=["127.0.0.1"]))
    await guard.learn()
    assert refuses(guard, place)


@pytest.mark.parametrize("url", ["redis+sentinel://{}/main", "redis+cluster://{}"])
def test_every_host_of_the_stores_url_is_ours(url: str) -> None:
    hosts = ("10.0.0.8:7000", "10.0.0.9:7001", "10.0.0.10:7002")
    guard = open_wide(own_addresses(settings_with(redis_url=url.format(",".join(hosts)))))
    assert refuses(guard, *hosts)


async def test_redis_on_a_unix_socket_closes_no_port() -> None:
    guard = open_wide(own_addresses(settings_with(redis_url="unix:///run/redis.sock")))
    assert not refuses(guard, "127.0.0.1:6379")


async def test_behind_an_ingress_the_name_is_ours_and_its_address_is_not() -> None:
    names = Names(**{"gateway.example": ["10.0.0.9"]})
    guard = open_wide(own_addresses(settings_with(public_url="https://gateway.example")), names)
    await guard.learn()
    assert "which webhooks may not go to" in (
        guard.check_literal("https://GATEWAY.example./callbacks/x") or ""
    )
    assert guard.check_literal("http://gateway.example/") is None
    with pytest.raises(AddressRefused):
        guard.vet("gateway.example", 443, ["10.0.0.9"])
    guard.vet("billing.example", 443, ["10.0.0.9"])


async def test_the_upstream_and_a_sandbox_in_its_place_are_no_subscribers() -> None:
    names = Names(sandbox=["10.0.0.9"])
    for url in ("http://sandbox:8090", "http://10.0.0.9:8090", "http://127.0.0.1:8090"):
        guard = open_wide(own_addresses(settings_with(upstream_url=url)), names)
        await guard.learn()
        assert refuses(guard, "127.0.0.1:8090" if "127" in url else "10.0.0.9:8090")
        assert not refuses(guard, "10.0.0.8:8090", "10.0.0.9:8091")
    guard = open_wide(own_addresses(settings_with(upstream_url="https://upstream.example/v1")), names)
    assert guard.check_literal("https://upstream.example/admin/faults")
    assert not refuses(guard, "10.0.0.9:443")


async def test_on_another_port_the_address_of_the_public_url_is_ours() -> None:
    names = Names(gateway=["10.0.0.9"])
    guard = open_wide(own_addresses(settings_with(public_url="http://gateway:8000")), names)
    await guard.learn()
    with pytest.raises(AddressRefused):
        guard.vet("alias.example", 8000, ["10.0.0.9"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"public_url": "http://h:99999"},
        {"public_url": "http://[::1"},
        {"upstream_url": "http://h:99999"},
    ],
)
async def test_a_url_of_the_settings_that_cannot_be_read_is_a_configuration_error(
    wrong: dict[str, str],
) -> None:
    with pytest.raises(ConfigurationError, match=f"GATEWAY_{next(iter(wrong)).upper()}"):
        own_addresses(settings_with(**wrong))


async def test_the_guard_of_a_process_follows_the_settings() -> None:
    settings = settings_with(
        redis_url="redis://127.0.0.1:7000/0",
        delivery_networks=["127.0.0.0/8"],
        delivery_public=True,
        delivery_ports=[443, 7000, 7001],
    )
    guard = await open_guard(settings, NameService(), no_places)
    assert guard.permits("127.0.0.1", 7001, plain=True)
    assert guard.permits("8.8.8.8", 443)
    assert not guard.permits("8.8.8.8", 443, plain=True)
    assert not guard.permits("8.8.8.8", 8443)
    assert not guard.permits("127.0.0.1", 7000)
    lax = await open_guard(
        settings_with(delivery_public=True, delivery_allow_http=True), NameService(), no_places
    )
    assert lax.permits("8.8.8.8", 8000, plain=True)
    assert not lax.permits("8.8.8.8", 22, plain=True)


async def test_the_guard_of_a_process_looks_up_its_own_places_at_the_start() -> None:
    settings = settings_with(redis_url="redis://localhost:7070/0", delivery_networks=["0.0.0.0/0"])
    guard = await open_guard(settings, NameService(), no_places)
    assert refuses(guard, "127.0.0.1:7070")
    assert not refuses(guard, "192.0.2.1:7070")


def test_ports_are_read_from_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DELIVERY_PORTS", "80, 443,8443")
    assert settings_with().delivery_ports == [80, 443, 8443]
    for wrong in ("0", "65536", "https"):
        monkeypatch.setenv("GATEWAY_DELIVERY_PORTS", wrong)
        with pytest.raises(ValidationError):
            settings_with()


async def test_the_system_lookup_returns_addresses_or_raises_an_oserror() -> None:
    look_up = NameService()
    assert {"127.0.0.1", "::1"} & set(await look_up("localhost", 80))
    for unknown in ("no-such-name.invalid", "a" * 64, "a..b"):
        with pytest.raises(OSError):
            await look_up(unknown, 80)


async def test_a_hanging_lookup_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.delivery.names._LOOKUP_SECONDS", 0.01)
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(*_: object, **__: object) -> list[object]:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    look_up = NameService(threads=1)
    with pytest.raises(TimeoutError):
        await look_up("hooks.example", 80)
    release.set()


async def test_no_webhook_goes_to_a_server_of_the_store_that_became_known_later() -> None:
    known = [("192.0.2.1", 7000)]
    guard = Guard(["192.0.2.0/24"], allowed_ports=[7000, 7001], own=OwnAddresses(found=lambda: known))
    assert not guard.permits("192.0.2.1", 7000)
    assert guard.permits("192.0.2.2", 7001)
    known.append(("192.0.2.2", 7001))
    assert not guard.permits("192.0.2.2", 7001)
    assert guard.permits("192.0.2.3", 7001)
