"""A gateway behind TLS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.client import AsyncClient, Client, errors
from tests.gateway.client.scripted import KEY, Reply, scripted
from tests.tls import Authority, behind_tls

JOB = Reply(200, {"id": "job_1", "status": "queued"})


def test_a_certificate_is_checked_against_the_authorities_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(url: str) -> str:
        async with AsyncClient(url, KEY) as client:
            return (await client.jobs.get("job_1")).id

    authority = Authority(tmp_path)
    with (
        scripted(JOB) as server,
        behind_tls(urlsplit(server.url).port or 0, authority.certificate("gw", "127.0.0.1")) as port,
    ):
        url = f"https://127.0.0.1:{port}"
        with Client(url, KEY, retries=0) as client, pytest.raises(errors.ConnectionFailed) as raised:
            client.jobs.get("job_1")
        assert "CERTIFICATE_VERIFY_FAILED" in str(raised.value)
        assert raised.value.sent is False
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with Client(url, KEY) as client:
            assert client.jobs.get("job_1").id == "job_1"
        assert asyncio.run(asked(url)) == "job_1"
        other_name = Client(url.replace("127.0.0.1", "localhost"), KEY, retries=0)
        with other_name, pytest.raises(errors.ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
            other_name.jobs.get("job_1")
