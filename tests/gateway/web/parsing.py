"""Answers, checked against the shape that the document has of them."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def parsed(shape: type[T], raw: bytes | str) -> T:
    """The JSON as the shape. ValidationError if a key is missing, is one too many, or has another type."""
    return TypeAdapter(shape).validate_json(raw)
