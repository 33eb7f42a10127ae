"""The API's document, and answers checked against the shape that it has of them."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from pydantic import TypeAdapter

from gateway.web.openapi import document as openapi
from gateway.web.operation import Document

T = TypeVar("T")


@cache  # it takes a second to make
def document() -> Document:
    """Made once for all tests, which must leave it as it is."""
    return openapi.document()


def parsed(shape: type[T], raw: bytes | str) -> T:
    """The JSON as the shape. ValidationError if a key is missing, is one too many, or has another type."""
    return TypeAdapter(shape).validate_json(raw)
