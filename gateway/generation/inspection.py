"""Inspects inline clips, and pictures that need it, in a child process that may crash.

This needs demultiplexers and decoders: C code that reads untrusted bytes. It runs in its own short-lived
process (`media_probe.py`), without our environment and with little memory and time, so a malicious file can
at worst get itself refused. The caller limits how many run at once. Needs PyAV (the extra `media`); without
it, files are accepted without inspection, with a notice.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.errors import Notice, Problem, Unavailable
from gateway.generation.file_types import Kind
from gateway.generation.media import InlineMedia, dimensions_fault
from gateway.generation.media_probe import EXIT_NO_PYAV, EXIT_TOO_LARGE, FACTS, SOURCES
from gateway.generation.still_image import size_of

TOLERANCE_SECONDS = 0.1  # a clip cut at 8 s ends with the frame after it
_WALL_SECONDS = 30.0  # the probe's own limit on CPU time applies first, unless the machine is overloaded
_PROBE = Path(__file__).with_name("media_probe.py")
_MAX_PIXELS = 250_000_000  # decoders refuse more as if it were damaged
_TOO_LARGE = ("media_too_large", "takes too much memory or time to decode; make it smaller, or send a URL")
_TOO_LARGE_CODES = (EXIT_TOO_LARGE, -9, -24)  # SIGKILL and SIGXCPU, which Windows has not
_UNREADABLE: dict[Kind, tuple[str, str]] = {
    "image": (
        "media_truncated",
        "ends too early or is damaged; send the complete file, or export it again",
    ),
    "video": ("clip_unreadable", "cannot be read; export it again, for instance as H.264 in mp4"),
}
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
Fault = tuple[str, str]


@functools.cache
def can_inspect() -> bool:
    """Whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def not_inspected(param: str, kind: Kind) -> Notice:
    """For a file that nobody could inspect."""
    what = "length and size" if kind == "video" else "size and completeness"
    code = "clip_not_inspected" if kind == "video" else "image_not_inspected"
    return Notice(param, code, f"{what} were not checked: PyAV is not installed on the gateway")


class Facts(NamedTuple):
    """Pixels, seconds (0 for a picture), which header says so, and whether the file is complete."""

    width: int
    height: int
    seconds: float
    source: int
    whole: bool


async def inspect_file(file: BinaryIO, kind: Kind, extension: str, max_seconds: float) -> Facts | Fault:
    """What a file is, or what is wrong with it. The child maps the file; nothing is read here. Raises
    `Unavailable` as `inspect` does."""
    code, output = await run_isolated(_PROBE, extension, source=file)
    if (fault := _failure(code)) is not None:
        return fault
    if code != 0 or len(output) != FACTS.size:
        return _UNREADABLE[kind]
    facts = Facts(*FACTS.unpack(output))
    return _fault(facts, kind, max_seconds) or facts


async def inspect(media: Sequence[InlineMedia]) -> list[Problem]:
    """A problem for each bad file in `media`; those that need no inspection are passed over.

    Takes about 0.1 s for each file. Raises `Unavailable` if the inspection itself could not run, which says
    nothing about the file.
    """
    problems: list[Problem] = []
    for file in media:
        if file.needs_inspection and can_inspect():
            fault = await _probe(file)
            if fault is not None:
                problems.append(Problem(file.param, *fault))
    return problems


async def _probe(file: InlineMedia) -> Fault | None:
    code, output = await run_isolated(_PROBE, file.extension, source=file.raw)
    if (fault := _failure(code)) is not None:
        return fault
    if code != 0 or len(output) != FACTS.size:
        return _unreadable(file)
    return _fault(Facts(*FACTS.unpack(output)), file.kind, file.max_seconds)


def _failure(code: int | None) -> Fault | None:
    """What an exit code alone proves. Raises Unavailable."""
    if code == EXIT_NO_PYAV:
        raise Unavailable("the inspection of media could not load PyAV")
    return _TOO_LARGE if code in _TOO_LARGE_CODES else None


async def run_isolated(
    probe: Path, *arguments: str, source: bytes | BinaryIO = b""
) -> tuple[int | None, bytes]:
    """Runs a script of ours that gets a file, or its bytes, on stdin, in a process that inherits nothing
    else. Its exit code and output. Raises Unavailable if it did not run, or not to its end."""
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    command = (sys.executable, "-I", str(probe), *arguments)
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    raw = source if isinstance(source, bytes) else None
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=pipe if isinstance(source, bytes) else source,
            stdout=pipe,
            stderr=null,
            env=environment,
        )
    except OSError as error:
        raise Unavailable(f"the inspection of media could not be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(_WALL_SECONDS):
            output, _ = await process.communicate(raw)
    except TimeoutError as error:
        raise Unavailable("the inspection of media took too long on this machine") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output


def _unreadable(file: InlineMedia) -> Fault:
    if file.kind == "image":
        width, height = size_of(file.raw) or (0, 0)
        if width * height > _MAX_PIXELS:
            return _TOO_LARGE
    return _UNREADABLE[file.kind]


def _fault(facts: Facts, kind: Kind, max_seconds: float) -> Fault | None:
    if not facts.whole:
        return "media_truncated", "ends too early; send the complete file"
    if not facts.width or not facts.height:
        return "clip_without_video", "has no video track; send a clip that has one"
    if kind == "video" and facts.seconds > max_seconds + TOLERANCE_SECONDS:
        says = SOURCES[facts.source] if facts.source < len(SOURCES) else "one of its headers"
        code, message = too_long(facts.seconds, max_seconds, f" according to {says}")
        if facts.source:
            message += ", and export it again if that header is wrong"
        return code, message
    return dimensions_fault(facts.width, facts.height)


def too_long(seconds: float, max_seconds: float, says: str = "") -> Fault:
    """`says`: what tells its length."""
    limits = "one clip of up to 8 s, or two of up to 5 s each"
    return "clip_too_long", f"is {seconds:.1f} s long{says}; the limit is {max_seconds:g} s: send {limits}"
