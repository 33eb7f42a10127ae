"""Pixels of a video for each resolution and shape that this model renders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Shape(NamedTuple):
    resolution: str
    aspect_ratio: str


_WIDE: Final[Mapping[str, Mapping[str, str]]] = {
    "540p": {"16:9": "960x528", "4:3": "816x608", "1:1": "720x720"},
    "720p": {"16:9": "1280x720", "4:3": "1104x816", "1:1": "960x960"},
    "1080p": {"16:9": "1920x1080", "4:3": "1674x1238", "1:1": "1440x1440"},
}


def _turned(text: str, mark: str) -> str:
    return mark.join(reversed(text.split(mark)))


SIZES: Final[Mapping[Shape, str]] = {
    shape: size
    for resolution, of_ratio in _WIDE.items()
    for ratio, wide in of_ratio.items()
    for shape, size in (
        (Shape(resolution, ratio), wide),
        (Shape(resolution, _turned(ratio, ":")), _turned(wide, "x")),
    )
}
SHAPES: Final[Mapping[str, Shape]] = {size: shape for shape, size in SIZES.items()}
#: Sizes of OpenAI's own models that this one does not have, and the nearest that it has.
NEAREST: Final[Mapping[str, str]] = {"1792x1024": "1920x1080", "1024x1792": "1080x1920"}
