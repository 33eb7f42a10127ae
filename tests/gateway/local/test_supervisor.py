"""Supervision, with small stand-ins for the processes of the service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import ConfigurationError, Unavailable
from gateway.local.process import ManagedProcess
from gateway.local.supervisor import MAX_QUICK_EXITS, Supervisor
from tests.gateway.local.test_valkey import eventually, is_gone

STAY = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
WITH_A_CHILD = (
    "import subprocess, sys, time\n"
    "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print(inner.pid, flush=True); time.sleep(60)"
)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(said.append)
    with supervisor.running():
        yield supervisor


def child(folder: Path, name: str, script: str = STAY, stop_seconds: float = 10.0) -> ManagedProcess:
    """Ready when it has said something; one called `bad` never is, however late it is seen to end."""
    log = folder / f"{name}.log"

    def has_spoken() -> bool:
        return name != "bad" and log.exists() and log.stat().st_size > 0

    return ManagedProcess(
        name, (sys.executable, "-c", script), log, ready=has_spoken, stop_seconds=stop_seconds
    )


def start(supervisor: Supervisor, one: ManagedProcess) -> None:
    supervisor.begin(one)
    supervisor.wait_until_ready()


def tick_until(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        supervisor.tick()
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_the_wait_ends_when_all_are_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    first, second = child(tmp_path, "first"), child(tmp_path, "second")
    supervisor.begin(first, second)
    assert supervisor.wait_until_ready()
    assert first.is_ready()
    assert second.is_ready()


def test_a_killed_child_is_started_again(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    one = child(tmp_path, "one")
    start(supervisor, one)
    before = one.pid
    os.kill(before, signal.SIGKILL)
    tick_until(supervisor, lambda: one.pid != before)
    assert one.exit_code() is None
    assert said == ["one ended with SIGKILL; starting it again in 0.2 s"]


def test_what_a_dead_child_had_started_is_ended_too(supervisor: Supervisor, tmp_path: Path) -> None:
    one = child(tmp_path, "one", WITH_A_CHILD)
    start(supervisor, one)
    inner = int(one.last_lines(1)[0])
    assert not is_gone(inner)
    os.kill(one.pid, signal.SIGKILL)
    supervisor.tick()
    tick_until(supervisor, lambda: one.exit_code() is not None)
    eventually(lambda: is_gone(inner))


def past_every_back_off(said: list[str]) -> Callable[[], float]:
    """A clock that stands still while a child lives and jumps past its back-off when its end was noticed."""
    return lambda: len(said) * 10.0


def test_a_child_that_ends_at_once_too_often_stops_the_machine(tmp_path: Path, said: list[str]) -> None:
    supervisor = Supervisor(said.append, monotonic=past_every_back_off(said))
    with pytest.raises(Unavailable) as caught, supervisor.running():
        start(supervisor, child(tmp_path, "bad", "import sys; sys.exit('the reason')"))
    assert "bad ended with exit code 1, 5 times at once" in str(caught.value)
    assert str(caught.value).count("the reason") == MAX_QUICK_EXITS
    assert len(said) == MAX_QUICK_EXITS - 1


def test_a_wrong_setting_stops_the_machine_at_once(tmp_path: Path, said: list[str]) -> None:
    supervisor = Supervisor(said.append)
    script = "import sys; print('GATEWAY_PORT: is wrong', file=sys.stderr); sys.exit(2)"
    with (
        pytest.raises(ConfigurationError, match="bad ended with exit code 2") as caught,
        supervisor.running(),
    ):
        start(supervisor, child(tmp_path, "bad", script))
    assert str(caught.value).count("GATEWAY_PORT: is wrong") == 1
    assert said == []


def test_the_back_off_doubles(tmp_path: Path, said: list[str]) -> None:
    supervisor = Supervisor(said.append, monotonic=past_every_back_off(said))
    with pytest.raises(Unavailable), supervisor.running():
        start(supervisor, child(tmp_path, "bad", "raise SystemExit(3)"))
    assert [line.rsplit(" ", 2)[1] for line in said] == ["0.2", "0.4", "0.8", "1.6"]


def test_a_child_that_lived_long_enough_may_end_any_number_of_times(tmp_path: Path, said: list[str]) -> None:
    now = 0.0
    supervisor = Supervisor(said.append, monotonic=lambda: now)
    with supervisor.running():
        one = child(tmp_path, "one")
        start(supervisor, one)
        for _ in range(MAX_QUICK_EXITS + 1):
            before = one.pid
            now += 60
            os.kill(before, signal.SIGKILL)
            tick_until(supervisor, lambda: one.exit_code() is not None)
            supervisor.tick()
            now += 60
            supervisor.tick()
            assert one.pid != before
    assert all(line.endswith("again in 0.1 s") for line in said)


def test_a_child_that_is_never_ready_is_named_with_its_last_lines(tmp_path: Path) -> None:
    seconds = iter(range(0, 10_000, 1))
    supervisor = Supervisor(lambda _: None, monotonic=lambda: float(next(seconds)))
    slow = ManagedProcess("slow", (sys.executable, "-c", STAY), tmp_path / "slow.log", ready=lambda: False)
    with (
        pytest.raises(Unavailable, match=r"slow was not ready in 60 s; the end of .*slow\.log"),
        supervisor.running(),
    ):
        start(supervisor, slow)
    assert is_gone(slow.pid)


def test_they_stop_in_the_reverse_order(tmp_path: Path) -> None:
    order = tmp_path / "order"
    script = (
        "import signal, sys, time\n"
        "def bye(*_):\n"
        "    open({order!r}, 'a').write({name!r} + ' '); sys.exit()\n"
        "signal.signal(15, bye); print('up', flush=True); time.sleep(60)"
    )
    names = ["valkey", "sandbox", "workers", "gateway"]
    supervisor = Supervisor(lambda _: None)
    with supervisor.running():
        for name in names:
            start(supervisor, child(tmp_path, name, script.format(order=str(order), name=name)))
    assert order.read_text().split() == names[::-1]


def test_a_child_that_does_not_stop_is_killed_and_named(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    deaf = child(tmp_path, "deaf", DEAF, stop_seconds=0.1)
    start(supervisor, deaf)
    supervisor.stop()
    assert is_gone(deaf.pid)
    assert said == ["deaf did not stop when asked and was killed"]


def test_the_first_interrupt_ends_the_run(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, child(tmp_path, "one"))
    os.kill(os.getpid(), signal.SIGINT)
    supervisor.run()
    assert supervisor.interrupts == 1


def test_an_interrupt_ends_the_wait_for_readiness(supervisor: Supervisor, tmp_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    never = ManagedProcess("never", (sys.executable, "-c", STAY), tmp_path / "log", ready=lambda: False)
    supervisor.begin(never)
    assert not supervisor.wait_until_ready()


def test_the_second_interrupt_kills_what_does_not_stop(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    deaf = child(tmp_path, "deaf", DEAF, stop_seconds=100)
    start(supervisor, deaf)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    supervisor.stop()
    assert is_gone(deaf.pid)
    assert said == ["deaf was killed at the second Ctrl-C"]


def test_signals_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor(lambda _: None).running():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from gateway.local.process import ManagedProcess\n"
        f"one = ManagedProcess('one', (sys.executable, '-c', {STAY!r}), Path(sys.argv[1]))\n"
        "one.start(); print(one.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    eventually(lambda: is_gone(pid))


def test_a_program_that_is_not_there_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot run /no/such/program"):
        start(supervisor, ManagedProcess("none", ("/no/such/program",), tmp_path / "log"))


def test_a_childs_environment_is_not_shown(tmp_path: Path) -> None:
    one = ManagedProcess("one", ("true",), tmp_path / "log", {"GATEWAY_UPSTREAM_KEY": "very-secret"})
    assert "very-secret" not in repr(one)
