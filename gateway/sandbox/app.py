"""The ASGI application of the sandbox, with all its routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from gateway.environment import Environment
from gateway.sandbox import admin, vidu_list, vidu_routes
from gateway.sandbox.answers import envelope, json, refusal
from gateway.sandbox.creation import account_of, check_key, create
from gateway.sandbox.options import Options
from gateway.sandbox.refusals import RequestRefused
from gateway.sandbox.results import SAMPLES, result
from gateway.sandbox.service import Sandbox
from gateway.sandbox.wire_formats import VIDU, VTRIX


def build_app(options: Options, environment: Environment | None = None) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.sandbox = sandbox = Sandbox(options, environment or Environment())
        try:
            yield
        finally:
            await sandbox.close()

    return Starlette(
        routes=[
            Route("/model/v1/generation", partial(create, VTRIX), methods=["POST"]),
            Route("/model/v1/generation/task/{task_id}", poll),
            Route("/ent/v2/reference2video", partial(create, VIDU), methods=["POST"]),
            Route("/ent/v2/tasks", vidu_list.tasks),
            Route("/ent/v2/tasks/{task_id}/creations", vidu_routes.creations),
            Route("/ent/v2/tasks/{task_id}/cancel", vidu_routes.cancel, methods=["POST"]),
            Route("/ent/v2/credits", vidu_routes.credits_left),
            Route("/files/{name}", result),
            Route("/samples", sample_list),
            Route("/samples/{name}.jpg", sample),
            Route("/healthz", health),
            *admin.ROUTES,
        ],
        lifespan=lifespan,
    )


async def poll(request: Request) -> Response:
    sandbox: Sandbox = request.app.state.sandbox
    task_id = request.path_params["task_id"]
    account = account_of(request, VTRIX)
    try:
        task = sandbox.poll(task_id, "vtrix", check_key(request, VTRIX))
        if task is None:
            raise RequestRefused("TaskNotFound", "no such task", 404)
    except RequestRefused as refused:
        facts = {"dialect": "vtrix", "account": account, "task_id": task_id}
        sandbox.ledger.write("get", **facts, reply=refused.status, status=None)
        return refusal(refused.code, refused.message, refused.status, sandbox.new_request_id())
    sandbox.ledger.write(
        "get", dialect="vtrix", account=account, task_id=task_id, reply=200, status=task.status
    )
    return json(envelope(task, sandbox.runner.progress(task)))


async def sample_list(request: Request) -> Response:
    base = str(request.base_url)
    return json({"images": [f"{base}samples/{path.name}" for path in sorted(SAMPLES.glob("*.jpg"))]})


async def sample(request: Request) -> Response:
    wanted = f"{request.path_params['name']}.jpg"
    for path in SAMPLES.glob("*.jpg"):
        if path.name == wanted:
            return FileResponse(path)
    return json({"detail": "no such sample"}, 404)


async def health(request: Request) -> Response:
    return json({"status": "ok"})
