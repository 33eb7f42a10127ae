"""The floor under POST /v1/jobs: Starlette, the same request model, and one script of three writes.

No authentication, no idempotency, no lanes, no events: what any intake would have to do at the least. The
floor under posts with files, `/parsed`, parses the JSON and does nothing else.
"""

from __future__ import annotations

import json
import os
import secrets

import orjson
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.generation import GenerationRequest

SCRIPT = """
redis.call("HSET", KEYS[1], "state", "queued", "body", ARGV[1])
redis.call("ZADD", KEYS[2], ARGV[2], KEYS[1])
redis.call("HINCRBY", KEYS[3], "queued", 1)
return 1
"""


def create_app() -> Starlette:
    redis = Redis.from_url(os.environ["GATEWAY_REDIS_URL"])
    script = redis.register_script(SCRIPT)

    async def accept(request: Request) -> Response:
        body = await request.body()
        GenerationRequest.model_validate_json(body)
        job_id = secrets.token_hex(16)
        await script(keys=["floor:job:" + job_id, "floor:queue", "floor:counts"], args=[body, 1])
        return Response(orjson.dumps({"id": job_id, "status": "queued"}), 202, media_type="application/json")

    async def parse(request: Request) -> Response:
        json.loads(await request.body())
        return Response(b"{}", 202, media_type="application/json")

    async def healthz(_: Request) -> Response:
        return Response()

    return Starlette(
        routes=[
            Route("/v1/jobs", accept, methods=["POST"]),
            Route("/parsed", parse, methods=["POST"]),
            Route("/healthz", healthz),
        ]
    )


if __name__ == "__main__":
    uvicorn.run(create_app(), port=int(os.environ["GATEWAY_PORT"]), log_level="error", access_log=False)
