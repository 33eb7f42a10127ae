"""What many tests need: a real server for the whole run, flushed for each test, and what stands on it."""

from __future__ import annotations

import base64
import gc
import os
import signal
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest
from pydantic import SecretStr
from redis import Redis

from gateway.local.valkey import valkey
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from tests.buckets import S3Server, s3_server
from tests.effort import scaled
from tests.nursery import Nursery

KEYRING = f"k1:{base64.b64encode(bytes(range(32))).decode()}"


def pytest_configure() -> None:
    gc.disable()  # until the tests are collected: nothing that is imported or collected goes away again
    # A shell starts what runs in its background with SIGINT ignored; no process of a test may inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Every client reads the authorities that it trusts. No test fetches anything over TLS with them, and to
    # read all of a system takes longer than most tests.
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))
    hypothesis.settings.register_profile("ours", max_examples=scaled(25), deadline=None)
    hypothesis.settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    gc.freeze()
    gc.enable()


def _turn(item: pytest.Item) -> int:
    """The longest tests come first; then those of processes, which wait while others work."""
    if item.get_closest_marker("timeout"):
        return 0
    return 1 if item.get_closest_marker("processes") else 2


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this run's own. It keeps nothing: tests are about what is written, not how durably."""
    with valkey(tmp_path_factory.mktemp("valkey"), "--appendonly", "no", "--appendfsync", "no") as server:
        yield server.url


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server of this run's own; take a new bucket of it."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


def new_settings(redis_url: str, folder: Path) -> Settings:
    """Settings that take nothing from the environment; derive others with `model_copy`."""
    return _settings(redis_url).model_copy(update={"blob_dir": folder / "blobs"})


@cache  # checked once: that takes as long as many a test
def _settings(redis_url: str) -> Settings:
    return Settings(
        redis_url=redis_url,
        redis_timeout_seconds=5,
        secret_keys=SecretStr(KEYRING),
        upstream_url="http://127.0.0.1:10",
        upstream_key=SecretStr("upstream-key"),
        public_url="http://127.0.0.1:8080",
        delivery_networks=["127.0.0.0/8"],
        allow_private_media_urls=True,
    )


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Settings for this test alone."""
    return new_settings(redis_url, tmp_path)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Processes of the service that need not import anything any more."""
    with Nursery() as made:
        yield made


@pytest.fixture
def empty_redis(redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()


@pytest.fixture
async def resources(settings: Settings, empty_redis: None) -> AsyncIterator[Resources]:
    """Everything that both processes share, on a server that holds nothing."""
    async with open_resources(settings, retries=1) as opened:
        yield opened
