"""Clients of OpenAI's videos API, unchanged, against the real service and a sandbox with faults.

Each operation is a function that returns the word of `works.py` for what happened. What a client does not
offer is not tried.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import redis

from gateway.delivery.secrets import tenant_secret
from tests.clients.running import ENVIRONMENT, Client, Refused, interpreter, running
from tests.clients.stack import Receiver, Refusing, Stack, stack
from tests.clients.test_page import PAGE
from tests.clients.works import ABSENT, OPENAI, OPENAI_CLIENTS, YES
from tests.nursery import Nursery
from tests.processes import call
from tests.promises.conftest import eventually
from tests.promises.faults.proxy import Weather

pytestmark = pytest.mark.processes

URL: Final = "https://cdn.example.com/a.png"
REFUSED_HERE: Final = "the library refuses it"
RAISES: Final = "it raises, and does not retry"
_NUMBERS = itertools.count()


@dataclass
class Run:
    """One operation with one client. `name`: without its version."""

    stack: Stack
    client: Client
    name: str

    def prompt(self, text: str = "") -> str:
        return f"fox {self.name} {next(_NUMBERS)} {text}"

    def create(self, prompt: str, **args: Any) -> dict[str, Any]:
        """With a file, as most clients do."""
        made: dict[str, Any] = self.client.call(
            "create", **{"file": self.stack.file, **args, "prompt": prompt}
        )
        return made

    def ended(self, made: dict[str, Any]) -> dict[str, Any]:
        """The video when the client sees it as final."""
        found: list[dict[str, Any]] = []

        def final() -> bool:
            found.append(self.client.call("retrieve", video=made["id"]))
            return found[-1]["status"] in ("completed", "failed")

        eventually(final)
        return found[-1]

    def jobs(self, prompt: str) -> list[str]:
        """Of all jobs of this prompt."""
        _, page, _ = call("GET", f"{self.stack.machine.gateway}/v1/videos?limit=100", self.stack.machine.key)
        return [one["id"] for one in page["data"] if one["prompt"] == prompt]

    def one_job(self, prompt: str, made: dict[str, Any] | None) -> None:
        """There is one job, it is that which the client got, and it is paid for once."""
        [job] = self.jobs(prompt)
        if made is not None:
            assert made["id"] == job
        state = f"{self.stack.machine.gateway}/v1/videos/{job}"
        eventually(lambda: call("GET", state, self.stack.machine.key)[1]["status"] == "completed")
        assert self.stack.machine.charges()[job] == 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("clients"), nursery) as made:
        yield made


def whole(run: Run) -> str:
    more = {"stream": True} if run.name == "openai-node" else {}
    made = run.create(run.prompt(), seconds="4", size="720x1280", model="viduq2-pro", **more)
    assert (made["status"], made["seconds"], made["size"]) == ("queued", "4", "720x1280")
    with pytest.raises(Refused, match="get this again") as early:
        run.client.call("download", video=made["id"])
    assert early.value.status == 404
    done = run.ended(made)
    assert (done["status"], done["progress"]) == ("completed", 100)
    assert run.client.call("download", video=made["id"]) > 10_000
    with pytest.raises(Refused, match="no such file"):
        run.client.call("download", video=made["id"], variant="spritesheet")
    return YES


def with_urls(run: Run) -> str:
    images = {"images": [URL, URL + "?2"]}
    more = images if run.name == "openai-node" else {"extra_body": images}
    prompt = run.prompt()
    run.create(prompt, file=None, **more)
    [job] = run.jobs(prompt)
    assert run.stack.params(job)["images"] == images["images"]
    return YES


def with_an_object(run: Run) -> str:
    prompt = run.prompt()
    try:
        run.create(prompt, file=None, input_reference={"image_url": URL})
    except Refused:
        assert run.jobs(prompt) == []
        return REFUSED_HERE
    assert run.stack.params(run.jobs(prompt)[0])["images"] == [URL]
    return YES


def polled(run: Run) -> str:
    """At the pace that the gateway names."""
    done = run.client.call(
        "create_and_poll", prompt=run.prompt(), model="viduq2_pro_reference", file=run.stack.file
    )
    assert done["status"] == "completed"
    return YES


def listed(run: Run) -> str:
    made = [run.create(run.prompt())["id"] for _ in range(3)]
    newest = run.client.call("list", limit=2)
    if run.name == "litellm":  # its ids are its own
        assert len(newest) == 2
        return "one page"
    assert newest[:3] == made[::-1]
    oldest_first = run.client.call("list", limit=2, order="asc", after=made[0])
    assert oldest_first == made[1:]
    return YES


def deleted(run: Run) -> str:
    made = run.create(run.prompt())
    with pytest.raises(Refused) as early:
        run.client.call("delete", video=made["id"])
    assert early.value.status == 400
    run.ended(made)
    assert run.client.call("delete", video=made["id"])["deleted"] is True
    with pytest.raises(Refused) as gone:
        run.client.call("retrieve", video=made["id"])
    assert gone.value.status == 404
    return YES


def models(run: Run) -> str:
    assert run.client.call("models") == ["viduq2_pro_reference", "viduq2-pro"]
    return YES


def failed(run: Run) -> str:
    done = run.ended(run.create(run.prompt("[[fault:failed_task=1027]]")))
    assert (done["status"], done["error"]["code"]) == ("failed", "1027")
    return YES


def refused_once(run: Run) -> str:
    """402 is told by a server of the test in the door's own words: this service has none without budgets."""
    with Refusing(402, "budget-exceeded") as refusing:
        with pytest.raises(Refused) as poor:
            run.client.call("create", base=refusing.base, file=run.stack.file, prompt=run.prompt())
        assert (poor.value.status, refusing.count) == (402, 1)
    before = run.stack.answered()
    with pytest.raises(Refused) as unknown:
        run.create(run.prompt(), model="sora-2")
    headers = {"Idempotency-Key": run.prompt().replace(" ", "-")}
    key = {"headers" if run.name == "openai-node" else "extra_headers": headers}
    run.create(run.prompt(), **key)
    with pytest.raises(Refused) as mismatch:
        run.create(run.prompt(), **key)
    assert (unknown.value.status, mismatch.value.status) == (404, 422)
    after = run.stack.answered()
    assert {status: after[status] - before.get(status, 0) for status in ("404", "422")} == {
        "404": 1,
        "422": 1,
    }
    return YES


def remix(run: Run) -> str:
    route = "/v1/videos/{job_id}/remix"
    made, before = run.create(run.prompt()), run.stack.answered(route)
    with pytest.raises(Refused, match="only makes new videos") as refused:
        run.client.call("remix", video=made["id"])
    assert refused.value.status == 400
    assert run.stack.answered(route)["400"] - before.get("400", 0) == 1
    return YES


def lost_answer(run: Run) -> str:
    """The request arrives, and the connection breaks before the answer does."""
    prompt = run.prompt()
    run.stack.link.set(Weather.HALF_OPEN)
    try:
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(run.create, prompt)
            eventually(lambda: bool(run.jobs(prompt)))
            run.stack.link.set(Weather.RESET)
            run.stack.link.set(Weather.PASS)
            try:
                run.one_job(prompt, made.result(60))
            except Refused:
                run.one_job(prompt, None)
                return RAISES
    finally:
        run.stack.link.set(Weather.PASS)
    return YES


def in_doubt(run: Run) -> str:
    """The store accepts the job, and its answer to the gateway is lost."""
    run.stack.restart_gateway(GATEWAY_CRASH_POINTS="accept.after:2:lose_reply")  # the first only checks
    prompt, before = run.prompt(), run.stack.answered()
    try:
        made: dict[str, Any] | None = run.create(prompt)
    except Refused:
        made = None
    run.one_job(prompt, made)
    assert run.stack.answered().get("503", 0) - before.get("503", 0) == 1
    return YES if made else RAISES


def limited(run: Run) -> str:
    tenant = f"slow-{run.name}"
    key = run.stack.machine.make_key(tenant)
    with redis.Redis.from_url(run.stack.machine.url) as client:
        client.hset(f"{{gw}}:tenant:{tenant}:settings", mapping={"rate": "0.5", "burst": "1"})
    before = run.stack.answered().get("429", 0)
    ids = set()
    try:
        for _ in range(2):
            ids.add(run.create(run.prompt(), key=key)["id"])
    except Refused:
        assert len(ids) == 1
    assert run.stack.answered()["429"] - before == 1
    return YES if len(ids) == 2 else RAISES


def unwrapped(run: Run) -> str:
    machine = run.stack.machine
    secret = tenant_secret(machine.keyring, machine.keyring.active_kid, "acme")
    with Receiver() as receiver:
        for fault, kind in (("", "video.completed"), ("[[fault:failed_task=1027]]", "video.failed")):
            body = {"prompt": run.prompt(fault), "images": [URL], "callback_url": receiver.url}
            status, made, _ = call("POST", f"{machine.gateway}/v1/videos", machine.key, body)
            assert status == 200, made
            headers, raw = receiver.next()
            assert json.loads(raw)["data"]["id"] == made["id"]
            told = {"body": raw.decode(), "secret": secret}
            assert run.client.call("unwrap", headers=headers, **told) == kind
            with pytest.raises(Refused):
                run.client.call("unwrap", headers=headers, **{**told, "body": told["body"] + " "})
    return YES


OPERATIONS: Final[dict[str, Callable[[Run], str]]] = {
    "create with a file, poll, fetch the content": whole,
    "create with `images` as URLs": with_urls,
    "create with `input_reference` as an object": with_an_object,
    "`create_and_poll`": polled,
    "list all pages": listed,
    "delete": deleted,
    "list models": models,
    "a failed task": failed,
    "402, 404, a mismatched key (422)": refused_once,
    "a remix is refused after one request": remix,
    "an answer that was lost: one job": lost_answer,
    "a 503 after acceptance: one job": in_doubt,
    "429: it waits": limited,
    "`webhooks.unwrap()`": unwrapped,
}


@pytest.mark.parametrize("client", OPENAI_CLIENTS)
def test_a_client_can_do_what_the_table_says(shared: Stack, client: str) -> None:
    """All operations in one test, because the client takes seconds to start."""
    column, name = OPENAI_CLIENTS.index(client), client.partition(" ")[0]
    said = {operation: words[column] for operation, words in OPENAI.items()}
    with running(name, shared.base, shared.machine.key) as process:
        run = Run(shared, process, name)
        found = {
            operation: act(run) if said[operation] != ABSENT else ABSENT
            for operation, act in OPERATIONS.items()
        }
    assert found == said


@pytest.mark.parametrize(
    ("language", "name", "file"), [("python", "openai-python", "make.py"), ("js", "openai-node", "make.mjs")]
)
def test_the_examples_of_the_page_make_a_video(
    shared: Stack, tmp_path: Path, language: str, name: str, file: str
) -> None:
    [example] = re.findall(rf"```{language}\n(.*?)```", PAGE[PAGE.index("## OpenAI") :], re.DOTALL)
    for text, value in {"http://127.0.0.1:8080": shared.base, "vgw_...": shared.machine.key}.items():
        assert text in example
        example = example.replace(text, value)
    (tmp_path / file).write_text(example)
    (tmp_path / "fox.png").write_bytes(Path(shared.file).read_bytes())
    subprocess.run(
        [*interpreter(name, tmp_path), file], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=120
    )
    assert (tmp_path / "fox.mp4").stat().st_size > 10_000
