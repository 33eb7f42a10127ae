"""What waiting does not mend is said at once, and TLS to the store works as the guide says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import ConfigurationError, StoreUnavailable
from gateway.settings.types import Demand
from gateway.store import durability
from gateway.store.client import connection_pool, redis_at, store_errors
from gateway.store.located import locator_of
from tests.processes import free_port
from tests.replicated import IN_CLUSTER, Servers, ask, cluster_info, servers, wait_until
from tests.tls import Authority, Certificate, behind_tls

KEY = "{gw}:name"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path) as opened:
        yield opened


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def certificate(authority: Authority) -> Certificate:
    return authority.certificate("server", "localhost", "127.0.0.1")


@pytest.fixture
def port(made: Servers, certificate: Certificate) -> Iterator[int]:
    """Of a durable server behind TLS."""
    with behind_tls(made.start(), certificate) as opened:
        yield opened


async def refused(url: str) -> str:
    """What a process that starts is told instead of waiting."""
    with pytest.raises(ConfigurationError) as told:
        await durability.check(url, Demand("require"))
    return str(told.value)


async def accept(url: str) -> None:
    with capture_logs() as logged:
        await durability.check(url, Demand("require"))
    assert logged == []  # such as that the store is away


async def test_an_own_authority_is_named_in_the_url(port: int, authority: Authority) -> None:
    for host in ("localhost", "127.0.0.1"):
        url = f"rediss://{host}:{port}/0?ssl_ca_certs={authority.file}"
        await accept(url)


async def test_an_own_authority_is_named_by_the_environment(
    port: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    await accept(f"rediss://localhost:{port}/0")


async def test_a_certificate_that_is_not_trusted_is_told_at_once(port: int) -> None:
    said = await refused(f"rediss://:canary@localhost:{port}/0")
    assert "certificate is not trusted" in said
    assert "?ssl_ca_certs=" in said
    assert "canary" not in said


async def test_a_certificate_for_another_host_is_told_at_once_and_may_be_accepted(
    made: Servers, authority: Authority
) -> None:
    other = authority.certificate("other", "store.example")
    with behind_tls(made.start(), other) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.file}"
        said = await refused(url)
        assert "for another host" in said
        assert "localhost" in said
        await accept(f"{url}&ssl_check_hostname=false")
        await accept(f"rediss://localhost:{port}/0?ssl_cert_reqs=none")


async def test_a_server_that_wants_our_certificate_gets_it_or_is_told_at_once(
    made: Servers, authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "strangers").mkdir()
    stranger = Authority(tmp_path / "strangers", "stranger").certificate("stranger")
    ours = authority.certificate("ours")
    with behind_tls(made.start(), certificate, authority) as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.file}"
        with_ours = f"{url}&ssl_certfile={ours.file}&ssl_keyfile={ours.key}"
        await accept(with_ours)
        for without in (url, f"{url}&ssl_certfile={stranger.file}&ssl_keyfile={stranger.key}"):
            said = await refused(without)
            assert "refuses our TLS certificate, or we have none" in said
            assert "?ssl_certfile=" in said


async def test_a_renewed_certificate_of_ours_is_used_without_a_restart(
    made: Servers, authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    (tmp_path / "strangers").mkdir()
    used = Authority(tmp_path / "strangers", "stranger").certificate("used")
    renewed = authority.certificate("renewed")
    options = f"ssl_ca_certs={authority.file}&ssl_certfile={used.file}&ssl_keyfile={used.key}"
    with behind_tls(made.start(), certificate, authority) as port:
        async with redis_at(f"rediss://localhost:{port}/0?{options}", 2) as redis:
            with pytest.raises(StoreUnavailable), store_errors():
                await redis.get(KEY)
            used.file.write_bytes(renewed.file.read_bytes())
            used.key.write_bytes(renewed.key.read_bytes())
            assert await redis.get(KEY) is None


async def test_all_connections_share_what_was_read_of_the_files(port: int, authority: Authority) -> None:
    url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.file}"
    pools = [connection_pool(url, timeout_seconds=2, retries=0, connections=2) for _ in range(2)]
    made = [await pool.get_connection() for pool in pools for _ in range(2)]
    assert len({id(connection.ssl_context.context) for connection in made}) == 1
    for pool in pools:
        await pool.disconnect()


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
async def test_a_file_that_is_not_there_or_no_certificate_is_told_before_anything_is_asked(
    tmp_path: Path, option: str
) -> None:
    (tmp_path / "text").write_text("no certificate")
    for name in ("text", "nothing"):
        path = tmp_path / name
        with pytest.raises(ConfigurationError, match="PEM files"):
            connection_pool(
                f"rediss://localhost:1/0?{option}={path}&ssl_keyfile={path}",
                timeout_seconds=1,
                retries=0,
                connections=1,
            )


async def test_sentinels_whose_certificate_is_not_trusted_are_told_at_once(
    made: Servers, certificate: Certificate, authority: Authority
) -> None:
    sentinel = made.start_sentinel("main", made.start())
    with behind_tls(sentinel, certificate) as port:
        said = await refused(f"rediss+sentinel://localhost:{port},127.0.0.1:{port}/main")
        assert "no sentinel knows the primary of main (SSLCertVerificationError)" in said
        assert "certificate is not trusted" in said
        trusted = f"rediss+sentinel://localhost:{port}/another?ssl_ca_certs={authority.file}"
        async with redis_at(trusted, 2) as redis:
            with pytest.raises(StoreUnavailable, match="unknown name"), store_errors():
                await redis.get(KEY)


async def test_while_another_sentinel_may_come_back_it_is_waited_for(
    made: Servers, certificate: Certificate
) -> None:
    stop = asyncio.Event()
    with behind_tls(made.start_sentinel("main", made.start()), certificate) as port:
        url = f"rediss+sentinel://localhost:{port},localhost:1/main"
        with capture_logs() as logged:
            waiting = asyncio.create_task(durability.check_when_there(url, Demand("require"), stop))
            async with asyncio.timeout(20):
                while not logged:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            stop.set()
            await waiting
    [line] = logged
    assert line["reason"].endswith("(SSLCertVerificationError, ConnectionError)")


async def test_a_cluster_behind_tls_is_found_and_its_untrusted_certificate_is_told_at_once(
    made: Servers, certificate: Certificate, authority: Authority
) -> None:
    outside = free_port()
    node = made.start(
        *IN_CLUSTER, "--cluster-port", str(free_port()), "--cluster-announce-port", str(outside)
    )
    with made.at(node) as client:
        ask(client, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await asyncio.to_thread(wait_until, lambda: "cluster_state:ok" in cluster_info(client))
    with behind_tls(node, certificate, port=outside):
        url = f"rediss+cluster://localhost:{outside}"
        said = await refused(url)
        assert "no node of the cluster" in said
        assert "certificate is not trusted" in said
        trusted = f"{url}?ssl_ca_certs={authority.file}"
        await accept(trusted)
        async with redis_at(trusted, 2) as redis:
            assert await redis.get(KEY) is None
        assert set(locator_of(trusted).places()) == {("localhost", outside)}


async def test_sentinels_that_refuse_our_password_are_told_at_once(made: Servers) -> None:
    sentinel = made.start_sentinel("main", made.start())
    said = await refused(
        f"redis+sentinel://127.0.0.1:{sentinel}/main?sentinel_username=gw&sentinel_password=canary"
    )
    assert "AuthenticationError" in said
    assert "another user name or password" in said
    assert "canary" not in said


async def test_after_the_start_a_broken_certificate_is_named_for_what_it_is(port: int) -> None:
    async with redis_at(f"rediss://localhost:{port}/0", 2) as redis:
        with pytest.raises(StoreUnavailable, match=r"SSLCertVerificationError$"), store_errors():
            await redis.get(KEY)
