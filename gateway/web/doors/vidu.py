"""The routes of the Vidu door: jobs in the words of Vidu's own platform."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway import cancellation, strict_json
from gateway.doors import vidu
from gateway.doors.vidu import VIDU
from gateway.errors import InvalidRequest, Problem
from gateway.generation import GenerationRequest
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS, JOB_ID, Job
from gateway.lifecycle import JobState, states_of
from gateway.store.base import JobStore
from gateway.store.paging import Made
from gateway.tenants import Key, Scope
from gateway.web.api import posting
from gateway.web.api.owned import owned_job
from gateway.web.http.answers import json_answer
from gateway.web.http.bodies import JsonBody
from gateway.web.http.params import InvalidValue, Param, Params, integer, moment, several, text
from gateway.web.operation import Document, Operation, Reply
from gateway.web.schemas import jobs as job_schemas
from gateway.web.schemas import vidu as schemas
from gateway.web.state import State, state_of

_MAX_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0
_WEEK_MS: Final = 7 * 86_400_000
_MAX_IDS: Final = 100
_VERSION: Final = "q2-pro"
#: The states of jobs behind each state of a task. None stays created: that is only the answer to the POST.
_STATES: Final = {vidu.CREATED: frozenset[JobState]()} | {
    word: frozenset(
        state for status, one in vidu.STATES.items() if one == word for state in states_of(status)
    )
    for word in vidu.STATES.values()
}


def _ids(text: str) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(text.split(",")))
    if len(ids) > _MAX_IDS:
        raise InvalidValue("too_many", f"are {len(ids)}; ask for at most {_MAX_IDS}")
    return ids


_FROM: Final = moment("created_at.from", "Only tasks created at this time or later. Default: 7 days ago.")
_TO: Final = moment("created_at.to", "Only tasks created at this time or earlier.")
_STATE: Final = several("states", "Only tasks in one of these states.", {word: word for word in _STATES})
_TASK_IDS: Final[Param[tuple[str, ...]]] = Param(
    "task_ids",
    "Only these tasks, on one page: the `pager` does not count then, nor the default of `created_at.from`.",
    {"type": "array", "items": {"type": "string"}, "maxItems": _MAX_IDS},
    _ids,
    (),
    repeatable=True,
)
_VERSIONS: Final[Param[tuple[str, ...]]] = Param(
    "model_versions",
    f"Only tasks of these models. All tasks here are of `{_VERSION}`.",
    {"type": "array", "items": {"type": "string"}},
    lambda given: tuple(given.split(",")),
    (_VERSION,),
    repeatable=True,
)
_SIZE: Final = integer("pager.pagesz", "Tasks on a page.", 10, 100, 10)
_TOKEN: Final = text(
    "pager.page_token", "`next_page_token` of the previous page.", job_schemas.JOB_ID, "a token of a page"
)
_OFF: Final[Document] = {"type": "boolean", "enum": [False], "default": False}
_BODY: Final[Document] = {
    "type": "object",
    "required": ["model", "images", "prompt"],
    "properties": {
        **{
            name: shape
            for name, shape in GenerationRequest.model_json_schema()["properties"].items()
            if name != "model"
        },
        "model": {"type": "string", "enum": [vidu.MODEL]},
        "movement_amplitude": {"description": "Has no effect."},
        "audio": _OFF,
        "auto_subjects": _OFF,
        "is_rec": _OFF,
    },
    "additionalProperties": False,
}
_EXAMPLES: Final[Document] = {
    "minimal": {
        "value": {
            "model": vidu.MODEL,
            "images": ["https://cdn.example.com/hero.png"],
            "prompt": "The hero walks",
        }
    }
}


async def create(request: Request, key: Key, params: Params) -> Response:
    """200 and the job as a task, also if it was accepted before with the same idempotency key."""
    posted, payload = await posting.accept(request, key, params, VIDU, posting.Json(VIDU.read))
    return json_answer(VIDU.created(posted.job, payload), 200, posting.headers_after(posted))


async def show(request: Request, key: Key, _: Params) -> Response:
    """The job as a task, at once."""
    job = await owned_job(request, key.tenant)
    resources = state_of(request).resources
    return json_answer(VIDU.shown(job, await resources.jobs.payload(job), resources.result_link))


async def cancel(request: Request, key: Key, _: Params) -> Response:
    """{} if the job is canceled, or the upstream will be asked to stop it."""
    job = await owned_job(request, key.tenant)
    state = state_of(request)
    await _check_id(request, state, key.tenant, job.id)
    resources = state.resources
    await cancellation.cancel(
        job,
        resources.jobs,
        resources.settlement,
        resources.environment,
        upstream_can=state.dialect.capabilities.cancel,
    )
    return json_answer({})


async def _check_id(request: Request, state: State, tenant: str, job_id: str) -> None:
    """Its clients repeat the id in the body; another one there would be a mistake. Raises InvalidRequest."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    async with JsonBody(request, tenant, state.budget, _MAX_BODY_BYTES, _BODY_SECONDS) as raw:
        document = strict_json.loads(raw)
    if not isinstance(document, dict) or document.get("id", job_id) != job_id:
        raise InvalidRequest([Problem("id", "not_one_of", "is not the id of the path; send the same one")])


async def page(request: Request, key: Key, params: Params) -> Response:
    """The tenant's jobs as tasks, newest first."""
    resources = state_of(request).resources
    jobs, last = await _found(state_of(request), key.tenant, params)
    payloads = await asyncio.gather(*(_short_payload(resources.jobs, job) for job in jobs))
    rows = [
        VIDU.listed(job, payload, resources.result_link) for job, payload in zip(jobs, payloads, strict=True)
    ]
    return json_answer({"next_page_token": last or "", "tasks": rows})


async def _short_payload(store: JobStore, job: Job) -> str | None:
    """The payload, if a list shows it: a page of the longest would have 100 MB."""
    if (job.payload_characters or 0) > EVENT_PAYLOAD_CHARACTERS:
        return None
    return await store.payload(job)


async def _found(state: State, tenant: str, params: Params) -> tuple[list[Job], str | None]:
    """The jobs that the filters select, and the last one of the page if there are more."""
    store, now = state.resources.jobs, state.resources.environment.now_ms()
    given = params[_STATE] or tuple(_STATES)
    states = [one for one in JobState if any(one in _STATES[word] for word in given)]
    since, until = params[_FROM], params[_TO]
    made = Made(
        now - _WEEK_MS if since is None else -(-since // 1000), None if until is None else until // 1000 + 1
    )
    if not states or _VERSION not in params[_VERSIONS]:
        return [], None
    if not params[_TASK_IDS]:
        found = await store.page(tenant, states, params[_TOKEN], params[_SIZE], made)
        return found.jobs, found.last
    read = await asyncio.gather(*(store.read(one) for one in params[_TASK_IDS] if re.match(JOB_ID, one)))
    low = 0 if since is None else made.since or 0
    named = [
        job
        for job in read
        if job is not None
        and job.tenant == tenant
        and job.state in states
        and job.created_at >= low
        and (made.before is None or job.created_at < made.before)
    ]
    return sorted(named, key=lambda job: job.id, reverse=True), None


OPERATIONS: Final = (
    Operation(
        "POST", "/ent/v2/reference2video", "createViduTask", "Create a job", create,
        {200: Reply("Accepted. The job will not be lost.", schemas.ViduCreated)},
        (Scope.JOBS_WRITE,), tag="vidu",
        description="`message` of a refusal lists every problem. If no answer comes, or 500 or 503, the job "
        "may have been accepted: send the same request again, with the same `Idempotency-Key`.",
        headers=(posting.IDEMPOTENCY_KEY, *posting.OPTIONS),
        body=_BODY, examples=_EXAMPLES, problems=(408, 413, 415), counted=False, door=VIDU,
    ),
    Operation(
        "GET", "/ent/v2/tasks/{job_id}/creations", "getViduTask", "Get a job", show,
        {200: Reply("The job as a task.", schemas.ViduTask)},
        (Scope.JOBS_READ,), tag="vidu", door=VIDU,
    ),
    Operation(
        "POST", "/ent/v2/tasks/{job_id}/cancel", "cancelViduTask", "Cancel a job", cancel,
        {200: Reply("It is canceled, or the upstream is asked to stop it.", schemas.ViduCanceled)},
        (Scope.JOBS_WRITE,), tag="vidu",
        body={"type": "object", "properties": {"id": {"type": "string"}}}, body_required=False,
        problems=(408, 413, 415), door=VIDU,
    ),
    Operation(
        "GET", "/ent/v2/tasks", "listViduTasks", "List jobs, newest first", page,
        {200: Reply("A page of tasks.", schemas.ViduTaskList)},
        (Scope.JOBS_READ,), tag="vidu",
        query=(_FROM, _TO, _STATE, _TASK_IDS, _VERSIONS, _SIZE, _TOKEN), door=VIDU,
    ),
)  # fmt: skip
