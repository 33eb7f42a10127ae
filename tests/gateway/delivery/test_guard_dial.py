"""What the guard refuses is not dialled, by whichever way a POST may come to it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.delivery import addresses
from gateway.delivery.addresses import OwnAddresses
from gateway.delivery.guard import Guard
from gateway.delivery.http import Deliverer
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber
from tests.gateway.delivery.test_guard_resolved import Answers


async def outcome(guard: Guard, url: str, *answers: str) -> str:
    async with Deliverer(guard, resolver=Answers(*answers), total_seconds=5.0) as deliverer:
        return (await deliverer.post(url, {}, b"{}")).outcome


@pytest.mark.parametrize("answers", [["127.0.0.1", "10.0.0.1"], ["169.254.169.254", "127.0.0.1"]])
async def test_a_name_with_one_forbidden_address_is_not_dialled_at_all(answers: list[str]) -> None:
    async with subscriber(reply(200)) as served:
        url = f"http://hooks.test:{served.port}/"
        assert await outcome(LOOPBACK, url, *answers) == "target_forbidden"
        assert served.connections == 0
        assert await outcome(LOOPBACK, url, "127.0.0.1") == "succeeded"


class Believing(Guard):
    """Finds nothing in a lookup, as when the name had other addresses a moment ago."""

    def vet(self, host: str, port: int, answers: Iterable[str]) -> None: ...


async def test_an_address_that_passed_the_lookup_is_checked_again_at_the_dial() -> None:
    async with subscriber(reply(200)) as served:
        url = f"http://rebind.test:{served.port}/"
        assert await outcome(Believing(["127.0.0.2/32"]), url, "127.0.0.1") == "target_forbidden"
        assert served.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "0177.0.0.1", "0x7f.0.0.1"),
        *("127.0.0.1.", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u0661\u0662\u0667.0.0.1"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1%251]", "[64:ff9b::7f00:1]", "[::127.0.0.1]", "[::1]", "[::]"),
        *("0", "0.0.0.0", "localhost", "LOCALHOST.", "%31%32%37.0.0.1", "10.0.0.1@127.0.0.1"),
    ],
)
async def test_no_spelling_of_a_closed_address_reaches_it(host: str) -> None:
    async with subscriber(reply(200)) as served:
        async with Deliverer(
            Guard(["10.0.0.0/8"], public=True, plain_public=True), total_seconds=5.0
        ) as deliverer:
            result = await deliverer.post(f"http://{host}:{served.port}/", {}, b"{}")
        assert result.outcome in {"target_forbidden", "invalid_url", "dns_error"}
        assert served.connections == 0


async def test_our_own_places_are_closed_in_an_open_network() -> None:
    async with subscriber(reply(200)) as ours, subscriber(reply(200)) as served:
        guard = Guard(["127.0.0.0/8", "::1/128"], own=OwnAddresses([("127.0.0.1", ours.port)]))
        for host in ("hooks.test", "127.0.0.1", "[::ffff:127.0.0.1]"):
            assert await outcome(guard, f"http://{host}:{ours.port}/", "127.0.0.1") == "target_forbidden"
            assert await outcome(guard, f"http://{host}:{served.port}/", "127.0.0.1") == "succeeded"
        assert ours.connections == 0


async def test_our_own_name_is_closed_and_other_names_of_its_address_are_not() -> None:
    async with subscriber(reply(200)) as served:
        guard = Guard(["127.0.0.0/8"], own=OwnAddresses(names=[("gateway.test", served.port)]))
        assert await outcome(guard, f"http://Gateway.test.:{served.port}/", "127.0.0.1") == "target_forbidden"
        assert served.connections == 0
        assert await outcome(guard, f"http://hooks.test:{served.port}/", "127.0.0.1") == "succeeded"


async def test_plain_http_to_a_public_address_is_refused_at_the_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    async with (
        subscriber(reply(200)) as served,
        Deliverer(Guard([], public=True), resolver=Answers("127.0.0.1"), total_seconds=5.0) as deliverer,
    ):
        for host in ("127.0.0.1", "hooks.test"):
            refused = await deliverer.post(f"http://{host}:{served.port}/", {}, b"{}")
            assert (refused.outcome, served.requests) == ("target_forbidden", [])
            dialled = served.connections
            await deliverer.post(f"https://{host}:{served.port}/", {}, b"{}")  # no TLS there, but a dial
            assert served.connections > dialled
            again = await deliverer.post(f"http://{host}:{served.port}/", {}, b"{}")
            assert (again.outcome, served.requests) == ("target_forbidden", [])
    async with subscriber(reply(200)) as served:
        lax = Guard([], public=True, plain_public=True)
        assert await outcome(lax, f"http://hooks.test:{served.port}/", "127.0.0.1") == "succeeded"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_place_is_not_followed(status: int) -> None:
    async with subscriber(reply(200)) as other:
        async with subscriber(reply(status, b"", f"Location: http://127.0.0.1:{other.port}/")) as served:
            assert await outcome(LOOPBACK, served.url) == "http_3xx"
        assert (len(served.requests), other.connections) == (1, 0)


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine 127.0.0.1 login us password sesame\nmachine hooks.test login us password sesame\n"
    )
    netrc.chmod(0o600)
    async with subscriber(reply(200)) as proxy, subscriber(reply(200)) as served:
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert await outcome(LOOPBACK, served.url) == "succeeded"
        assert await outcome(LOOPBACK, f"http://hooks.test:{served.port}/", "127.0.0.1") == "succeeded"
        assert await outcome(LOOPBACK, "http://169.254.169.254/latest/") == "target_forbidden"
    assert (len(served.requests), proxy.connections) == (2, 0)
    assert not any(b"authorization" in head.lower() for head, _ in served.requests)
