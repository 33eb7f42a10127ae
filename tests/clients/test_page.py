"""docs/clients.md says what the tests of the clients prove."""

from __future__ import annotations

from pathlib import Path

from gateway.doors.openai.sizes import SIZES
from tests.clients.works import OPENAI, OPENAI_CLIENTS, table

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


def test_the_page_has_the_table_of_what_works() -> None:
    expected = table(OPENAI_CLIENTS, OPENAI)
    assert expected in PAGE, f"docs/clients.md should have:\n{expected}"


def test_the_page_has_every_size_in_its_place() -> None:
    ratios = ("16:9", "9:16", "4:3", "3:4", "1:1")
    for resolution in ("540p", "720p", "1080p"):
        sizes = [SIZES[shape] for ratio in ratios for shape in SIZES if shape == (resolution, ratio)]
        assert f"| {resolution} | {' | '.join(sizes)} |" in PAGE
