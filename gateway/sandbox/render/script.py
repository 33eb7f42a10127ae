"""The instructions for the renderer: one film, with every choice already made.

A script is sent as one line of JSON from the sandbox to a child process. Media and results are paths. The
same script and the same files give the same bytes (on one machine, with one version of the libraries).
"""

from __future__ import annotations

from dataclasses import dataclass

FPS = 24
_SHORT_SIDE = {"540p": 540, "720p": 720, "1080p": 1080}


@dataclass(frozen=True, slots=True)
class Script:
    """`mark_position`: 1 top-left, then clockwise; None: no marked copy. Lengths are in seconds."""

    images: tuple[str, ...]
    videos: tuple[str, ...]
    caption: str
    seconds: int
    width: int
    height: int
    seed: int
    music: bool
    film: str
    cover: str
    marked_film: str | None = None
    mark_position: int | None = None
    mark_image: str | None = None

    @property
    def frames(self) -> int:
        return self.seconds * FPS


def frame_size(resolution: str, aspect_ratio: str) -> tuple[int, int]:
    """Width and height in pixels: the resolution names the short side. Both are even, as 4:2:0 needs."""
    side = _SHORT_SIDE[resolution]
    across, down = (int(part) for part in aspect_ratio.split(":"))
    long_side = round(side * max(across, down) / min(across, down) / 2) * 2
    return (long_side, side) if across >= down else (side, long_side)
