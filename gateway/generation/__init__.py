"""A generation request: parses it from a body, and converts it for the upstream and for storage.

`parse` reports every problem at once. The model (`gateway.generation.model`) checks each value alone. The
rules (`gateway.generation.rules`) check what depends on two fields, on a setting or on the bytes of a file.
Inline clips, and images in doubt, need a child process, so `inspection.inspect` checks them separately.

Stored parameters hold a reference (`blob:...`, `upload:...`) in place of each inline file and upload. A
client cannot send such a reference itself: it must be an http(s) URL, a data URI, or the id of an upload.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from pydantic import ValidationError

from gateway import strict_json
from gateway.errors import InvalidRequest, Notice, Problem
from gateway.generation import data_uris, messages
from gateway.generation.body import flat_fields
from gateway.generation.model import GenerationRequest
from gateway.generation.rules import Limits, examine

__all__ = [
    "GenerationRequest",
    "Incoming",
    "Limits",
    "Notice",
    "attach_media",
    "detach_media",
    "parse",
    "refer",
    "upstream_params",
]

_REFERENCE_PREFIX = "blob:"
_UPLOAD_PREFIX = "upload:"
#: Not sent with the parameters: `model` is sent beside them, the others belong to the gateway.
_OURS = frozenset({"model", "payload", "callback_url"})


class Incoming(NamedTuple):
    """A body as a document of ours. `problems`, `notices`: what was found while it was translated from the
    words of another API."""

    document: object
    problems: Sequence[Problem] = ()
    notices: Sequence[Notice] = ()


def from_json(raw: bytes) -> Incoming:
    """The default of `read`: a body of ours."""
    return Incoming(strict_json.loads(raw))


#: Every parameter and its position in the published documentation.
_PARAMETERS = {name: position for position, name in enumerate(GenerationRequest.model_fields)}


def parse(
    raw: bytes, limits: Limits, read: Callable[[bytes], Incoming] = from_json
) -> tuple[GenerationRequest, list[Notice]]:
    """Parses a body into a request and notices. `read`: turns a body of another API into a document of ours.

    Raises `MalformedBody` if the body is not JSON, or `InvalidRequest` with every problem at once, except
    those that `inspection.inspect` finds.
    """
    incoming = read(raw)
    fields, problems = flat_fields(incoming.document, _PARAMETERS)
    found = examine(fields, limits)
    problems += [*found.problems, *incoming.problems]
    try:
        request = GenerationRequest.model_validate(fields)
    except ValidationError as error:
        problems += messages.explain(error, fields)
    else:
        if not problems:
            request.attach_media(found.inline, found.uploads)
            return request, [*found.notices, *incoming.notices]
    raise InvalidRequest(_in_page_order(problems))


def upstream_params(request: GenerationRequest) -> dict[str, object]:
    """The parameters to send to the upstream beside the model: those that the client set.

    Left out, because they mean the same as absent: an empty `videos`, seed 0 and off_peak false. A
    `duration` of 0 has a meaning and is sent.
    """
    given = request.model_fields_set
    params = {name: getattr(request, name) for name in _PARAMETERS if name in given and name not in _OURS}
    for name in ("videos", "seed", "off_peak"):
        if not params.get(name):
            params.pop(name, None)
    return params


async def detach_media(
    request: GenerationRequest,
    put: Callable[[bytes, str], Awaitable[str]],
    uploads: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, object]:
    """The `upstream_params`, small enough to store with the job: every inline file is replaced by a
    reference (`blob:...`). `put(raw, extension)` stores a file and returns its reference. `uploads`: the
    references of uploads, by their places such as `images[2]`."""
    references = {media.param: await put(media.raw, media.extension) for media in request.inline_media}
    return refer(request, references | dict(uploads))


def refer(request: GenerationRequest, references: Mapping[str, str]) -> dict[str, object]:
    """The `upstream_params` with these references, by their places such as `images[2]`."""
    params = upstream_params(request)
    if references:
        for name in ("images", "videos"):
            if given := getattr(request, name):
                params[name] = [references.get(f"{name}[{at}]", url) for at, url in enumerate(given)]
    return params


async def attach_media(
    params: Mapping[str, object],
    read: Callable[[str], Awaitable[bytes]],
    upload: Callable[[str], Awaitable[str]] | None = None,
) -> dict[str, object]:
    """The reverse of `detach_media`: replaces every reference by the data URI of its file. `upload`: what the
    upstream gets for the reference of an upload."""
    attached = dict(params)
    for name in ("images", "videos"):
        stored = params.get(name)
        if isinstance(stored, list):
            attached[name] = [await _attached(reference, read, upload) for reference in stored]
    return attached


async def _attached(
    reference: str,
    read: Callable[[str], Awaitable[bytes]],
    upload: Callable[[str], Awaitable[str]] | None,
) -> str:
    if upload is not None and reference.startswith(_UPLOAD_PREFIX):
        return await upload(reference)
    if not reference.startswith(_REFERENCE_PREFIX):
        return reference
    extension = reference.rpartition(".")[2]
    return data_uris.write(extension, await read(reference))


def _in_page_order(problems: list[Problem]) -> list[Problem]:
    """Each problem once, in the order of the parameters in the published documentation."""

    def key(problem: Problem) -> tuple[int, str]:
        position = _PARAMETERS.get(problem.param.partition("[")[0])
        return (len(_PARAMETERS), "") if position is None else (position, problem.param)

    first: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.param, problem.code), problem)
    return sorted(first.values(), key=key)
