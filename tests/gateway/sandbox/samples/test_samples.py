from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageChops

from gateway.sandbox.app import SAMPLES
from gateway.sandbox.samples.draw import PICTURES
from gateway.sandbox.samples.paper import HEIGHT, WIDTH
from gateway.sandbox.task_runner import PLACEHOLDER
from tests.gateway.sandbox.render.films import look


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jpg")), ids=lambda path: path.stem)
def test_a_sample_is_a_small_file_of_a_good_size(path: Path) -> None:
    assert path.stat().st_size <= 120 * 1024
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (1280, 960))


def test_every_sample_has_its_program() -> None:
    assert sorted(path.stem for path in SAMPLES.glob("*.jpg")) == sorted(PICTURES)


def test_the_committed_picture_is_what_the_program_draws() -> None:
    drawn = PICTURES["dusk-hills"]().resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    with Image.open(SAMPLES / "dusk-hills.jpg") as kept:
        difference = ImageChops.difference(drawn, kept.convert("RGB")).resize((8, 6), Image.Resampling.BOX)
    assert max(level for _, level in difference.getextrema()) <= 6  # type: ignore[misc]


def test_the_placeholder_is_a_film() -> None:
    seen = look(SAMPLES / PLACEHOLDER)
    assert (seen.codec, seen.seconds, seen.width) == ("h264", 1.0, 160)
