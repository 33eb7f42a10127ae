"""The lookup of names: one that hangs holds up no other, on the event loop that the processes run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvloop

from gateway.delivery import names
from gateway.delivery.guard import SystemResolver
from gateway.delivery.http import Deliverer
from gateway.delivery.names import NameService, on_behalf_of
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber

real = socket.getaddrinfo


class System:
    """Instead of the system's lookup: names with `hang` hang until `end`, those with `again` fail."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.asked: list[str] = []
        self.most = self.now = 0
        self._lock = threading.Lock()

    def __call__(self, host: str, port: Any, *args: Any, **options: Any) -> list[Any]:
        if not str(host).endswith((".test", ".example", ".co.uk")):
            return real(host, port, *args, **options)
        with self._lock:
            self.asked.append(host)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if "hang" in host:
                self.end.wait(60)
            if "again" in host:
                raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
            return real("127.0.0.1", port, type=socket.SOCK_STREAM)
        finally:
            with self._lock:
                self.now -= 1


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    system = System()
    monkeypatch.setattr(socket, "getaddrinfo", system)
    yield system
    system.end.set()


def on_uvloop(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    uvloop.run(bounded())


async def asked(system: System, number: int) -> None:
    while len(system.asked) < number:  # noqa: ASYNC110 - it is asked in threads
        await asyncio.sleep(0.001)


def test_webhooks_continue_while_other_lookups_hang(system: System) -> None:
    async def work() -> None:
        async with (
            subscriber(reply(200)) as served,
            Deliverer(LOOPBACK, total_seconds=60.0, retry_seconds=(0.0, 0.0)) as deliverer,
        ):
            stuck = [
                asyncio.create_task(
                    deliverer.post(f"http://hang{n}.of{n // 4}.test/", {}, b"{}", tenant=f"t{n // 20}")
                )
                for n in range(40)
            ]
            await asked(system, 16)
            for n in range(5):
                url = f"http://hooks{n}.example:{served.port}/"
                assert (await deliverer.post(url, {}, b"{}", tenant="acme")).outcome == "succeeded"
            assert not any(task.done() for task in stuck)
            for task in stuck:
                task.cancel()
            await asyncio.wait(stuck)

    on_uvloop(work)


def test_the_names_of_one_domain_use_at_most_four_threads(system: System) -> None:
    async def work() -> None:
        service = NameService()
        stuck = [asyncio.create_task(service.find(f"hang{n}.a.b.test")) for n in range(200)]
        await asked(system, 4)
        for n in range(10):
            assert await service.find(f"hooks{n}.other.test")
        assert system.now == 4
        system.end.set()
        assert all(await asyncio.gather(*stuck))
        assert system.most <= 5

    on_uvloop(work)


def test_all_lookups_together_stay_within_the_thread_limit(system: System) -> None:
    async def work() -> None:
        service = NameService(threads=3, threads_per_tenant=30)
        stuck = [asyncio.create_task(service.find(f"hang.of{n}.test")) for n in range(20)]
        await asked(system, 3)
        system.end.set()
        assert all(await asyncio.gather(*stuck))
        assert system.most == 3

    on_uvloop(work)


def test_parallel_lookups_of_one_name_are_shared(system: System) -> None:
    async def work() -> None:
        service = NameService()
        asking = [asyncio.create_task(service.find(name)) for name in ("hang.test", "HANG.test") * 10]
        await asked(system, 1)
        asking[0].cancel()
        system.end.set()
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert all(isinstance(each, list) and each for each in found[1:])
        assert len(system.asked) == 1
        await NameService().find("hang.test")
        assert len(system.asked) == 2

    on_uvloop(work)


def test_one_tenant_whose_lookups_hang_holds_up_no_other_also_when_nobody_waits_for_them(
    system: System,
) -> None:
    async def work() -> None:
        service = NameService(threads=20, max_wait_seconds=60)
        for n in range(100):  # each of a domain of its own, as a tenant with a wildcard or many domains can
            with on_behalf_of("zeta"), contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await service.find(f"hang.of{n}.test")
        await asked(system, 8)
        for tenant in ("acme", ""):
            for n in range(10):
                with on_behalf_of(tenant):
                    assert await service.find(f"hooks.{tenant or 'own'}{n}.test")
        assert system.most == 9
        system.end.set()
        await service.close()

    on_uvloop(work)


def test_a_name_that_waits_for_one_tenant_s_threads_is_looked_up_for_another(system: System) -> None:
    async def work() -> None:
        service = NameService(max_wait_seconds=60)
        with on_behalf_of("zeta"):
            stuck = [asyncio.create_task(service.find(f"hang.of{n}.test")) for n in range(8)]
            await asked(system, 8)
            same = asyncio.create_task(service.find("hooks.example"))
            await asyncio.sleep(0)
        with on_behalf_of("acme"):
            assert await service.find("hooks.example")
        assert not same.done()
        system.end.set()
        await asyncio.gather(*stuck, same)

    on_uvloop(work)


def test_an_answer_is_remembered_for_a_while_and_a_failure_is_not(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        service, brief = NameService(), NameService(kept_seconds=0)
        monkeypatch.setattr(names, "_MOST_KEPT", 2)
        first = await service.find("hooks.example")
        assert await service.find("Hooks.example") == first
        for n in range(3):
            await service.find(f"hooks{n}.example")
        assert len(service._kept) <= 2
        assert len(system.asked) == 4
        for _ in range(2):
            with pytest.raises(socket.gaierror):
                await service.find("again.example")
            await brief.find("hooks.example")
        assert len(system.asked) == 8

    on_uvloop(work)


def test_a_lookup_that_waits_too_long_for_a_thread_fails(system: System) -> None:
    async def work() -> None:
        service = NameService(max_wait_seconds=0.05)
        stuck = [asyncio.create_task(service.find(f"hang{n}.test.example")) for n in range(4)]
        await asked(system, 4)
        with pytest.raises(socket.gaierror) as caught:
            await service.find("fifth.test.example")
        assert caught.value.errno == socket.EAI_AGAIN
        assert len(system.asked) == 4
        system.end.set()
        await asyncio.gather(*stuck)
        assert await service.find("fifth.test.example")

    on_uvloop(work)


@pytest.mark.parametrize("name", ["again.example", "fifth.test.example"])
def test_a_lookup_that_cannot_start_is_a_dns_error(system: System, name: str) -> None:
    async def work() -> None:
        async with Deliverer(LOOPBACK, total_seconds=3.0, retry_seconds=(0.0, 0.0)) as deliverer:
            stuck = [
                asyncio.create_task(deliverer.post(f"http://hang{n}.test.example/", {}, b"{}"))
                for n in range(4)
            ]
            await asked(system, 4)
            result = await deliverer.post(f"http://{name}/", {}, b"{}")
            assert (result.outcome, result.retried) == ("dns_error", True)
            assert ("too many lookups" in (result.hint or "")) == (name != "again.example")
            system.end.set()
            await asyncio.gather(*stuck)

    on_uvloop(work)


def test_lookup_threads_do_not_keep_the_process_alive(system: System) -> None:
    async def work() -> None:
        service = NameService()
        asking = asyncio.create_task(service.find("hang.test"))
        await asked(system, 1)
        threads = [thread for thread in threading.enumerate() if thread.name == "lookup hang.test"]
        assert [thread.daemon for thread in threads] == [True]
        await service.close()
        with pytest.raises(asyncio.CancelledError):
            await asking

    on_uvloop(work)


def test_a_lookup_that_ends_after_the_loop_does_no_harm(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", troubles.append)

    async def work() -> None:
        asking = asyncio.create_task(NameService().find("hang.test"))
        await asked(system, 1)
        asking.cancel()

    on_uvloop(work)
    system.end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lookup"):
            thread.join(10)
    assert troubles == []


async def test_the_resolver_gives_what_the_connector_needs(system: System) -> None:
    resolver = SystemResolver(NameService())
    found = await resolver.resolve("hooks.example", 8080, socket.AF_UNSPEC)
    assert [(each["hostname"], each["host"], each["port"], each["family"]) for each in found] == [
        ("hooks.example", "127.0.0.1", 8080, socket.AF_INET)
    ]
    await resolver.close()


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.hooks.example", "hooks.example"),
        ("Hooks.Example.", "hooks.example"),
        ("localhost", "localhost"),
        ("a.hooks.co.uk", "hooks.co.uk"),
        ("a.b.hooks.com.au", "hooks.com.au"),
        ("a.hooks.de", "hooks.de"),
        ("a.abc.io", "abc.io"),
        ("co.uk", "co.uk"),
    ],
)
def test_the_domain_of_a_name(name: str, domain: str) -> None:
    assert names.domain_of(name) == domain


async def test_a_lookup_fails_if_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(socket.gaierror):
        await NameService().find("hooks.example")
