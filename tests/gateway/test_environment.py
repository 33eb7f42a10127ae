"""Time, randomness and ids, driven by hand."""

from __future__ import annotations

from gateway.callbacks.tokens import make
from gateway.environment import Environment
from gateway.jobs import JOB_ID
from gateway.keyring import Keyring
from tests.conftest import KEYRING


class Ticking:
    """A clock that stands until it is set."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def test_ids_sort_by_creation_time() -> None:
    clock = Ticking(1_795_334_400.0)
    environment = Environment(clock=clock)
    ids = []
    for _ in range(50):
        ids.append(environment.new_job_id())
        clock.seconds += 0.001
    assert ids == sorted(ids)


def test_ids_of_one_millisecond_increase() -> None:
    environment = Environment(clock=Ticking(1_795_334_400.0))
    ids = [environment.new_job_id() for _ in range(1000)]
    assert ids == sorted(set(ids))


def test_ids_increase_even_if_the_clock_goes_back() -> None:
    clock = Ticking(1_795_334_400.0)
    environment = Environment(clock=clock)
    first = environment.new_ulid()
    clock.seconds -= 3600
    assert environment.new_ulid() > first


def test_ids_of_two_processes_in_one_millisecond_differ() -> None:
    clock = Ticking(1_795_334_400.0)
    assert Environment(clock=clock).new_ulid() != Environment(clock=clock).new_ulid()


def test_the_highest_randomness_still_gives_an_id_of_26_characters() -> None:
    environment = Environment(clock=Ticking(1_795_334_400.0), entropy=lambda size: b"\xff" * size)
    assert [len(environment.new_ulid()) for _ in range(3)] == [26, 26, 26]


def test_ids_have_the_form_that_the_rest_of_the_service_knows() -> None:
    environment = Environment()
    job_id = environment.new_job_id()
    assert JOB_ID.match(job_id)
    assert make(Keyring.parse(KEYRING), "acme", job_id, 1)
    assert environment.new_endpoint_id().startswith("ep_")


def test_the_time_is_truncated_to_milliseconds() -> None:
    assert Environment(clock=Ticking(1.9999)).now_ms() == 1999
