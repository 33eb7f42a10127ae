"""Translates a `POST /v1/videos`, a form or JSON, into the parameters of `/v1/jobs`.

Everything that is wrong is told at once, in the client's names. Nothing is changed in silence: a size that
this model lacks is refused, or replaced with a warning. Files are told apart by their first bytes: clients
call a picture `.png` whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.doors.openai.sizes import NEAREST, SHAPES
from gateway.errors import MAX_SHOWN_CHARACTERS, GatewayError, Notice, Problem, shown
from gateway.generation import data_uris
from gateway.generation.file_types import EXTENSIONS, HEAD_BYTES, sniff
from gateway.generation.media import unknown_type_message
from gateway.generation.model import PUBLISHED_MODELS

#: Another name for the model, as the vendor's own documentation calls it.
_MODEL: Final = PUBLISHED_MODELS[0]
MODELS: Final[Mapping[str, str]] = {**{name: name for name in PUBLISHED_MODELS}, "viduq2-pro": _MODEL}
#: Names under which clients send pictures, and those under which they send clips.
_PICTURES: Final = ("images", "image", "reference_images")
_CLIPS: Final = ("videos", "reference_videos")
_REFERENCE: Final = "input_reference"
_REFERENCES: Final = frozenset({_REFERENCE, *_PICTURES, *_CLIPS})
#: Parameters of ours under the same names.
_SAME: Final = (
    *("prompt", "bgm", "seed", "watermark", "wm_position", "wm_url", "payload", "callback_url"),
    *("aspect_ratio", "resolution", "off_peak", "meta_data"),
)
_KNOWN: Final = frozenset({*_SAME, *_REFERENCES, "model", "seconds", "size", "user", "n"})
_NUMBERS: Final = frozenset({"seed", "wm_position", "n"})
_FLAGS: Final = frozenset({"bgm", "watermark", "off_peak"})
_WHOLE: Final = re.compile(r"[0-9]{1,18}\Z")
_INDEXED: Final = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]\Z")
_MAX_UNKNOWN: Final = 20
_MAX_USER_CHARACTERS: Final = 64
_HINTS: Final = {
    "duration": "is not a parameter here; send seconds",
    "metadata": "is not kept here; send your own text as payload",
}
_NO_PICTURE: Final = (
    "is required: this model needs at least one picture; send input_reference as a file, or images as URLs"
)


@dataclass(frozen=True, slots=True)
class File:
    """A file of a form."""

    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form. `value`: text, or a file."""

    name: str
    value: str | File


class ModelNotFound(GatewayError):
    """The request names a model that this service does not have."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        asked = name[:MAX_SHOWN_CHARACTERS]
        super().__init__(f"the model {asked} does not exist here; send {' or '.join(known)}, or no model")


@dataclass(slots=True)
class Translation:
    """`document`: of ours. `user`: who the client says uses it."""

    document: dict[str, object] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    user: str | None = None
    _places: dict[str, str] = field(default_factory=lambda: {"duration": "seconds", "images": _REFERENCE})

    def refuse(self, param: str, code: str, message: str) -> None:
        self.problems.append(Problem(param[:MAX_SHOWN_CHARACTERS], code, message))

    def add(self, kind: str, reference: str, param: str) -> None:
        """`kind`: images or videos."""
        found = self.document.setdefault(kind, [])
        assert isinstance(found, list)
        self._places[f"{kind}[{len(found)}]"] = param
        found.append(reference)

    def reworded(self, problems: Sequence[Problem]) -> list[Problem]:
        """Problems of ours in the client's names."""
        bad_reference = any(one.param.partition("[")[0] in _REFERENCES for one in self.problems)
        found = []
        for one in problems:
            if one.param == "images" and one.code in ("required", "too_few"):
                if bad_reference:  # there was one, and what is wrong with it is told already
                    continue
                one = replace(one, message=_NO_PICTURE)
            found.append(replace(one, param=self._places.get(one.param, one.param)))
        return found


def of_form(parts: Sequence[Part], models: Mapping[str, str] = MODELS) -> Translation:
    """The same for a form, whose values are texts and files. Only here a text becomes a number or a truth
    value. `name[]`, `name[0]` and a repeated name make a list, `name[key]` an object."""
    document: dict[str, Any] = {}
    problems: list[Problem] = []
    for part in parts:
        inside = _INDEXED.match(part.name)
        name, key = (inside[1], inside[2]) if inside else (part.name, None)
        fault = None
        if isinstance(part.value, File) and name not in _REFERENCES:
            fault = "wrong_type", "is a file; send a text"
        elif not _put(document, name, key, _of_text(part)):
            fault = "given_twice", "is given twice; send it once"
        if fault is not None:
            problems.append(Problem(part.name[:MAX_SHOWN_CHARACTERS], *fault))
    found = of_json(document, models)
    found.problems[:0] = problems
    return found


def of_json(document: Mapping[str, Any], models: Mapping[str, str] = MODELS) -> Translation:
    """A request's JSON object in our parameters. Null is as nothing. `models`: {a name: the model that
    it means}, first the one that is meant without a name. Raises ModelNotFound."""
    found = Translation()
    for name in _SAME:
        if document.get(name) is not None:
            found.document[name] = document[name]
    found.document["model"] = _model(found, document.get("model"), models)
    _seconds(found, document.get("seconds"))
    _size(found, document.get("size"))
    for name, item, param in _references(document):
        _reference(found, "videos" if name in _CLIPS else "images", item, param)
    if (user := document.get("user")) is not None:
        if isinstance(user, str):
            found.user = user[:_MAX_USER_CHARACTERS]
        else:
            found.refuse("user", "wrong_type", f"send a string, not {shown(user)}")
    if document.get("n") not in (None, 1) or isinstance(document.get("n"), bool):
        found.refuse("n", "out_of_range", "only one video is made at a time; send 1, or leave it out")
    unknown = [name for name in document if name not in _KNOWN]
    for name in unknown[:_MAX_UNKNOWN]:
        found.refuse(name, "unknown_parameter", _HINTS.get(name, "is not a parameter here; leave it out"))
    return found


def _put(document: dict[str, Any], name: str, key: str | None, value: object) -> bool:
    """Puts the value of a field into the document; False if there is another. `key`: in its brackets."""
    if key and not key.isdecimal():
        held = document.setdefault(name, {})
        if not isinstance(held, dict) or key in held:
            return False
        held[key] = value
    elif name in _REFERENCES:
        held = document.setdefault(name, [])
        if not isinstance(held, list):
            return False
        held.append(value)
    elif name in document:
        return False
    else:
        document[name] = value if key is None else [value]
    return True


def _of_text(part: Part) -> Any:
    """The value of a part, as JSON would have it. What is no number stays a text, which is refused later."""
    value = part.value
    if isinstance(value, File):
        return value
    if part.name in _NUMBERS and _WHOLE.match(value):
        return int(value)
    if part.name in _FLAGS and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value


def _model(found: Translation, asked: object, models: Mapping[str, str]) -> str:
    if asked is None:
        return next(iter(models.values()))
    if not isinstance(asked, str):
        found.refuse("model", "wrong_type", f"send a string, not {shown(asked)}")
        return next(iter(models.values()))
    if asked not in models:
        raise ModelNotFound(asked, list(dict.fromkeys(models.values())))
    return models[asked]


def _seconds(found: Translation, seconds: object) -> None:
    """A text in OpenAI's API, and a number in others. Their limits are those of the duration."""
    if seconds is None:
        return
    if isinstance(seconds, str):
        if not _WHOLE.match(seconds):
            message = f'send whole seconds from 0 to 10 such as "5", not {shown(seconds)}'
            found.refuse("seconds", "wrong_type", message)
            return
        seconds = int(seconds)
    found.document["duration"] = seconds


def _size(found: Translation, size: object) -> None:
    if size is None:
        return
    true = NEAREST.get(size, size) if isinstance(size, str) else None
    shape = SHAPES.get(true) if true else None
    if shape is None:
        found.refuse("size", "not_one_of", f"{shown(size)} is not one of {', '.join(SHAPES)}")
        return
    if true != size:
        message = f"this model has no {size}; the video will have {true}"
        found.notices.append(Notice("size", "size_replaced", message))
    for name, value in shape._asdict().items():
        if found.document.setdefault(name, value) != value:
            given = shown(found.document[name])
            message = f"{given} does not fit size {size}, which means {value}; send one of them"
            found.refuse(name, "contradicts_size", message)


def _references(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(name, item, place) of each reference: first `input_reference`, then the others as they come."""
    for name in sorted(document, key=lambda name: name != _REFERENCE):
        if name not in _REFERENCES or (value := document[name]) is None:
            continue
        if not isinstance(value, list):
            yield name, value, name
        elif len(value) == 1:
            yield name, value[0], name
        else:
            yield from ((name, item, f"{name}[{at}]") for at, item in enumerate(value))


def _reference(found: Translation, kind: str, item: Any, param: str) -> None:
    """One picture or clip: a file, a text, or an object that holds one."""
    if isinstance(item, dict):
        reader = next((name for name in item if name in _OBJECTS), None)
        value = item[reader] if reader else None
        if len(item) != 1 or not isinstance(value, str):
            names = ", ".join(_OBJECTS)
            found.refuse(param, "wrong_type", f"send an object with one of {names}, which is a string")
            return
        assert reader is not None
        kind, item = _OBJECTS[reader](kind), value
    if isinstance(item, File):
        extension = sniff(item.raw[:HEAD_BYTES])
        if extension is None:
            found.refuse(
                param, "media_unknown", unknown_type_message(item.raw[:HEAD_BYTES], "image", "video")
            )
            return
        kind = "videos" if extension in EXTENSIONS["video"] else "images"
        item = data_uris.write(extension, item.raw)
    if not isinstance(item, str):
        message = f"send a file, a URL as a string, or an object with image_url, not {shown(item)}"
        found.refuse(param, "wrong_type", message)
        return
    if item[:11].lower() == "data:video/":
        kind = "videos"
    found.add(kind, item, param)


_OBJECTS: Final[Mapping[str, Callable[[str], str]]] = {
    "image_url": lambda _: "images",
    "video_url": lambda _: "videos",
    "file_id": lambda kind: kind,
}
