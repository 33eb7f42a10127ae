from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from gateway.environment import Environment
from gateway.sandbox.ledger import Ledger, token_of


def test_a_fact_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    ledger = Ledger(
        tmp_path / "ledger.jsonl", Environment(clock=lambda: 7.5, monotonic=lambda: 2.0), fsync=True
    )
    ledger.write("get", task_id="t1", reply=200)
    line = orjson.loads((tmp_path / "ledger.jsonl").read_bytes())
    assert line == {"kind": "get", "at": 7.5, "monotonic_ns": 2_000_000_000, "task_id": "t1", "reply": 200}
    ledger.close()


def test_a_restart_continues_at_the_end_of_the_file(tmp_path: Path) -> None:
    for number in range(3):
        ledger = Ledger(tmp_path / "ledger.jsonl", Environment())
        ledger.write("fault", fault=str(number))
        ledger.close()
    reread = Ledger(tmp_path / "ledger.jsonl", Environment())
    assert [line["fault"] for line in reread.read()] == ["0", "1", "2"]
    reread.close()


def test_facts_are_found_by_kind_and_by_task(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", Environment())
    ledger.write("get", task_id="a")
    ledger.write("get", task_id="b")
    ledger.write("callback", task_id="a")
    assert len(ledger.read(kind="get")) == 2
    assert [line["kind"] for line in ledger.read(task_id="a")] == ["get", "callback"]
    ledger.close()


def test_payload_and_token_are_read_from_a_truncated_body(tmp_path: Path) -> None:
    body = rb'{"input":[{"params":{"prompt":"\"payload\": \"no\"","payload":"job_1 \"x\"","callback_url":"http://g/c/tok?q=1","see'
    ledger = Ledger(tmp_path / "ledger.jsonl", Environment())
    ledger.post(body, dialect="vtrix", is_authorized=True, first_byte_ns=7, last_byte_ns=None, reply=None)
    line = ledger.read("post")[0]
    assert (line["payload"], line["callback_token"], line["complete"]) == ('job_1 "x"', "tok", False)
    assert (line["sha256"], line["bytes"]) == (hashlib.sha256(body).hexdigest(), len(body))
    assert (line["charged"], line["task_id"], line["reply"]) == (None, None, None)
    assert (line["first_byte_ns"], line["last_byte_ns"]) == (7, None)
    ledger.close()


def test_the_token_is_the_last_part_of_the_path() -> None:
    assert token_of("https://g.example/callbacks/k1.t.job") == "k1.t.job"
    assert token_of("") is None
