"""Operations that share and delete the files of a result: create a signed link, delete our copies."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from gateway import strict_json
from gateway.assets import FOLDER, Asset, AssetState, Variant
from gateway.errors import Conflict, InvalidRequest, Problem, not_one_of, shown
from gateway.jobs import Job, rfc3339
from gateway.media.links import content_link
from gateway.tenants import Key
from gateway.web.api.content import check_fetchable
from gateway.web.api.owned import owned_job
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.params import Params
from gateway.web.schemas.links import MAX_SECONDS, Link, LinkRequest
from gateway.web.server.hosts import own_base
from gateway.web.state import State, state_of

_MAX_BODY_BYTES: Final = 4096
_BODY_SECONDS: Final = 10.0
_DELETION_TRIES: Final = 5
_MAX_SHOWN_CHARACTERS: Final = 64
_EXPECTED: Final = {
    "variant": f"one of {', '.join(Variant)}",
    "seconds": f"whole seconds from 1 to {MAX_SECONDS}",
}


async def create(request: Request, key: Key, _: Params) -> Response:
    """The link. It ends with our copy at the latest."""
    state = state_of(request)
    async with JsonBody(request, key.tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        wanted = _parse(raw)
    job = await owned_job(request, key.tenant)
    check_fetchable(state, job, wanted.variant)
    expires_at = _until(state, job.assets.get(wanted.variant), wanted.seconds)
    base = own_base(request.scope, state.resources.settings)
    if base is None:
        raise Conflict(
            "this gateway does not know the address by which its clients reach it, so it cannot make a link; "
            "its operator must set GATEWAY_CLIENT_URL"
        )
    url = content_link(state.resources.keyring, base, job.id, wanted.variant, expires_at)
    link: Link = {
        "object": "link",
        "url": url,
        "variant": wanted.variant,
        "expires_at": rfc3339(expires_at * 1000),
    }
    return json_answer(link, 201)


def _until(state: State, asset: Asset | None, seconds: int) -> int:
    """Seconds since the epoch: after so many, or when our copy is deleted, if that is earlier."""
    until = int(state.resources.environment.clock()) + seconds
    if asset is None or asset.state is not AssetState.STORED or asset.expires_at is None:
        return until
    return min(until, asset.expires_at // 1000)


async def delete(request: Request, key: Key, _: Params) -> Response:
    """204. The job stays."""
    await delete_files(state_of(request), lambda: owned_job(request, key.tenant))
    return Response(status_code=204)


async def delete_files(state: State, read: Callable[[], Awaitable[Job]], *, with_job: bool = False) -> Job:
    """Deletes the files of the job that `read` finds, before that is recorded: a deletion that was
    interrupted can be repeated. `with_job`: as of `RedisAssets.delete`. Returns the job as it was."""
    resources = state.resources
    for _try in range(_DELETION_TRIES):
        job = await read()
        if job.assets:
            await resources.media.drop(f"{FOLDER}/{job.id}")
        elif not with_job:
            return job
        if await resources.assets.delete(job, with_job=with_job):
            return job
    raise Conflict("the files of this job keep changing at the moment; try again")


def _parse(raw: bytes) -> LinkRequest:
    """The body as the model. InvalidRequest lists every wrong field."""
    strict_json.loads(raw)  # refuses what the model's own parser accepts, such as duplicate keys
    try:
        return LinkRequest.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidRequest([_explain(detail) for detail in error.errors(include_url=False)[:20]]) from None


def _explain(detail: ErrorDetails) -> Problem:
    if not detail["loc"]:
        return Problem("", "not_an_object", "send one JSON object that holds the parameters, such as {}")
    name, value = str(detail["loc"][0]), detail["input"]
    param = name[:_MAX_SHOWN_CHARACTERS]
    match detail["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(param.lower(), _EXPECTED, n=1)
            way_out = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(_EXPECTED)}"
            return Problem(param, "unknown_parameter", f"is not a parameter; {way_out}")
        case "enum" if isinstance(value, str):
            return Problem(param, "not_one_of", not_one_of(value, str(detail["ctx"]["expected"])))
        case "greater_than_equal" | "less_than_equal":
            return Problem(param, "out_of_range", f"{shown(value)} is out of range; send {_EXPECTED[name]}")
        case _:
            return Problem(param, "wrong_type", f"send {_EXPECTED[name]}, not {shown(value)}")
