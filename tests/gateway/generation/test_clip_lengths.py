"""A clip is as long as the longest that any of its headers, or its packets, say."""

from __future__ import annotations

import struct

import pytest

from gateway.errors import Problem
from gateway.generation import inspection
from gateway.generation.file_types import MIME_OF_EXTENSION
from gateway.generation.media import InlineMedia
from tests.gateway.generation.media_samples import clip

#: Where a length is in the content of a box of version 0, as ffmpeg writes it.
LENGTHS = {b"mvhd": 16, b"tkhd": 20, b"mdhd": 16, b"elst": 8}
FRAGMENTED = tuple(f"{flags}frag_keyframe+empty_moov" for flags in ("", "global_sidx+", "dash+"))


pytestmark = pytest.mark.usefixtures("forked_probe")


async def problems(raw: bytes, extension: str = "mp4") -> list[Problem]:
    mime = MIME_OF_EXTENSION[extension]
    file = InlineMedia("videos[0]", "video", mime, extension, raw, 8.0, needs_inspection=True)
    return await inspection.inspect([file])


def patched(raw: bytes, name: bytes, at: int, value: bytes) -> bytes:
    """With other bytes in the content of every box or chunk of this name."""
    changed, start = bytearray(raw), raw.find(name)
    assert start > 0
    while start > 0:
        at_content = start + 4 + at
        changed[at_content : at_content + len(value)] = value
        start = raw.find(name, start + 4)
    return bytes(changed)


def box(name: bytes, layout: str, *content: int | bytes) -> bytes:
    body = struct.pack(">" + layout, *content)
    return struct.pack(">I4s", len(body) + 8, name) + body


def movie(*boxes: bytes) -> bytes:
    """A movie with 1000 ticks a second that says nothing of its own length."""
    body = box(b"mvhd", "12xII80x", 1000, 0) + b"".join(boxes)
    return box(b"moov", f"{len(body)}s", body)


def track(*boxes: bytes) -> bytes:
    body = b"".join(boxes)
    return box(b"trak", f"{len(body)}s", body)


SCALE = box(b"mdhd", "12xII4x", 1000, 0)
SAYS_60_SECONDS = {
    "mvhd": box(b"moov", "116s", box(b"mvhd", "12xII88x", 1000, 60_000)),
    "mvhd, 64 bits": box(b"moov", "128s", box(b"mvhd", "B19xIQ88x", 1, 1000, 60_000)),
    "tkhd": movie(track(box(b"tkhd", "20xI60x", 60_000))),
    "tkhd, 64 bits": movie(track(box(b"tkhd", "B27xQ60x", 1, 60_000))),
    "mdhd": movie(track(box(b"mdhd", "12xII4x", 10, 600))),
    "mdhd, 64 bits": movie(track(box(b"mdhd", "B19xIQ4x", 1, 10, 600))),
    "elst": movie(track(box(b"elst", "4xIIiIIiI", 2, 20_000, -1, 0x10000, 40_000, 0, 0x10000))),
    "elst, 64 bits": movie(track(box(b"elst", "B3xIQqI", 1, 1, 60_000, 0, 0x10000))),
    "stts": movie(track(SCALE, box(b"stts", "4xIIIII", 2, 10, 2000, 20, 2000))),
    "mehd": movie(box(b"mvex", "16s", box(b"mehd", "4xI", 60_000))),
    "mehd, 64 bits": movie(box(b"mvex", "20s", box(b"mehd", "B3xQ", 1, 60_000))),
    "sidx": box(b"sidx", "8xI8x2xHIII", 1000, 1, 0, 60_000, 0),
    "sidx, 64 bits": box(b"sidx", "B7xI16x2xHIII", 1, 1000, 1, 0, 60_000, 0),
}


@pytest.mark.parametrize("name", LENGTHS)
async def test_one_header_that_says_less_does_not_make_a_clip_shorter(name: bytes) -> None:
    (problem,) = await problems(patched(clip(9.0), name, LENGTHS[name], struct.pack(">I", 1)))
    assert problem.code == "clip_too_long"
    assert "9.0 s" in problem.message


async def test_packets_show_the_length_if_every_header_says_less() -> None:
    raw = clip(9.0)
    for name, at in LENGTHS.items():
        raw = patched(raw, name, at, struct.pack(">I", 1))
    (problem,) = await problems(raw)
    assert "9.0 s long according to its packets" in problem.message


@pytest.mark.parametrize(("name", "at"), [(b"avih", 16), (b"strh", 32)])
async def test_packets_show_the_length_of_an_avi_whose_header_says_less(name: bytes, at: int) -> None:
    (problem,) = await problems(
        patched(clip(9.0, container="avi"), name, 4 + at, struct.pack("<I", 1)), "avi"
    )
    assert (problem.code, "9.0 s" in problem.message) == ("clip_too_long", True)


@pytest.mark.parametrize("flags", FRAGMENTED)
async def test_fragments_count(flags: str) -> None:
    assert await problems(clip(2.0, flags=flags)) == []
    (problem,) = await problems(clip(9.0, flags=flags))
    assert (problem.code, "9.0 s" in problem.message) == ("clip_too_long", True)


@pytest.mark.parametrize("header", SAYS_60_SECONDS)
async def test_a_header_that_says_more_is_named(header: str) -> None:
    (problem,) = await problems(clip(1.0) + SAYS_60_SECONDS[header])
    assert problem.code == "clip_too_long"
    assert problem.message.startswith("is 60.0 s long according to ")
    assert f"({header[:4]})" in problem.message
    assert "export it again" in problem.message


@pytest.mark.parametrize(("name", "at", "source"), [(b"avih", 16, "avih"), (b"strh", 32, "strh")])
async def test_a_header_of_an_avi_that_says_more_is_named(name: bytes, at: int, source: str) -> None:
    raw = patched(clip(1.0, container="avi"), name, 4 + at, struct.pack("<I", 600))
    (problem,) = await problems(raw, "avi")
    assert problem.message.startswith("is 60.0 s long according to ")
    assert f"({source})" in problem.message


@pytest.mark.parametrize("name", LENGTHS)
async def test_a_header_that_does_not_know_the_length_says_nothing(name: bytes) -> None:
    assert await problems(patched(clip(2.0), name, LENGTHS[name], b"\xff" * 4)) == []


@pytest.mark.parametrize(
    "damage", [b"\0\0\0\x0csidx\1\0\0\0", b"\0\0\0\x0cstts\0\0\0\0", b"\0\0\0\x03free", b"\0\0\0\1free"]
)
async def test_a_damaged_box_behind_a_good_clip_says_nothing(damage: bytes) -> None:
    assert await problems(clip(2.0) + damage) == []
