"""The pictures for demos, and the film that stands for every result, are as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from gateway.sandbox.results import SAMPLES
from gateway.sandbox.task_runner import PLACEHOLDER
from tests.gateway.sandbox.render.films import look


def test_the_samples_are_there() -> None:
    assert sorted(path.name for path in SAMPLES.iterdir()) == [
        *("dusk-hills.jpg", "lantern-street.jpg", "placeholder.mp4", "red-fox.jpg"),
    ]


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_a_sample_is_a_small_file_of_a_good_size(path: Path) -> None:
    assert path.stat().st_size <= 120 * 1024
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (1280, 960))


def test_the_placeholder_is_a_film() -> None:
    seen = look(SAMPLES / PLACEHOLDER)
    assert (seen.codec, seen.seconds, seen.width) == ("h264", 1.0, 160)
