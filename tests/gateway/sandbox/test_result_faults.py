"""Addresses of results that die, and what a bad address sends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from gateway.sandbox.results import SAMPLES
from tests.gateway.sandbox.running import Running, running
from tests.gateway.sandbox.test_results import made

FILM = (SAMPLES / "placeholder.mp4").read_bytes()


async def address(up: Running, prompt: str) -> str:
    done = await up.ended((await up.create(prompt=prompt)).json()["id"])
    return str(done["output"][0]["content"][0]["url"])


async def test_an_address_dies_after_its_time_and_its_file_with_it(tmp_path: Path) -> None:
    async with running(tmp_path, render="full", result_seconds=0.5) as up:
        done = await made(up)
        url = done["output"][0]["content"][0]["url"]
        assert (await up.client.get(url)).status_code == 200
        assert list((tmp_path / "files").iterdir())
        await asyncio.sleep(0.6)
        assert (await up.client.get(url)).status_code == 404
        assert (await up.client.get(url.partition("?")[0])).status_code == 404
        assert not list((tmp_path / "files").iterdir())


async def test_the_film_that_stands_for_all_others_dies_for_one_task_only(tmp_path: Path) -> None:
    async with running(tmp_path, result_seconds=0.2) as up:
        url = await address(up, "a fox")
        assert (await up.client.get(url)).content == FILM
        await asyncio.sleep(0.3)
        assert (await up.client.get(url)).status_code == 404
        assert (await up.client.get(await address(up, "an owl"))).status_code == 200


async def test_without_the_option_an_address_has_no_end(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        assert await address(up, "a fox") == f"{up.url}/files/placeholder.mp4"


async def test_a_dead_address_is_replaced_when_the_task_is_polled_again(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        task_id = (await up.create(prompt="[[fault:dead_result=1]]")).json()["id"]
        first, second = await up.ended(task_id), await up.poll(task_id)
        urls = [done["output"][0]["content"][0]["url"] for done in (first, second)]
        assert [(await up.client.get(url)).status_code for url in urls] == [404, 200]


async def test_what_a_bad_address_sends(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        empty = await up.client.get(await address(up, "[[fault:empty_result]]"))
        assert (empty.status_code, empty.content) == (200, b"")
        page = await up.client.get(await address(up, "[[fault:html_result]]"))
        assert (page.status_code, page.headers["content-type"][:9]) == (200, "text/html")
        away = await up.client.get(await address(up, "[[fault:private_result]]"))
        assert (away.status_code, away.headers["location"][:17]) == (302, "http://10.255.255")
        with pytest.raises(httpx.RemoteProtocolError):
            await up.client.get(await address(up, "[[fault:short_result]]"))


async def test_an_address_that_never_ends_and_one_that_stalls(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        got = 0
        async with up.client.stream("GET", await address(up, "[[fault:endless_result]]")) as reply:
            async for piece in reply.aiter_bytes():
                got += len(piece)
                if got > 4 * len(FILM):
                    break
        with pytest.raises(httpx.ReadTimeout):
            await up.client.get(await address(up, "[[fault:stalled_result]]"), timeout=0.3)


async def test_a_fault_of_the_video_spares_the_other_files(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        done = await made(up, prompt="[[fault:html_result]]", watermark=True)
        content = done["output"][0]["content"][0]
        assert "fault" not in content["watermarked_url"]
        assert (await up.client.get(content["watermarked_url"])).headers["content-type"] == "video/mp4"
