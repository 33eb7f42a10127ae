"""Arguments that cannot be meant are refused before anything is sent, by the names of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.client import AsyncClient, Client, Upload
from tests.gateway.client.scripted import KEY

IMAGES = ["https://x/a.png"]
#: Nobody listens there.
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"priority": "urgent"}, "^priority: one of low, normal, high; not 'urgent'$"),
        ({"priority": None}, "^priority: one of low, normal, high; not None$"),
        ({"on_unknown": "pay"}, "^on_unknown: one of hold, resubmit, manual; not 'pay'$"),
        ({"start_deadline": 0}, "^start_deadline: a whole number of seconds from 1 to 604800, not 0$"),
        ({"total_deadline": 1.5}, "^total_deadline: a whole number of seconds from 1 to 604800, not 1.5$"),
        ({"wait": 61}, "^wait: a whole number of seconds from 0 to 60, not 61$"),
        ({"wait": True}, "^wait: a whole number"),
        ({"wait": "5"}, "^wait: a whole number of seconds from 0 to 60, not '5'$"),
    ],
)
def test_an_option_is_checked_by_its_own_name(given: dict[str, Any], told: str) -> None:
    with Client(NOWHERE, KEY) as client, pytest.raises(ValueError, match=told):
        client.jobs.submit("fox", IMAGES, **given)


def test_a_misspelt_parameter_is_refused_with_the_names_that_there_are() -> None:
    given: Any = {"durration": 5}
    with Client(NOWHERE, KEY) as client:
        for method in (client.jobs.submit, client.jobs.check):
            with pytest.raises(TypeError, match=r"no parameter 'durration'; there are prompt, .*duration,"):
                method("fox", IMAGES, **given)


def test_a_wait_for_a_job_is_checked() -> None:
    with Client(NOWHERE, KEY) as client, pytest.raises(ValueError, match=r"^wait: .* not -1$"):
        client.jobs.get("job_1", wait=-1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client: client.jobs.get(""), "^a job is a Job or its id, not ''$"),
        (lambda client: client.jobs.get(None), "^a job is a Job or its id, not None$"),
        (lambda client: client.jobs.wait(None), "^a job is a Job or its id, not None$"),
        (lambda client: client.jobs.events(None), "^a job is a Job or its id, not None$"),
        (lambda client: client.jobs.cancel(Upload(id="upl_1")), "^a job is a Job or its id, not Upload$"),
        (lambda client: client.uploads.get(None), "^an upload is an Upload or its id, not None$"),
        (lambda client: client.endpoints.get(""), "^an endpoint is an Endpoint or its id, not ''$"),
        (lambda client: client.deliveries.get(None), "^a delivery is a Delivery or its id, not None$"),
        (lambda client: client.recoveries.get(None), "^a recovery is a Recovery or its id, not None$"),
    ],
)
def test_what_is_no_id_is_refused(call: Callable[[Any], object], told: str) -> None:
    with Client(NOWHERE, KEY) as client, pytest.raises(TypeError, match=told):
        call(client)


async def _progress(*_: object) -> None:
    """Nobody awaits it."""


def test_a_progress_that_would_have_to_be_awaited_is_refused(tmp_path: Path) -> None:
    wrong: Any = _progress

    async def calls() -> None:
        async with AsyncClient(NOWHERE, KEY) as client:
            for call in (
                lambda: client.jobs.submit("fox", IMAGES, progress=wrong),
                lambda: client.jobs.wait("job_1", progress=wrong),
                lambda: client.jobs.download("job_1", tmp_path / "a.mp4", progress=wrong),
                lambda: client.uploads.create(b"x", progress=wrong),
            ):
                with pytest.raises(TypeError, match=r"^progress: pass a plain function"):
                    await call()

    asyncio.run(calls())
