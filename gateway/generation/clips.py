"""Checks the length and size of inline clips, in a child process that may crash.

This needs a demultiplexer: C code that reads untrusted bytes. It runs in its own short-lived process
(`clip_probe.py`), without our environment and with little memory and time, so a malicious clip can at worst
get itself refused. The caller limits how many run at once. Needs PyAV (the extra `media`); without it, clips
are accepted without inspection, with a notice.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import Problem, Unavailable
from gateway.generation.clip_probe import EXIT_NO_PYAV, FACTS
from gateway.generation.media import InlineMedia, dimensions_fault

TOLERANCE_SECONDS = 0.1  # a clip cut at 8 s ends with the frame after it
_WALL_SECONDS = 30.0  # the probe's own limit on CPU time applies first, unless the machine is overloaded
_PROBE = Path(__file__).with_name("clip_probe.py")
_DEMUXER = {"mp4": "mov", "mov": "mov", "avi": "avi"}  # forced, so that a clip cannot choose another one
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")


@functools.cache
def can_inspect() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


async def inspect_clips(media: Sequence[InlineMedia]) -> list[Problem]:
    """A problem for each bad clip in `media`; images are ignored.

    Takes about 0.1 s for each clip. Raises `Unavailable` if the inspection itself could not run, which says
    nothing about the clip.
    """
    problems: list[Problem] = []
    for clip in media:
        if clip.kind == "video" and can_inspect():
            facts = await _probe(clip)
            fault = _fault(facts, clip.max_seconds)
            if fault is not None:
                problems.append(Problem(clip.param, *fault))
    return problems


async def _probe(clip: InlineMedia) -> tuple[int, int, float] | None:
    """Width, height and seconds as in `clip_probe.FACTS`; None if the clip cannot be read."""
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    command = (sys.executable, "-I", str(_PROBE), _DEMUXER[clip.extension])
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=null, env=environment
        )
    except OSError as error:
        raise Unavailable(f"the clip inspection could not be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(_WALL_SECONDS):
            output, _ = await process.communicate(clip.raw)
    except TimeoutError as error:
        raise Unavailable("the clip inspection took too long on this machine") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == EXIT_NO_PYAV:
        raise Unavailable("the clip inspection could not load PyAV")
    if process.returncode != 0 or len(output) != FACTS.size:
        return None
    width, height, seconds = FACTS.unpack(output)
    return int(width), int(height), float(seconds)


def _fault(facts: tuple[int, int, float] | None, max_seconds: float) -> tuple[str, str] | None:
    if facts is None:
        return "clip_unreadable", "cannot be read; export it again, for instance as H.264 in mp4"
    width, height, seconds = facts
    if not width or not height:
        return "clip_without_video", "has no video track; send a clip that has one"
    if seconds > max_seconds + TOLERANCE_SECONDS:
        limits = "one clip of up to 8 s, or two of up to 5 s each"
        return "clip_too_long", f"lasts {seconds:.1f} s and may last {max_seconds:g} s; send {limits}"
    return dimensions_fault(width, height)
