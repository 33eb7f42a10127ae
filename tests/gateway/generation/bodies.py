"""Bodies of generation requests for tests, and what becomes of them."""

from __future__ import annotations

import json

import pytest

from gateway import generation
from gateway.errors import InvalidRequest, Notice, Problem
from gateway.generation import GenerationRequest, Limits

IMAGE = "https://cdn.example.com/hero.png"
CLIP = "https://cdn.example.com/move.mp4"
SMALLEST: dict[str, object] = {"model": "viduq2_pro_reference", "images": [IMAGE], "prompt": "A hero at dusk"}


def encoded(**changes: object) -> bytes:
    return json.dumps(SMALLEST | changes).encode()


def parse(limits: Limits | None = None, /, **changes: object) -> tuple[GenerationRequest, list[Notice]]:
    """The smallest request with changes. Fails unless it is accepted."""
    return generation.parse(encoded(**changes), limits or Limits())


def problems_of(raw: bytes, limits: Limits | None = None) -> list[Problem]:
    """Fails unless the body is refused."""
    with pytest.raises(InvalidRequest) as caught:
        generation.parse(raw, limits or Limits())
    return list(caught.value.problems)


def only_problem(limits: Limits | None = None, /, **changes: object) -> Problem:
    """The one problem of the smallest request with changes."""
    (problem,) = problems_of(encoded(**changes), limits)
    return problem
