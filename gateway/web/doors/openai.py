"""The routes of the OpenAI door: jobs as videos of OpenAI's API."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.assets import Variant
from gateway.doors.openai import words
from gateway.doors.openai.request import MODELS, ModelNotFound
from gateway.errors import Conflict, InvalidRequest, NotFound, Problem, StoreUnavailable, VariantUnavailable
from gateway.jobs import Job
from gateway.lifecycle import JobState
from gateway.tenants import Key
from gateway.web.api import posting
from gateway.web.api.content import serve_file
from gateway.web.api.links import delete_files
from gateway.web.api.owned import owned_job
from gateway.web.doors.openai_body import VideoBody
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Param, Params, choice, integer, text
from gateway.web.http.problems import Refusal
from gateway.web.schemas.jobs import JOB_ID
from gateway.web.state import State, state_of

#: Its client libraries wait so long between polls, if the first answer says so: the later ones do not count.
POLL_AFTER: Final = "openai-poll-after-ms"
_POLL_MS: Final = (2000, 10_000)
_POLL_PART: Final = 10  # of the time that such a video usually takes
#: A client that retries by itself does not repeat what was refused for good.
_FINAL: Final = {"x-should-retry": "false"}
_VARIANTS: Final = {
    "video": Variant.VIDEO,
    "thumbnail": Variant.COVER,
    "watermarked": Variant.WATERMARKED,
}
_PAGE: Final = 100
#: Pages that are read to fill one answer, if videos of them were deleted.
_MOST_PAGES: Final = 10


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


AFTER: Final = text("after", "Only videos after this one.", JOB_ID, "the id of a video")
LIMIT: Final = integer("limit", "Maximum number of videos to return.", 1, _PAGE, 20)
ORDER: Final = choice("order", "`asc`: oldest first.", Order, Order.DESC)
VARIANT: Final[Param[str]] = Param(
    "variant",
    "Which file: `video`, `thumbnail` or `watermarked`. There is no `spritesheet`.",
    {"type": "string", "default": "video"},
    str,
    "video",
)


async def create(request: Request, key: Key, params: Params) -> Response:
    """200 and the job as a video, also if an earlier attempt at this request made it."""
    state = state_of(request)
    body = VideoBody(request, _models(state))
    try:
        posted, _ = await posting.accept(request, key, params, words.OPENAI, body)
    except InvalidRequest as error:
        if body.translation is None or type(error) is not InvalidRequest:
            raise
        raise InvalidRequest(body.translation.reworded(error.problems)) from None
    except ModelNotFound as error:
        raise Refusal(404, str(error), [Problem("model", "model_not_found", str(error))]) from None
    if body.translation is not None and body.translation.user is not None:
        structlog.get_logger().info("video_user", job=posted.job.id, user=body.translation.user)
    headers = {
        "location": f"/v1/videos/{posted.job.id}",
        **await _poll_after(state, posted.job),
        **posting.headers_after(posted),
    }
    return json_answer(words.OPENAI.accepted(posted.job), 200, headers)


async def show(request: Request, key: Key, _: Params) -> Response:
    """The job as a video, at once."""
    job = await _owned(request, key)
    state = state_of(request)
    payload = await state.resources.jobs.payload(job)
    document = words.OPENAI.shown(job, payload, state.resources.result_link)
    return json_answer(document, 200, {} if job.final else await _poll_after(state, job))


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's jobs as videos, without those that it deleted. Clients take a page without a video for the
    last one, so it is that."""
    store, limit = state_of(request).resources.jobs, params[LIMIT]
    oldest_first = params[ORDER] is Order.ASC
    found: list[Job] = []
    last, wanted = params[AFTER], limit
    for pages in itertools.count(1):
        read = await store.page(key.tenant, list(JobState), last, wanted, oldest_first=oldest_first)
        found += [job for job in read.jobs if job.deleted_at is None]
        last, wanted = read.last, _PAGE
        if last is None or len(found) >= limit or (found and pages >= _MOST_PAGES):
            break
    if len(found) > limit:
        found = found[:limit]
        last = found[-1].id
    return json_answer(words.page(found, last))


async def delete(request: Request, key: Key, _: Params) -> Response:
    """Deletes the files, and shows the video no more. The job stays in `/v1/jobs`."""
    job = await _owned(request, key)
    if not job.final:
        message = f"the video is {job.status}; delete it when it is completed or failed"
        raise _refused("video_id", "video_not_final", message)
    try:
        await delete_files(state_of(request), lambda: _owned(request, key), with_job=True)
    except Conflict as error:
        raise _refused("video_id", "video_in_use", str(error)) from None
    return json_answer(words.deleted(job))


async def content(request: Request, key: Key, params: Params) -> Response:
    """The file, or a redirect to it."""
    job = await _owned(request, key)
    variant = _VARIANTS.get(params[VARIANT])
    if variant is None:
        raise VariantUnavailable(f"there is no such file; ask for {', '.join(_VARIANTS)}")
    return await serve_file(request, job, variant)


async def list_models(request: Request, _key: Key, _: Params) -> Response:
    """The names that `model` may have."""
    names = _models(state_of(request))
    return json_answer({"object": "list", "data": [words.model(name) for name in names]})


async def show_model(request: Request, _key: Key, _: Params) -> Response:
    """One of them."""
    name = request.path_params["model"]
    if name not in _models(state_of(request)):
        raise Refusal(
            404, f"no model {name[:64]}", [Problem("model", "model_not_found", "there is no such model")]
        )
    return json_answer(words.model(name))


async def unsupported(_request: Request, _key: Key, _: Params) -> Response:
    """What this model cannot do."""
    raise _refused("", "unsupported_operation", "this model only makes new videos; post to /v1/videos")


def _refused(param: str, code: str, message: str) -> Refusal:
    refusal = Refusal(400, message, [Problem(param, code, message)])
    refusal.headers = _FINAL
    return refusal


async def _owned(request: Request, key: Key) -> Job:
    job = await owned_job(request, key.tenant)
    if job.deleted_at is not None:
        raise NotFound("job", job.id, expires=True)
    return job


async def _poll_after(state: State, job: Job) -> dict[str, str]:
    """The header that tells a client when to ask again."""
    low, high = _POLL_MS
    typical = None
    with contextlib.suppress(StoreUnavailable):  # the job was accepted, and the answer must say so
        typical = await state.resources.durations.typical_ms(job)
    part = (low + high) // 2 if typical is None else typical // _POLL_PART
    return {POLL_AFTER: str(min(high, max(low, part)))}


def _models(state: State) -> Mapping[str, str]:
    more: Mapping[str, Any] = state.resources.settings.openai_models
    return {**MODELS, **more}
