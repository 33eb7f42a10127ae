"""docs/webhooks.md is true: what is sent and signed, what the examples hold, which routes exist.

`python -m tests.test_webhook_docs` draws the parts that come from the code.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.routing import Route
from typer.testing import CliRunner

from gateway import events
from gateway.backoff import JITTER, OVERLOADED
from gateway.cli import app as command_line
from gateway.delivery import signing
from gateway.delivery.headers import RESERVED
from gateway.delivery.http import Deliverer
from gateway.dispatch import HealthLimits, Role
from gateway.events import EventType
from gateway.jobs import EVENT_PAYLOAD_CHARACTERS
from gateway.lifecycle import JobState
from gateway.settings import Settings
from gateway.tenants import CLIENT_SCOPES
from gateway.web.app import create_app
from gateway.web.http import problem_codes
from tests.gateway.delivery.subscriber import LOOPBACK, reply, subscriber
from tests.gateway.store.conftest import new_job

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "webhooks.md"
_SNIPPET = re.compile(r"(<!-- snippet: (\S+) (\w+) -->\n).*?(<!-- /snippet -->)", re.DOTALL)
_WIRE = re.compile(r"(<!-- wire:[^>]*-->\n).*?(<!-- /wire -->)", re.DOTALL)
_LANGUAGES = {".py": "python", ".mjs": "javascript", ".go": "go"}
_UNITS = ((3600, "h"), (60, "min"), (1, "s"))
_CREATED = 1_795_334_000_000

KEY_1 = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
JOB = new_job(
    id="job_01M81JHAW84EGFGT4ZRK7P4HYT",
    state=JobState.COMPLETED,
    created_at=_CREATED,
    task_id="task-1",
    progress=1.0,
    submitting_at=_CREATED + 21,
    released_at=_CREATED + 40,
    submitted_at=_CREATED + 410,
    finished_at=_CREATED + 92_007,
    start_by=_CREATED + 86_400_000,
    end_by=_CREATED + 93_600_000,
    output=[{"content": [{"type": "video", "url": "https://cdn.example.com/videos/1.mp4"}]}],
    usage={"cost": "0.35", "discount": 0},
    payload_characters=8,
)


def event() -> events.Event:
    return events.make(JOB, "order-17", "https://gateway.example.com")


async def on_the_wire() -> tuple[str, bytes]:
    """Head and body of an attempt at that event, as bytes of the network; host and version as documented."""
    made = event()
    headers = signing.sign([KEY_1], made.id, (_CREATED + 92_100) // 1000, made.body)
    async with subscriber(reply(204)) as served, Deliverer(LOOPBACK) as deliverer:
        await deliverer.post(served.url, headers, made.body)
        head, body = served.requests[0]
        text = head.decode().replace(f"127.0.0.1:{served.port}", "video.example.com")
    return text.replace(f"vidu-gateway/{version('vidu-gateway')}", "vidu-gateway/0.1.0"), body


async def wire_block() -> str:
    head, body = await on_the_wire()
    shown = orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    return (
        f"```http\n{head.strip()}\n```\n\nIts body, here with line breaks and spaces for reading:\n\n"
        f"```json\n{shown}\n```\n"
    ).replace("\r\n", "\n")


def snippet(path: str, name: str) -> str:
    """The part of an example between its two marks, without comments for our own tools."""
    text = (DOCS / path).read_text()
    found = re.search(rf"^[ \t]*(?:#|//) begin: {name}\n(.*?)^[ \t]*(?:#|//) end: {name}$", text, re.S | re.M)
    assert found, f"{path} marks no part {name}"
    part = re.sub(r"  # noqa: \w+", "", textwrap.dedent(found[1])).strip("\n")
    return f"```{_LANGUAGES[Path(path).suffix]}\n{part}\n```\n"


def schedule() -> str:
    """5 s, 30 s, 2 min, ..."""
    waits = Settings.model_fields["delivery_schedule_seconds"].get_default(call_default_factory=True)
    told = []
    for seconds in waits:
        size, unit = next(pair for pair in _UNITS if seconds >= pair[0])
        told.append(f"{seconds / size:g} {unit}")
    return ", ".join(told)


def reserved() -> str:
    names = ", ".join(f"`{name}`" for name in sorted(RESERVED))
    return "\n  ".join(("", *textwrap.wrap(names, 116, break_on_hyphens=False), ""))


async def drawn(page: str) -> str:
    block = await wire_block()
    page = _WIRE.sub(lambda found: found[1] + block + found[2], page)
    page = _SNIPPET.sub(lambda found: found[1] + snippet(found[2], found[3]) + found[4], page)
    for name, text in (("schedule", schedule()), ("reserved", reserved())):
        page = re.sub(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", rf"\g<1>{text}\g<2>", page, flags=re.S)
    return page


async def test_what_is_drawn_from_the_code_is_current() -> None:
    page = PAGE.read_text()
    assert {"wire", "schedule", "reserved"} <= set(re.findall(r"<!-- (\w+)", page))
    assert await drawn(page) == page, "run: python -m tests.test_webhook_docs"


async def test_the_documented_request_is_signed_with_the_documented_secret_over_the_documented_body() -> None:
    page = PAGE.read_text()
    head = re.search(r"```http\n(.*?)```", page, re.S)
    body = re.search(r"```json\n(.*?)```", page, re.S)
    assert head
    assert body
    headers = dict(line.split(": ", 1) for line in head[1].strip().splitlines()[1:])
    sent = orjson.dumps(orjson.loads(body[1]))
    assert headers["Content-Length"] == str(len(sent))
    assert sent == event().body
    expected = signature(KEY_1, headers["webhook-id"], headers["webhook-timestamp"], sent)
    assert headers["webhook-signature"] == expected


def signature(secret: str, webhook_id: str, timestamp: str, body: bytes, key: bytes | None = None) -> str:
    """As the standard says, and by no library."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if key is None else key
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under this line of headings, without backticks."""
    table = PAGE.read_text().partition(f"\n{heading}\n")[2].partition("\n\n")[0].partition("<!--")[0]
    lines = [line.strip("|").split(" | ") for line in table.splitlines()[1:] if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line] for line in lines]


def inputs() -> dict[str, list[str]]:
    """Name -> secret, id, timestamp, body."""
    bodies = {name: rest for name, *rest in rows("| | `webhook-timestamp` | body |")}
    return {name: rest + bodies[name] for name, *rest in rows("| | secret | `webhook-id` |")}


def test_the_documented_signatures_are_what_the_documented_inputs_give() -> None:
    right = dict(rows("| | expected signature |"))
    assert list(inputs()) == list(right) == list("ABCDE")
    for name, (secret, webhook_id, timestamp, body) in inputs().items():
        assert signature(secret, webhook_id, timestamp, body.encode()) == right[name]
        assert (
            signing.sign([secret], webhook_id, int(timestamp), body.encode())["webhook-signature"]
            == right[name]
        )


def test_each_documented_mistake_gives_the_signature_that_is_said_to_come_of_it() -> None:
    secret, webhook_id, timestamp, text = inputs()["A"]
    body = text.encode()
    made = [
        signature(secret, webhook_id, timestamp, body, secret.removeprefix("whsec_").encode()),
        signature(secret, webhook_id, timestamp, body, secret.encode()),
        signature(secret, webhook_id, timestamp, orjson.dumps(orjson.loads(body))),
        signature(secret, webhook_id, timestamp, body + b" "),
        signature(secret, webhook_id, str(int(timestamp) + 1), body),
        signature(secret, webhook_id[:-1] + webhook_id[-1].upper(), timestamp, body),
    ]
    assert [given for given, _ in rows("| for A you get | because |")] == made


def test_the_verification_by_hand_takes_the_right_ones_and_refuses_every_mistake() -> None:
    is_genuine: Any = example("verify_by_hand")["is_genuine"]
    for name, (secret, webhook_id, timestamp, body) in inputs().items():
        right = dict(rows("| | expected signature |"))[name]
        headers = {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": right}
        now, sent = int(timestamp), body.encode()
        for several in (right, f"v1,AAAA {right}", f"v1a,AAAA {right} v1,BBBB"):
            assert is_genuine(secret, headers | {"webhook-signature": several}, sent, now)
        assert is_genuine(secret, headers, sent, now + 300)
        assert not is_genuine(secret, headers, sent, now + 301)
        assert not is_genuine(secret, headers, sent, now - 301)
        assert not is_genuine("whsec_", headers, sent, now)
        assert not is_genuine(secret, headers | {"webhook-timestamp": "soon"}, sent, now)
        for wrong, _ in rows("| for A you get | because |"):
            assert not is_genuine(secret, headers | {"webhook-signature": wrong}, sent, now)


def example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": name}
    exec(compile((DOCS / "examples" / f"{name}.py").read_text(), name, "exec"), found)
    return found


def test_every_type_of_event_is_documented_with_what_is_sent_by_default() -> None:
    told = {name: default for name, _, default in rows("| event | when | sent by default |")}
    assert told == {kind: "yes" if kind in events.FINAL_TYPES else "no" for kind in EventType}


def test_every_limit_of_a_client_is_documented() -> None:
    told = [cell.replace("`", "") for cell, *_ in rows("| `limit` | what | how much | shared by |")]
    assert told == list(problem_codes.LIMITS)


def test_every_scope_of_a_client_is_documented() -> None:
    told = {cell.strip("`") for cell, _ in rows("| scope | needed to |")}
    assert told == {scope.value for scope in CLIENT_SCOPES}


def test_the_numbers_are_those_of_the_settings(settings: Settings) -> None:
    page = PAGE.read_text()
    limits = settings.roles()[Role.DELIVER]
    assert limits.health == HealthLimits(
        300_000, 30_000, 10, 70, 30_000, 900_000, 5 * 86_400_000, 12 * 3_600_000
    )
    assert (limits.retry_share, limits.lane_slots) == (0.75, 8)
    assert settings.delivery_timeout_seconds == 15
    assert settings.delivery_until_seconds == 3 * 86_400
    assert settings.delivery_overload_seconds == 60
    assert JITTER == 0.2
    assert set(OVERLOADED) == {"throttled", "timeout"}
    assert f"of more than {EVENT_PAYLOAD_CHARACTERS} characters" in " ".join(page.split())


def test_every_variable_that_is_named_is_a_setting() -> None:
    named = set(re.findall(r"`GATEWAY_(\w+)`", PAGE.read_text()))
    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_every_route_that_is_called_is_there(settings: Settings) -> None:
    there = {
        (method, re.sub(r"{\w+}", "{}", route.path))
        for route in create_app(settings).routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    called = set()
    page = PAGE.read_text()
    for line in page.splitlines():
        for path in re.findall(r"\$GATEWAY(/v1/[^\s\"?]*)", line):
            method = re.search(r"-X (\w+)", line)
            posts = " -d " in line or line.endswith("\\")
            plain = re.sub(r"\$\w+", "{}", path)
            called.add((method[1] if method else "POST" if posts else "GET", plain))
    for method, path in re.findall(r"`(GET|POST|PATCH) (/v1/[^\s`?]*)", page):
        called.add((method, re.sub(r"{\w+}", "{}", path)))
    assert len(called) >= 12
    assert called <= there


def test_every_option_of_listen_is_documented_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(command_line, ["listen", "--help"]).stdout
    told = {first.split()[0] for first, _ in rows("| option | meaning |")}
    assert told == set(re.findall(r"--\w+", shown)) - {"--help"}


def main() -> None:
    """Draws the page anew."""
    PAGE.write_text(asyncio.run(drawn(PAGE.read_text())))


if __name__ == "__main__":
    main()
