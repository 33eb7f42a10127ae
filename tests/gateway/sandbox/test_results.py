from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from gateway.sandbox.results import SAMPLES
from tests.gateway.sandbox.render.films import Seen, look
from tests.gateway.sandbox.running import Running, listening, picture, running

SMALL = {"resolution": "540p", "duration": 1, "aspect_ratio": "1:1"}


def uri(colour: str) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture(colour)).decode()}"


async def made(up: Running, **params: Any) -> dict[str, Any]:
    reply = await up.create(**(SMALL | {"images": [uri("red")]} | params))
    assert reply.status_code == 200, reply.text
    return await up.ended(reply.json()["id"])


async def film(up: Running, done: dict[str, Any], field: str = "url") -> tuple[bytes, Seen]:
    assert done["status"] == "completed", done
    reply = await up.client.get(done["output"][0]["content"][0][field])
    assert reply.headers["content-type"] == "video/mp4"
    return reply.content, look(io.BytesIO(reply.content))


async def test_a_task_ends_in_a_film_of_the_asked_kind(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        done = await made(up, aspect_ratio="4:3", bgm=True, seed=5)
        _, seen = await film(up, done)
        assert (seen.width, seen.height, seen.seconds, seen.frames) == (720, 540, 1.0, 24)
        assert (seen.codec, seen.pixels, seen.audio) == ("h264", "yuv420p", "aac")
        assert not list((tmp_path / "work").iterdir())


async def test_progress_increases_while_frames_are_rendered(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        task_id = (await up.create(**(SMALL | {"images": [uri("red")], "duration": 2}))).json()["id"]
        shares = []
        while (body := await up.poll(task_id))["status"] == "in_progress":
            shares.append(body["progress"])
            await asyncio.sleep(0.01)
        assert shares == sorted(shares)
        assert shares[0] == 0.0
        assert len(set(shares)) >= 4
        assert shares[-1] <= 1.0


async def test_the_same_seed_gives_the_same_bytes_over_the_wire(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        first, again, other = [
            (await film(up, await made(up, seed=seed, images=[uri("red"), uri("blue")])))[0]
            for seed in (7, 7, 8)
        ]
        assert first == again != other


async def test_both_the_plain_and_the_marked_film_are_kept(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        done = await made(up, watermark=True, wm_position=1, wm_url=f"{up.url}/samples/red-fox.jpg")
        plain, seen = await film(up, done)
        marked, _ = await film(up, done, "watermarked_url")
        assert plain != marked
        assert seen.colour(0.5, 0.05, 0.05) == pytest.approx((255, 0, 0), abs=40)


async def test_images_are_downloaded_from_their_urls(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        done = await made(up, images=[f"{up.url}/samples/dusk-hills.jpg"])
        _, seen = await film(up, done)
        assert seen.colour(0.5, 0.5, 0.02) != pytest.approx((255, 0, 0), abs=60)


async def test_an_image_that_cannot_be_downloaded_fails_the_task(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        for address in (f"{up.url}/samples/nothing.jpg", "http://127.0.0.1:9/refused.jpg"):
            failed = await made(up, images=[address])
            assert (failed["status"], failed["error"]["code"]) == ("failed", "ImageDownloadFailure")


async def test_a_url_without_an_image_fails_the_task(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        failed = await made(up, images=[f"{up.url}/healthz"])
        assert failed["error"]["code"] == "ImageFormatInvalid"
        assert (await made(up))["status"] == "completed"


async def test_a_film_is_served_in_ranges(tmp_path: Path) -> None:
    async with running(tmp_path, render="full") as up:
        done = await made(up)
        whole, _ = await film(up, done)
        url = done["output"][0]["content"][0]["url"]
        async with httpx.AsyncClient() as anybody:
            part = await anybody.get(url, headers={"Range": "bytes=100-199"})
            tail = await anybody.get(url, headers={"Range": "bytes=-50"})
            beyond = await anybody.get(url, headers={"Range": f"bytes={len(whole)}-"})
            head = await anybody.head(url)
        assert (part.status_code, part.content) == (206, whole[100:200])
        assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
        assert tail.content == whole[-50:]
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(whole)))


@pytest.mark.parametrize("name", ["0" * 32 + ".mp4", "..%2Fledger.jsonl", "ledger.jsonl", "x.part"])
async def test_only_results_are_served(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as up:
        assert (await up.client.get(f"/files/{name}")).status_code == 404


async def test_samples_are_listed_and_served(tmp_path: Path) -> None:
    async with running(tmp_path) as up:
        listed = (await up.client.get("/samples")).json()["images"]
        assert len(listed) == 3
        reply = await up.client.get(listed[0])
        assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg")
        assert reply.content == (SAMPLES / listed[0].rsplit("/", 1)[1]).read_bytes()
        assert (await up.client.get("/samples/..%2Fapp.jpg")).status_code == 404


async def test_a_vidu_callback_shows_a_cover(tmp_path: Path) -> None:
    async with listening() as listener, running(tmp_path, render="full", style="vidu") as up:
        await made(up, callback_url=listener.url)
        await listener.heard(2)
        cover = next(iter((tmp_path / "files").glob("*.jpg"))).name
        assert cover.encode() in listener.calls[-1][1]
        reply = await up.client.get(f"/files/{cover}")
        assert reply.headers["content-type"] == "image/jpeg"
        with av.open(io.BytesIO(reply.content), "r") as still:
            assert still.streams.video[0].width == 540
