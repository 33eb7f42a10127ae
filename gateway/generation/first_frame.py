"""Makes a picture of the first frame of a clip, in a child process that may crash (`frame_probe.py`)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.generation.file_types import sniff
from gateway.generation.inspection import run_isolated

_PROBE: Final = Path(__file__).with_name("frame_probe.py")
_MAX_BYTES: Final = 20_000_000


class NoFrame(Exception):
    """No picture can be made of the file: PyAV is missing, or cannot decode it."""


async def first_frame(clip: Path, extension: str) -> bytes:
    """The first frame of the file, as a JPEG of its size. `extension`: mp4, mov or avi. Takes about 0.2 s.
    Raises NoFrame; Unavailable if the child process could not run."""
    code, picture = await run_isolated(_PROBE, str(clip), extension)
    if code != 0 or sniff(picture[:64]) != "jpg" or len(picture) > _MAX_BYTES:
        raise NoFrame(f"the child process ended with {code} after {len(picture)} bytes")
    return picture
