"""The words that the document lists are those that are emitted."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import gateway
import workers
from gateway.delivery.http import DeliveryOutcome
from gateway.upstream.answers import FALLBACK_CODE
from gateway.views import job as job_view
from gateway.web.api.routes import API
from gateway.web.http import problem_codes
from tests.gateway.generation.bodies import CLIP, IMAGE
from tests.gateway.generation.media_samples import data_uri, image
from tests.gateway.web.conftest import BODY
from tests.gateway.web.http.test_bodies import HOSTILE, JSON

PACKAGE = Path(gateway.__file__).parent
#: What is called with a code, as which argument, and where the code is listed.
CALLS = {
    "Problem": (1, problem_codes.FAULTS),
    "refuse": (1, problem_codes.FAULTS),
    "mention": (1, job_view.WARNINGS),
    "_refused": (0, problem_codes.FAULTS),
}
WRONG: list[dict[str, Any]] = [
    {"model": "x", "images": [], "prompt": "", "duration": 11, "seed": "1", "bgm": 1, "zzz": 1},
    {"images": ["ftp://x", "", "A" * 40, "data:text/plain,x", "data:image/png;base64,?", IMAGE + " "]},
    {"images": [data_uri("image/png", image("webp")), data_uri("image/png", image("png", (64, 64)))]},
    {"images": [data_uri("image/png", b"nothing"), data_uri("image/png", image("png")[:40])]},
    {"images": [IMAGE] * 8, "videos": [CLIP] * 3, "resolution": "4k", "off_peak": True},
    {"images": [IMAGE] * 5, "videos": [CLIP], "prompt": "x" * 5001, "model": None},
    {"callback_url": "https://u:p@example.com/"},
    {"callback_url": "http://10.0.0.1/"},
    {"callback_url": "https://example.com:0/"},
    {"callback_url": "https:///"},
    {"wm_url": "https://example.com/" + "x" * 9000},
    {"input": []},
]


def calls() -> Iterator[tuple[str, str]]:
    """The name of what is called and the code, of every call whose code is a literal. Doors have codes of
    their own, and documents of their own."""
    for path in PACKAGE.rglob("*.py"):
        if path.is_relative_to(PACKAGE / "sandbox") or "doors" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or len(node.args) < 2:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name not in CALLS:
                continue
            code = node.args[CALLS[name][0]]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                yield name, code.value


def test_every_code_in_the_source_is_listed() -> None:
    found = list(calls())
    assert len(found) > 20
    assert [(name, code) for name, code in found if code not in CALLS[name][1]] == []


def limits() -> Iterator[tuple[str, str | None]]:
    """The file and the `limit` of every LimitReached. The pages for signing in have no documents."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "LimitReached":
                given = {word.arg: word.value for word in node.keywords}.get("limit")
                named = given.value if isinstance(given, ast.Constant) else None
                if path.name not in ("login_limits.py", "turns.py"):
                    yield path.name, str(named) if named else None


def test_every_429_names_a_listed_limit_and_every_listed_limit_is_in_the_source() -> None:
    found = list(limits())
    assert len(found) >= 8
    assert [(name, limit) for name, limit in found if limit not in problem_codes.LIMITS] == []
    metered = {operation.metered.replace(" ", "_") for operation in API if operation.metered}
    rates = {"jobs", "requests"} | metered
    assert {limit for _, limit in found} | rates | {"inspections"} == set(problem_codes.LIMITS)


def test_every_listed_code_is_in_the_source() -> None:
    listings = (PACKAGE / "web" / "http" / "problem_codes.py", PACKAGE / "views" / "job.py")
    source = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if path not in listings)
    assert [code for code in (*problem_codes.FAULTS, *job_view.WARNINGS) if f'"{code}"' not in source] == []


def test_every_code_of_our_own_for_a_failed_job_is_listed() -> None:
    found = set()
    for package in (PACKAGE, Path(workers.__file__).parent):
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "UpstreamError":
                    continue
                if isinstance(node.args[0], ast.Constant):
                    found.add(node.args[0].value)
    assert found | {FALLBACK_CODE} == set(job_view.JOB_ERRORS)


def test_every_outcome_of_an_attempt_is_listed() -> None:
    assert list(problem_codes.ATTEMPTS) == [*DeliveryOutcome, "endpoint_deleted", "event_lost"]


@pytest.mark.parametrize("change", WRONG, ids=range(len(WRONG)))
async def test_a_bad_job_is_refused_with_listed_codes(
    client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    assert_listed(await client.post("/v1/jobs", json={**BODY, **change}))


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/endpoints"])
async def test_what_is_no_json_is_refused_with_listed_codes(client: httpx.AsyncClient, path: str) -> None:
    for raw in HOSTILE.values():
        assert_listed(await client.post(path, content=raw, headers=JSON))


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/jobs?x=1&wait=2&wait=1", {"Idempotency-Key": "", "Prefer": "wait=x"}),
        ("/v1/jobs", {"Content-Type": "text/plain"}),
        ("/v1/jobs", {"Content-Encoding": "gzip"}),
        ("/v1/jobs", {"Content-Length": "-1"}),
    ],
)
async def test_a_bad_head_is_refused_with_listed_codes(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    assert_listed(await client.post(path, content=b"{}", headers=JSON | headers))


def assert_listed(answer: httpx.Response) -> None:
    assert answer.status_code in (400, 413, 415, 422)
    problem = answer.json()
    assert problem["type"] in problem_codes.PROBLEM_TYPES
    assert {error["code"] for error in problem["errors"]} - set(problem_codes.FAULTS) == set()
