"""The picture of the pipeline's CPU: which part a stack counts for, and what is drawn."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest

from tests.benchmarks.cpu_picture import (
    CHECKS,
    DELIVERY,
    OTHER,
    RECORDS,
    SCRIPTS,
    SERVER,
    STORE,
    UPSTREAM,
    draw,
    shares,
)

SITE = "/venv/lib/python3.11/site-packages"
TREE = "/src"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("stack", "part"),
    [
        (f"run (x.py:1);submit ({TREE}/workers/submit.py:9);post ({SITE}/httpx/_models.py:3)", UPSTREAM),
        (f"run (x.py:1);deliver ({TREE}/workers/deliver.py:9);post ({SITE}/aiohttp/client.py:3)", DELIVERY),
        (
            f"run (x.py:1);query ({TREE}/gateway/upstream/http.py:9);get ({SITE}/aiohttp/client.py:3)",
            UPSTREAM,
        ),
        (f"run (x.py:1);data_received ({SITE}/aiohttp/client_proto.py:3)", UPSTREAM),
        (f"settle ({TREE}/gateway/settlement.py:9);read ({SITE}/redis/connection.py:3)", STORE),
        (f"settle ({TREE}/gateway/settlement.py:9);dump (orjson.py:3)", RECORDS),
        (f"app ({SITE}/starlette/routing.py:9);accept ({TREE}/gateway/intake/__init__.py:3)", CHECKS),
        (f"app ({SITE}/starlette/routing.py:9);wait (asyncio.py:3)", SERVER),
        ("run (x.py:1)", OTHER),
    ],
)
def test_a_stack_counts_for_the_innermost_part_that_is_known(stack: str, part: str) -> None:
    assert shares(f"{stack} 4\n") == {part: 1.0}


def test_shares_are_of_all_samples() -> None:
    assert shares(f"a ({SITE}/redis/client.py:1) 3\nb (x.py:1) 1\n") == {STORE: 0.75, OTHER: 0.25}


def test_the_picture_has_every_value_as_text_and_stays_on_its_page() -> None:
    costs = {
        "gateway": {SERVER: 1.25, CHECKS: 0.01},
        "worker": {UPSTREAM: 12.5, DELIVERY: 0.02, OTHER: 3.33},
        "store": {SCRIPTS: 2.75},
    }
    picture = ElementTree.fromstring(draw(costs))
    texts = {text.text for text in picture.iter(f"{SVG}text")}
    assert {f"{value:.2f}" for parts in costs.values() for value in parts.values()} <= texts
    assert {"1.26 ms", "15.85 ms", "2.75 ms"} <= texts
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for shape in picture.iter(f"{SVG}rect"):
        assert float(shape.get("x", "0")) + float(shape.attrib["width"]) <= width
        assert float(shape.get("y", "0")) + float(shape.attrib["height"]) <= height


def test_pieces_of_a_bar_do_not_overlap() -> None:
    picture = ElementTree.fromstring(draw({"worker": {UPSTREAM: 4.0, DELIVERY: 1.0, STORE: 2.0}}))
    bars = [shape for shape in picture.iter(f"{SVG}rect") if shape.get("height") == "40"]
    edges = [(float(bar.attrib["x"]), float(bar.attrib["x"]) + float(bar.attrib["width"])) for bar in bars]
    assert len(edges) == 3
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(edges))
