"""Answers that have the form of their schema."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import TypeAdapter


def checked(answer: httpx.Response, schema: Any) -> Any:
    """The answer's JSON; fails if it is not as the schema says."""
    TypeAdapter(schema).validate_json(answer.content)
    return answer.json()
