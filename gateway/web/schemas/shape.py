"""What every schema of an answer has in common."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import is_typeddict


def _inherit_descriptions(schema: dict[str, Any], model: type[Any]) -> None:
    """pydantic reads the docstrings of a TypedDict's own fields, and not those of its bases."""
    for base in getattr(model, "__orig_bases__", ()):
        if is_typeddict(base):
            for name, field in TypeAdapter(base).json_schema()["properties"].items():
                if "description" in field:
                    schema["properties"][name].setdefault("description", field["description"])


#: Of a TypedDict: no other key than these; the docstring below a field describes it.
shape: Final = with_config(
    ConfigDict(extra="forbid", use_attribute_docstrings=True, json_schema_extra=_inherit_descriptions)
)
#: The same; other keys may come.
open_shape: Final = with_config(
    ConfigDict(extra="allow", use_attribute_docstrings=True, json_schema_extra=_inherit_descriptions)
)
