"""The floor under POST /v1/uploads: Starlette, and a handler that writes the stream to a file.

No authentication, no limits, no hash, no checks, and nothing made durable.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def create_app(folder: Path) -> Starlette:
    numbers = itertools.count()

    async def take(request: Request) -> Response:
        path = folder / str(next(numbers))
        with path.open("wb") as file:
            async for piece in request.stream():
                file.write(piece)
        path.unlink()
        return Response(status_code=201)

    async def healthz(_: Request) -> Response:
        return Response()

    return Starlette(routes=[Route("/v1/uploads", take, methods=["POST"]), Route("/healthz", healthz)])


if __name__ == "__main__":
    app = create_app(Path(os.environ["FLOOR_FOLDER"]))
    uvicorn.run(app, port=int(os.environ["GATEWAY_PORT"]), log_level="error", access_log=False)
