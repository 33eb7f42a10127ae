"""`vidu-gateway listen` as a person meets it: a process, its signals, its exit codes."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.gateway.commands.streaming import JOB, Answer, gateway, message, process, subscriber
from tests.nursery import Nursery

pytestmark = pytest.mark.processes

KEY = "vgw_0123456789ab_" + "0" * 48


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_forwards_until_it_is_interrupted(
    number: signal.Signals, nursery: Nursery, tmp_path: Path
) -> None:
    sent = Answer((message("1-0", "job.completed"),), then="stay")
    with (
        gateway(sent) as served,
        subscriber() as hearing,
        process(
            nursery, tmp_path, "--forward", hearing.url, "--url", served.url, VIDU_GATEWAY_KEY=KEY
        ) as listening,
    ):
        listening.line_with(JOB)
        listening.running.send_signal(number)
        listening.line_with("stopped: 1 delivered, 0 failed")
        assert listening.wait() == 0
        assert listening.errors() == ""
    assert len(hearing.got) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_the_midst_of_a_post_too(number: signal.Signals, nursery: Nursery, tmp_path: Path) -> None:
    sent = Answer((message("1-0", "job.completed"),), then="stay")
    with gateway(sent) as served, socket.create_server(("127.0.0.1", 0)) as silent:
        words = ("--forward", f"http://127.0.0.1:{silent.getsockname()[1]}", "--url", served.url)
        with process(nursery, tmp_path, *words, "--key", KEY) as listening:
            taken, _ = silent.accept()
            with taken:
                taken.recv(1)
                listening.running.send_signal(number)
                listening.line_with("stopped: 0 delivered, 0 failed")
                assert listening.wait() == 0
                assert listening.errors() == ""


def test_a_refusal_is_a_sentence_and_not_a_traceback(nursery: Nursery, tmp_path: Path) -> None:
    problem = {"title": "Forbidden", "detail": "this key lacks the scope jobs:read"}
    words = ("--forward", "http://127.0.0.1:9", "--url")
    with (
        gateway(Answer(status=403, problem=problem)) as served,
        process(nursery, tmp_path, *words, served.url, "--key", KEY) as listening,
    ):
        assert listening.wait() == 1
        shown = listening.errors()
    assert "this key lacks the scope jobs:read" in shown
    assert "Traceback" not in shown


def test_a_key_is_needed(nursery: Nursery, tmp_path: Path) -> None:
    with process(
        nursery,
        tmp_path,
        "--forward",
        "http://127.0.0.1:9",
        "--url",
        "http://127.0.0.1:9",
        VIDU_GATEWAY_KEY="",
    ) as listening:
        assert listening.wait() == 2
        assert "VIDU_GATEWAY_KEY" in listening.errors()
