from __future__ import annotations

import pytest

from gateway.sandbox.render.script import frame_size


@pytest.mark.parametrize(
    ("resolution", "aspect_ratio", "size"),
    [
        ("540p", "16:9", (960, 540)),
        ("720p", "16:9", (1280, 720)),
        ("1080p", "16:9", (1920, 1080)),
        ("720p", "9:16", (720, 1280)),
        ("540p", "4:3", (720, 540)),
        ("1080p", "3:4", (1080, 1440)),
        ("540p", "1:1", (540, 540)),
    ],
)
def test_the_resolution_names_the_short_side(
    resolution: str, aspect_ratio: str, size: tuple[int, int]
) -> None:
    assert frame_size(resolution, aspect_ratio) == size
