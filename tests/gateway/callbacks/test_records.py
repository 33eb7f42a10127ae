"""A callback as a line: it survives, and whatever is no callback is refused."""

from __future__ import annotations

from dataclasses import fields

import pytest

from gateway.callbacks.records import _TYPES, from_line, to_line
from gateway.store.base import Callback
from tests.gateway.callbacks.journaling import ENVIRONMENT, callback

FULL = Callback(
    ENVIRONMENT.new_job_id(),
    "acme",
    3,
    "completed",
    task_id="täsk-1",
    terminal=True,
    claimed={"status": "completed", "output": [{"content": [{"type": "video", "url": "https://x/y"}]}]},
    raw=bytes(range(256)),
    nonce="n-1",
    callback_url="https://client.example.com/hook",
    door="vtrix",
)


@pytest.mark.parametrize("given", [FULL, callback()], ids=["everything", "little"])
def test_a_callback_is_the_same_after_a_round_trip(given: Callback) -> None:
    line = to_line(given)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line) == given


def test_a_process_of_an_older_version_can_read_what_has_no_return_address() -> None:
    assert b"callback_url" not in to_line(callback())
    assert b"door" not in to_line(callback())


def test_every_field_of_a_callback_has_its_type_in_a_line() -> None:
    assert _TYPES.keys() == {one.name for one in fields(Callback)}


@pytest.mark.parametrize(
    "change",
    [
        (b'"epoch":3', b'"epoch":"3"'),
        (b'"epoch":3', b'"epoch":true'),
        (b'"epoch":3', b'"epoch":-3'),
        (b'"terminal":true', b'"terminal":1'),
        (b'"tenant":"acme"', b'"tenant":null'),
        (b'"tenant"', b'"renter"'),
        (b'"job_', b'"jab_'),
        (b'"raw":"', b'"raw":"?'),
        (b"{", b""),
        (b"acme", b"ac\xffme"),
    ],
)
def test_a_line_that_is_not_a_callback_is_refused(change: tuple[bytes, bytes]) -> None:
    line = to_line(FULL)
    assert line.replace(*change) != line
    with pytest.raises(ValueError):
        from_line(line.replace(*change))


@pytest.mark.parametrize("line", [b"", b"\0" * 4096, b"null", b"[]", b"{}", b"[" * 100_000])
def test_a_line_that_is_not_json_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        from_line(line)
