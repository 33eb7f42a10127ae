"""openai-python or litellm in an environment of their own, as a test tells them to.

`python python.py openai|litellm`, which reads one order a line and answers with one: {"call", "base", "key",
"args"} -> {"value"} or {"error", "status", "message"}.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]


def openai_calls() -> dict[str, Call]:
    from openai import OpenAI

    clients: dict[tuple[str, str], Any] = {}

    def of(base: str, key: str) -> Any:
        return clients.setdefault((base, key), OpenAI(base_url=base + "/v1", api_key=key))

    def create(client: Any, file: str | None = None, **args: Any) -> Any:
        if file is not None:
            args["input_reference"] = Path(file)
        return client.videos.create(**args).model_dump()

    def create_and_poll(client: Any, file: str, **args: Any) -> Any:
        return client.videos.create_and_poll(input_reference=Path(file), **args).model_dump()

    def download(client: Any, video: str, **args: Any) -> Any:
        return len(client.videos.download_content(video, **args).read())

    calls: dict[str, Call] = {
        "create": create,
        "create_and_poll": create_and_poll,
        "retrieve": lambda client, video: client.videos.retrieve(video).model_dump(),
        "list": lambda client, **args: [one.id for one in client.videos.list(**args)],
        "delete": lambda client, video: client.videos.delete(video).model_dump(),
        "download": download,
        "models": lambda client: [one.id for one in client.models.list()],
        "remix": lambda client, video: client.videos.remix(video, prompt="again").model_dump(),
        "unwrap": lambda client, body, headers, secret: (
            client.webhooks.unwrap(body, headers, secret=secret).type
        ),
    }
    return {
        name: lambda base, key, args, call=call: call(of(base, key), **args) for name, call in calls.items()
    }


def litellm_calls() -> dict[str, Call]:
    import litellm

    litellm.suppress_debug_info = True

    def create(file: str | None = None, model: str = "viduq2_pro_reference", **args: Any) -> Any:
        if file is not None:
            args["input_reference"] = Path(file).open("rb")  # noqa: SIM115
        return litellm.video_generation(model=f"openai/{model}", **args).model_dump()

    calls: dict[str, Call] = {
        "create": create,
        "retrieve": lambda video, **args: litellm.video_status(video, **args).model_dump(),
        "list": lambda **args: [one["id"] for one in litellm.video_list(**args)["data"]],
        "download": lambda video, **args: len(litellm.video_content(video, **args)),
        "remix": lambda video, **args: litellm.video_remix(video, prompt="again", **args),
    }
    return {
        name: lambda base, key, args, call=call: call(api_base=base + "/v1", api_key=key, **args)
        for name, call in calls.items()
    }


def main() -> None:
    calls = openai_calls() if sys.argv[1] == "openai" else litellm_calls()
    answers = sys.stdout
    sys.stdout = sys.stderr  # libraries print
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"value": calls[order["call"]](order["base"], order["key"], order["args"])}
        except Exception as error:
            status = getattr(error, "status_code", None)
            answer = {"error": type(error).__name__, "status": status, "message": str(error)}
        print(json.dumps(answer, default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
