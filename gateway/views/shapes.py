"""Decorators and types of the shapes that clients get, in responses and webhooks.

mypy checks the shapes where they are built, and the API's document is made from them. Nothing is validated at
run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import is_typeddict

JOB_ID: Final = "^job_[0-9A-HJKMNP-TV-Z]{26}$"


def _inherit_descriptions(schema: dict[str, Any], model: type[Any]) -> None:
    """Copies field descriptions from base classes: pydantic reads only those of a TypedDict's own fields."""
    for base in getattr(model, "__orig_bases__", ()):
        if is_typeddict(base):
            for name, text in _descriptions(base).items():
                schema["properties"][name].setdefault("description", text)


@cache  # a base has several heirs, and its docstrings are found by parsing the source
def _descriptions(model: type[Any]) -> dict[str, str]:
    fields = TypeAdapter(model).json_schema()["properties"]
    return {name: field["description"] for name, field in fields.items() if "description" in field}


#: For a TypedDict that allows no other keys. The docstring below a field describes it.
shape: Final = with_config(
    ConfigDict(extra="forbid", use_attribute_docstrings=True, json_schema_extra=_inherit_descriptions)
)
#: The same, but other keys are allowed.
open_shape: Final = with_config(
    ConfigDict(extra="allow", use_attribute_docstrings=True, json_schema_extra=_inherit_descriptions)
)


def extensible(words: Sequence[str]) -> Any:
    """A string that is one of `words` today. Later versions may add more."""
    return Field(json_schema_extra={"x-extensible-enum": list(words)})


Timestamp = Annotated[
    str, Field(examples=["2026-11-22T08:00:00.123Z"], json_schema_extra={"format": "date-time"})
]
JobId = Annotated[str, Field(pattern=JOB_ID)]
Count = Annotated[int, Field(ge=0)]
