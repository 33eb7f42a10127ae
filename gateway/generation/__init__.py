"""A generation request: read from a body, told to the upstream, stored without its inline files.

`parse` tells every problem at once: the model (`generation_request`) refuses what one value alone can
break, the rules (`generation_rules`) what takes two fields, a setting or a look into a file. The length
and size of inline clips take a child process, so they are asked for apart, by `clips.inspect_clips`.

Stored params hold a reference (`blob:...`) in place of each inline file. No client can smuggle one in: a
media reference is an http(s) URL or a data URI, or it is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pydantic import ValidationError

from gateway import strict_json
from gateway.errors import InvalidRequest, Notice, Problem
from gateway.generation import messages
from gateway.generation.body import flat_fields
from gateway.generation.media import MIME_OF_EXTENSION, data_uri
from gateway.generation.model import GenerationRequest
from gateway.generation.rules import Limits, examine

__all__ = [
    "GenerationRequest",
    "Limits",
    "Notice",
    "attach_media",
    "detach_media",
    "parse",
    "upstream_params",
]

_REFERENCE_PREFIX = "blob:"
_OURS = frozenset({"model", "payload", "callback_url"})  # `model` stands beside the params on the wire


#: Every parameter and its place on the published page.
_PARAMETERS = {name: place for place, name in enumerate(GenerationRequest.model_fields)}


def parse(raw: bytes, limits: Limits) -> tuple[GenerationRequest, list[Notice]]:
    """A request out of a body. Raises `MalformedBody` when it is not JSON, else `InvalidRequest` with every
    problem at once, but for those of clips (`clips.inspect_clips`)."""
    fields, problems = flat_fields(strict_json.loads(raw), _PARAMETERS)
    found = examine(fields, limits)
    problems += found.problems
    try:
        request = GenerationRequest.model_validate(fields)
    except ValidationError as error:
        problems += messages.explain(error, fields)
    else:
        if not problems:
            request.hold(found.inline)
            return request, found.notices
    raise InvalidRequest(_in_page_order(problems))


def upstream_params(request: GenerationRequest) -> dict[str, object]:
    """What the upstream is told beside the model: the parameters which the client set and which say
    something. `duration` 0 does say something; no videos, seed 0 and off_peak false do not."""
    given = request.model_fields_set
    params = {name: getattr(request, name) for name in _PARAMETERS if name in given and name not in _OURS}
    for name in ("videos", "seed", "off_peak"):
        if not params.get(name):
            params.pop(name, None)
    return params


async def detach_media(
    request: GenerationRequest, put: Callable[[bytes, str], Awaitable[str]]
) -> dict[str, object]:
    """`upstream_params` with every inline file given to `put(raw, extension)` and replaced by the
    reference (`blob:...`) which that returns: small, and fit to be stored with the job."""
    params = upstream_params(request)
    references = {media.param: await put(media.raw, media.extension) for media in request.inline_media}
    for name in ("images", "videos"):
        given = getattr(request, name)
        if given:
            params[name] = [references.get(f"{name}[{at}]", url) for at, url in enumerate(given)]
    return params


async def attach_media(
    params: Mapping[str, object], read: Callable[[str], Awaitable[bytes]]
) -> dict[str, object]:
    """The reverse of `detach_media`: every reference replaced by the data URI of the file it names."""
    attached = dict(params)
    for name in ("images", "videos"):
        stored = params.get(name)
        if isinstance(stored, list):
            attached[name] = [await _attached(reference, read) for reference in stored]
    return attached


async def _attached(reference: str, read: Callable[[str], Awaitable[bytes]]) -> str:
    if not reference.startswith(_REFERENCE_PREFIX):
        return reference
    extension = reference.rpartition(".")[2]
    return data_uri(MIME_OF_EXTENSION[extension], await read(reference))


def _in_page_order(problems: list[Problem]) -> list[Problem]:
    """Each problem once, ordered as the published page orders the parameters."""

    def key(problem: Problem) -> tuple[int, str]:
        place = _PARAMETERS.get(problem.param.partition("[")[0])
        return (len(_PARAMETERS), "") if place is None else (place, problem.param)

    first: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.param, problem.code), problem)
    return sorted(first.values(), key=key)
