"""What many tests need: a real server for the whole run, flushed for each test, and what stands on it."""

from __future__ import annotations

import base64
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from gateway.local.valkey import valkey
from gateway.resources import Resources, open_resources
from gateway.settings import Settings
from tests.nursery import Nursery

KEYRING = f"k1:{base64.b64encode(bytes(range(32))).decode()}"


def pytest_configure() -> None:
    """A shell starts what runs in its background with SIGINT ignored; no process of a test may inherit it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of this run's own. It keeps nothing: tests are about what is written, not how durably."""
    with valkey(tmp_path_factory.mktemp("valkey"), "--appendonly", "no", "--appendfsync", "no") as server:
        yield server.url


def new_settings(redis_url: str, folder: Path) -> Settings:
    """Settings that take nothing from the environment; derive others with `model_copy`."""
    return Settings(
        redis_url=redis_url,
        redis_timeout_seconds=5,
        secret_keys=SecretStr(KEYRING),
        upstream_url="http://127.0.0.1:9",
        upstream_key=SecretStr("upstream-key"),
        public_url="http://127.0.0.1:8080",
        blob_dir=folder / "blobs",
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
