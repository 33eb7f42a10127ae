from __future__ import annotations

from gateway.sandbox.task_queue import TaskQueue


def test_without_a_limit_every_task_starts_at_once() -> None:
    task_queue, started = TaskQueue(None), list[str]()
    for name in "abc":
        assert task_queue.enter(name, lambda name=name: started.append(name))  # type: ignore[misc]
    assert started == ["a", "b", "c"]


def test_waiting_tasks_start_in_order_of_arrival() -> None:
    task_queue, started = TaskQueue(2), list[str]()
    entered = [task_queue.enter(name, lambda name=name: started.append(name)) for name in "abcd"]  # type: ignore[misc]
    assert (entered, started) == ([True, True, False, False], ["a", "b"])
    task_queue.leave("b")
    task_queue.leave("a")
    assert started == ["a", "b", "c", "d"]


def test_a_task_that_leaves_the_queue_is_not_started_and_frees_no_room() -> None:
    task_queue, started = TaskQueue(1), list[str]()
    for name in "abc":
        task_queue.enter(name, lambda name=name: started.append(name))  # type: ignore[misc]
    task_queue.leave("b")
    task_queue.leave("stranger")
    assert started == ["a"]
    task_queue.leave("a")
    assert started == ["a", "c"]
