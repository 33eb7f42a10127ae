"""Errors as answers."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette

from gateway import errors
from gateway.errors import GatewayError
from gateway.web.http.problem_types import ERROR_TYPES, STATUS_TYPES
from gateway.web.schemas import jobs
from gateway.web.state import State
from tests.gateway.web.parsing import parsed


def family(cls: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from family(child)


def test_every_error_of_ours_has_its_row() -> None:
    ours = {cls for cls in family(GatewayError) if cls.__module__ == errors.__name__}
    # A connection raises the one, and a client sees the outcome or the code of that name. The other is raised
    # for a price, and who reads prices names the field.
    assert ours - {errors.AddressRefused, errors.AmountRefused} == set(ERROR_TYPES)


def test_a_name_stands_for_one_status_and_one_title() -> None:
    kinds = {*ERROR_TYPES.values(), *STATUS_TYPES.values()}
    assert len({kind.name for kind in kinds}) == len(kinds)


def test_no_purposeful_error_but_a_wrong_setting_is_a_500() -> None:
    assert {cls for cls, kind in ERROR_TYPES.items() if kind.status >= 500 and kind.status != 503} == {
        GatewayError,
        errors.ConfigurationError,
    }


@pytest.mark.parametrize("path", ["/v1", "/v1/jobs/", "/v1/jobs//", "/docs/nothing", "/v2/jobs"])
async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    problem = parsed(jobs.Problem, answer.content)
    assert (problem["type"], problem["detail"]) == (
        "/docs/errors/not-found",
        "there is no such path; see /docs",
    )


async def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.put("/v1/jobs")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert parsed(jobs.Problem, answer.content)["detail"] == "use GET or POST"


async def test_an_unforeseen_error_is_a_500_that_reveals_nothing_and_is_logged(
    client: httpx.AsyncClient,
    state: State,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("what only we should see")

    monkeypatch.setattr(type(state.resources.jobs), "page", broken)
    answer = await client.get("/v1/jobs", headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500
    assert "only we" not in answer.text
    assert answer.headers["x-request-id"] == "abc-1"
    logged = capsys.readouterr().out
    assert "what only we should see" in logged
    assert "abc-1" in logged


async def test_every_answer_has_an_id_and_is_not_kept_by_anybody(
    client: httpx.AsyncClient, app: Starlette
) -> None:
    first, second = await client.get("/v1/jobs"), await client.get("/nothing")
    for answer in (first, second):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_an_id_that_could_forge_a_log_line_is_not_taken_over(client: httpx.AsyncClient) -> None:
    answer = await client.get("/livez", headers={"X-Request-Id": 'a" b'})
    assert answer.headers["x-request-id"].startswith("req_")
