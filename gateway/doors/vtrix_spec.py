"""The models that the Vtrix door offers, as Vtrix's own client asks for them.

That client has no address of its own: it posts to `api.endpoint` of a model's spec, and drops every parameter
that the spec does not list. So the list is drawn from the model of the published parameters.
"""

from __future__ import annotations

import math
from typing import Any, Final

from gateway.doors.base import Document
from gateway.generation.model import PUBLISHED_MODELS, GenerationRequest

PATH: Final = "/model/v1/generation"
_NAME: Final = "Vidu Q2 Pro - Reference to Video"
_TYPE: Final = "video"
_ABOUT: Final = "Makes a video from reference images and clips, with the subjects that they show."
_TYPES: Final = {"integer": "int"}
#: The client counts bytes, and we count characters. One has at most 4 bytes in UTF-8.
_BYTES: Final = 4


def models(page: int, page_size: int, kind: str | None, keywords: str | None) -> Document:
    """A page of the models, and how many there are. `kind`: of what they make. `keywords`: words of a name
    or description."""
    found = [_model(name) for name in PUBLISHED_MODELS]
    if kind is not None:
        found = [one for one in found if one["type"] == kind]
    for word in (keywords or "").lower().split():
        found = [one for one in found if word in " ".join(map(str, one.values())).lower()]
    return {
        "models": found[(page - 1) * page_size : page * page_size],
        "total": len(found),
        "page": page,
        "page_size": page_size,
        "total_pages": math.ceil(len(found) / page_size),
    }


def _model(name: str) -> Document:
    return {
        "id": name,
        "name": _NAME,
        "type": _TYPE,
        "description": _ABOUT,
        "input_modalities": ["text", "image", "video"],
        "output_modalities": ["video"],
    }


def spec(name: str, base_url: str) -> Document | None:
    """How to call the model at the gateway that clients reach at `base_url`; None for an unknown model."""
    if name not in PUBLISHED_MODELS:
        return None
    schema = GenerationRequest.model_json_schema()
    parameters = [
        _parameter(field, shape, required=field in schema["required"])
        for field, shape in schema["properties"].items()
        if field != "model"  # sent beside the parameters
    ]
    return {
        "model_id": name,
        "name": _NAME,
        "vendor": "vidu",
        "type": _TYPE,
        "api": {
            "endpoint": f"{base_url}{PATH}",
            "method": "POST",
            "headers": {"Content-Type": "application/json", "Authorization": "Bearer YOUR_API_KEY"},
        },
        "parameters": parameters,
        "agent_prompt": _help(parameters),
    }


def _help(parameters: list[Document]) -> str:
    """What the client shows to people."""
    lines = [
        f"- {one['name']} ({one['type']}{', required' if one['required'] else ''}): {one['description']}"
        for one in parameters
    ]
    return "\n".join([_ABOUT, "", *lines])


def _parameter(name: str, shape: dict[str, Any], *, required: bool) -> Document:
    # One that may be null is described by what it is otherwise.
    inner = next((one for one in shape.get("anyOf", ()) if one.get("type") != "null"), shape)
    kind = inner["type"]
    described: Document = {
        "name": name,
        "path": f"input[].params.{name}",
        "type": _TYPES.get(kind, kind),
        "required": required,
        "description": shape.get("description", ""),
    }
    longest = inner.get("maxLength")
    constraints = {
        "enum": [str(word) for word in inner["enum"]] if "enum" in inner else None,
        "default": shape.get("default"),
        "min": inner.get("minimum"),
        "max": inner.get("maximum"),
        "min_length": inner.get("minLength"),
        "max_length": None if longest is None else _BYTES * longest,
        "max_items": inner.get("maxItems"),
    }
    if given := {name: value for name, value in constraints.items() if value is not None}:
        described["constraints"] = given
    return described
