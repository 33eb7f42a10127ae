"""The routes of the Vtrix door: jobs in the upstream's own words, and the models that its client asks for."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.doors import vtrix_spec
from gateway.doors.vtrix import VTRIX
from gateway.tenants import Key, Scope
from gateway.web.api import posting
from gateway.web.api.owned import owned_job
from gateway.web.http.answers import json_answer
from gateway.web.http.params import Params, Reader, integer, text
from gateway.web.operation import PUBLIC, Document, Operation, Reply
from gateway.web.schemas import vtrix as schemas
from gateway.web.server.hosts import asked_base, own_base
from gateway.web.state import state_of

_PAGE: Final = integer("page", "Which page.", 1, 1000, 1)
_PAGE_SIZE: Final = integer("page_size", "Models on a page.", 1, 100, 20)
_TYPE: Final = text("type", "Only models that make this.", "^[a-z0-9_-]{1,64}$", "a type such as video")
_KEYWORDS: Final = text("keywords", "Only models with these words.", "^.{0,200}$", "a few words")
_BODY: Final[Document] = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": {"type": "string"},
        "input": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "required": ["params"],
                "properties": {
                    "params": {
                        "type": "object",
                        "description": "The parameters of `POST /v1/jobs`, without the model.",
                    }
                },
            },
        },
        "moderation": {"description": "Has no effect."},
    },
}
_EXAMPLES: Final[Document] = {
    "minimal": {
        "value": {
            "model": "viduq2_pro_reference",
            "input": [
                {"params": {"images": ["https://cdn.example.com/hero.png"], "prompt": "The hero walks"}}
            ],
        }
    }
}
_OK: Final = {"code": 200, "message": "ok"}


async def create(request: Request, key: Key, params: Params) -> Response:
    """200 and the job as a task, also if it was accepted before with the same idempotency key."""
    posted, _ = await posting.accept(request, key, params, VTRIX, posting.Json(VTRIX.read))
    return json_answer(VTRIX.accepted(posted.job), 200, posting.headers_after(posted))


async def show(request: Request, key: Key, _: Params) -> Response:
    """The job as a task, at once."""
    job = await owned_job(request, key.tenant)
    resources = state_of(request).resources
    return json_answer(VTRIX.shown(job, await resources.jobs.payload(job), resources.result_link))


async def list_models(request: Request) -> Response:
    """The models of this service."""
    params = _read_page(request)
    found = vtrix_spec.models(params[_PAGE], params[_PAGE_SIZE], params[_TYPE], params[_KEYWORDS])
    return json_answer({"status": _OK, "data": found})


async def show_model(request: Request) -> Response:
    """How to call the model. For an unknown one the envelope says 404, because the client reads only that."""
    _read_nothing(request)
    base = own_base(request.scope, state_of(request).resources.settings)
    if base is None:  # its client needs an address; nobody else reads this answer, and it holds no secret
        base = asked_base(request.scope)
    found = vtrix_spec.spec(request.path_params["model"], base)
    if found is None:
        return json_answer({"status": {"code": 404, "message": "no such model"}, "data": None}, 404)
    return json_answer({"status": _OK, "data": found})


_LISTED: Final = (_PAGE, _PAGE_SIZE, _TYPE, _KEYWORDS)
_read_page: Final = Reader(_LISTED).read
_read_nothing: Final = Reader().read
OPERATIONS: Final = (
    Operation(
        "POST", vtrix_spec.PATH, "createVtrixTask", "Create a job", create,
        {200: Reply("Accepted. The job will not be lost.", schemas.VtrixCreated)},
        (Scope.JOBS_WRITE,), tag="vtrix",
        description="The body is `{\"model\": ..., \"input\": [{\"params\": {...}}]}` with exactly one "
        "element, or the parameters flat. `errors` of a refusal lists every problem. If no answer comes, or "
        "500 or 503, the job may have been accepted: send the same request again, with the same "
        "`Idempotency-Key`.",
        headers=(posting.IDEMPOTENCY_KEY, *posting.OPTIONS),
        body=_BODY, examples=_EXAMPLES, problems=(402, 408, 413, 415), counted=False, door=VTRIX,
    ),
    Operation(
        "GET", f"{vtrix_spec.PATH}/task/{{job_id}}", "getVtrixTask", "Get a job", show,
        {200: Reply("The job as a task.", schemas.VtrixTask)},
        (Scope.JOBS_READ,), tag="vtrix", door=VTRIX,
    ),
    Operation(
        "GET", "/api/v1/skill/models", "listVtrixModels", "List the models", list_models,
        {200: Reply("A page of models.", schemas.VtrixModelList)},
        PUBLIC, tag="vtrix", query=_LISTED, problems=(400,), door=VTRIX,
    ),
    Operation(
        "GET", "/api/v1/skill/models/{model}/spec", "getVtrixModelSpec", "Get how to call a model",
        show_model,
        {
            200: Reply("Its address and parameters.", schemas.VtrixModelSpec),
            404: Reply("There is no such model.", schemas.VtrixModelSpec),
        },
        PUBLIC, tag="vtrix", problems=(400,), door=VTRIX,
    ),
)  # fmt: skip
